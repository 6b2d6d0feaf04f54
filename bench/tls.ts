import { gatehouse } from "./contenders/gatehouse.ts"
import { STREAMS } from "./h2load.ts"
import { GATEHOUSES, JSON_REQUEST, OURS, PLAIN, PRODUCTS, type Scenario, sideBySide } from "./side_by_side.ts"

const COMMON = {
  asked: JSON_REQUEST,
  targets: [],
} satisfies Partial<Scenario>

/** HTTPS over kept connections, HTTP/1.1. */
export const tls = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "tls",
    title: "plain proxying over TLS, HTTP/1.1",
    contenders: [...GATEHOUSES, ...PRODUCTS],
    job: { ...PLAIN, tls: "http/1.1" },
    connections: [64],
    notes: ["connections are kept: handshakes are not what is measured"],
  })

/** HTTP/2 to clients, HTTP/1.1 to the upstream. Gatehouse has one door for it, the Serve door. */
export const h2 = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "h2",
    title: `plain proxying over HTTP/2, ${STREAMS} streams each`,
    contenders: [gatehouse(OURS), ...PRODUCTS],
    job: { ...PLAIN, tls: "h2" },
    connections: [16],
    notes: ["Gatehouse has one door for HTTP/2, the Serve door"],
  })

if (import.meta.main) process.exit([await tls(), await h2()].every(Boolean) ? 0 : 1)

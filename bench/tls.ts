import { STREAMS } from "./h2load.ts"
import { GATEHOUSES, JSON_REQUEST, PLAIN, PRODUCTS, type Scenario, sideBySide } from "./side_by_side.ts"

const COMMON = {
  contenders: [...GATEHOUSES, ...PRODUCTS],
  asked: JSON_REQUEST,
  targets: [],
} satisfies Partial<Scenario>

/** HTTPS over kept connections, HTTP/1.1. */
export const tls = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "tls",
    title: "plain proxying over TLS, HTTP/1.1",
    job: { ...PLAIN, tls: "http/1.1" },
    connections: [64],
    notes: ["connections are kept: handshakes are not what is measured"],
  })

/** HTTP/2 to clients, HTTP/1.1 to the upstream. */
export const h2 = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "h2",
    title: `plain proxying over HTTP/2, ${STREAMS} streams each`,
    job: { ...PLAIN, tls: "h2" },
    connections: [16],
    notes: ["p50 and p99 come from h2load's log of every request"],
  })

if (import.meta.main) process.exit([await tls(), await h2()].every(Boolean) ? 0 : 1)

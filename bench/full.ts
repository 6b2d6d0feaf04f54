import { haproxy } from "./contenders/haproxy.ts"
import {
  GATEHOUSES,
  JAVASCRIPT,
  JSON_REQUEST,
  OURS,
  PLAIN,
  type Scenario,
  SERVE_DOOR,
  sideBySide,
} from "./side_by_side.ts"
import { createTokens } from "./tokens.ts"

const COMMON = {
  contenders: [...GATEHOUSES, haproxy, ...JAVASCRIPT],
  asked: JSON_REQUEST,
  connections: [64, 256],
  base: "HAProxy",
} satisfies Partial<Scenario>
const WITHOUT = "nginx and Caddy are left out: neither verifies tokens without modules of others"

/** The whole job: tokens of 200 users (HS256), a limit for each, request id, JSON access log, metrics. */
export const full = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "full",
    title: "the whole job, HS256",
    job: { ...PLAIN, tokens: createTokens("HS256") },
    targets: [
      { of: OURS, to: "HAProxy", must: 0.8, goal: 0.65 },
      { of: SERVE_DOOR, to: "HAProxy", must: 1.1 },
    ],
    notes: [WITHOUT],
  })

/** The same with asymmetric tokens. */
export const fullRs256 = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "full_rs256",
    title: "the whole job, RS256",
    job: { ...PLAIN, tokens: createTokens("RS256") },
    targets: [{ of: OURS, to: "HAProxy", must: 0.45, goal: 0.35 }],
    notes: [
      WITHOUT,
      "Gatehouse and the proxies in JavaScript verify a signature once and keep what they found until the token " +
        "expires or is revoked; HAProxy verifies each time. There are 200 tokens",
    ],
  })

if (import.meta.main) process.exit([await full(), await fullRs256()].every(Boolean) ? 0 : 1)

import type { PolicyDeps } from "../../src/policies/policy.ts"
import { NOBODY } from "./identity.ts"
import { makeLimits } from "./limits.ts"
import { linesInto } from "./lines.ts"
import { UNUSED } from "./quotas.ts"

/** What policies compile with, standing still: time 0, wall clock 2025-01-01, random 0.5, logs to nowhere. */
export function makePolicyDeps(changes: Partial<PolicyDeps> = {}): PolicyDeps {
  const nowhere = () => undefined
  return {
    now: () => 0,
    wallClock: () => Date.UTC(2025, 0, 1),
    random: () => 0.5,
    log: { debug: nowhere, info: nowhere, warn: nowhere, error: nowhere },
    identity: NOBODY,
    limits: makeLimits(),
    quotas: UNUSED,
    accessLog: linesInto([]),
    ...changes,
  }
}

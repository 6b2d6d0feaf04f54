import type { Exchange } from "../upstream/exchange.ts"
import { type Failure, fail } from "./failure.ts"
import type { Limit } from "./limit.ts"
import type { LimitLog } from "./limit_log.ts"

/** Refuses for a limit, counted and told to the log. `retryAfterMs`: when there is room for the request again. */
export function refuseFor(limit: Limit, retryAfterMs: number, exchange: Exchange, log: LimitLog): Failure {
  limit.count.refused()
  log.exceeded(limit.name, "enforce", exchange)
  const retryAfterS = Math.max(1, Math.ceil(retryAfterMs / 1000))
  return fail("RATE_LIMITED", { details: { limit: limit.name, retry_after: retryAfterS }, retryAfterS })
}

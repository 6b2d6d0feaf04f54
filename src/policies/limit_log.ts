import type { Clock } from "../lib/clock.ts"
import { LineBudget } from "../observe/line_budget.ts"
import type { Log } from "../observe/log.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** Tells of requests over a limit, a sample of them. One object a worker. */
export class LimitLog {
  readonly #log: Log
  readonly #lines: LineBudget

  constructor(log: Log, now: Clock) {
    this.#log = log
    this.#lines = new LineBudget(now)
  }

  /** `limit`: its name. `untold` in the line: how many came since the last one and were left out. */
  exceeded(limit: string, mode: "enforce" | "shadow", exchange: Exchange): void {
    const room = this.#lines.take()
    if (room === undefined) return
    const { principal } = exchange
    this.#log.info("limit.exceeded", {
      limit,
      mode,
      route: exchange.route?.label,
      ...(principal === undefined
        ? { ip: exchange.client }
        : { principal: principal.id, issuer: principal.issuer }),
      request_id: exchange.id,
      ...room,
    })
  }
}

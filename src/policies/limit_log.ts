import type { Clock } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** Lines a second of one worker; a flood must not become a flood of lines. */
const MAX_PER_SECOND = 10

/** Tells of requests over a limit, a sample of them. One object a worker. */
export class LimitLog {
  readonly #log: Log
  readonly #now: Clock
  #second = -1
  #told = 0
  #untold = 0

  constructor(log: Log, now: Clock) {
    this.#log = log
    this.#now = now
  }

  /** `limit`: its name. `untold` in the line: how many came since the last one and were left out. */
  exceeded(limit: string, mode: "enforce" | "shadow", exchange: Exchange): void {
    const second = Math.floor(this.#now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#told = 0
    }
    if (++this.#told > MAX_PER_SECOND) {
      this.#untold++
      return
    }
    const { principal } = exchange
    this.#log.info("limit.exceeded", {
      limit,
      mode,
      route: exchange.route?.label,
      ...(principal === undefined
        ? { ip: exchange.client }
        : { principal: principal.id, issuer: principal.issuer }),
      request_id: exchange.id,
      ...(this.#untold > 0 && { untold: this.#untold }),
    })
    this.#untold = 0
  }
}

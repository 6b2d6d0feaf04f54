import type { Clock } from "../lib/clock.ts"

/** Lines a second where nothing else is asked for. */
const MAX_PER_SECOND = 10

/** Lets some lines a second into the log and counts the others: a flood must not become a flood of lines. */
export class LineBudget {
  readonly #now: Clock
  readonly #max: number
  #second = -1
  #told = 0
  #untold = 0

  constructor(now: Clock, maxPerSecond = MAX_PER_SECOND) {
    this.#now = now
    this.#max = maxPerSecond
  }

  /** Whether there is room for a line; if so, how many came in vain since the last. `undefined`: leave it out. */
  take(): { readonly untold?: number } | undefined {
    const second = Math.floor(this.#now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#told = 0
    }
    if (++this.#told > this.#max) {
      this.#untold++
      return undefined
    }
    const untold = this.#untold
    this.#untold = 0
    return untold > 0 ? { untold } : {}
  }
}

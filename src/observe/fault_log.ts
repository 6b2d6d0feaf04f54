import type { Clock } from "../lib/clock.ts"
import type { Log } from "./log.ts"

/** What escaped every handler of a thread. */
export type FaultKind = "exception" | "rejection"

export interface FaultLogOptions {
  readonly log: Log
  /** Told of every fault, for `gatehouse_faults_total`. */
  readonly onFault: () => void
  readonly now: Clock
}

/** Faults of one thread logged in full within `WINDOW_MS`; the others are only counted. */
const MAX_LOGGED = 20
const WINDOW_MS = 60_000

/**
 * Records bugs of the gateway that nothing caught: each is counted, and logged as `process.fault` with its
 * stack, but at most 20 a minute, so that one that repeats with every request does not bury the log.
 */
export class FaultLog {
  readonly #options: FaultLogOptions
  #windowEnds = Number.NEGATIVE_INFINITY
  #logged = 0
  #unlogged = 0

  constructor(options: FaultLogOptions) {
    this.#options = options
  }

  /** Never throws. `error`: whatever was thrown or rejected with. */
  record(kind: FaultKind, error: unknown): void {
    const { log, onFault, now } = this.#options
    onFault()
    const at = now()
    if (at >= this.#windowEnds) {
      this.#windowEnds = at + WINDOW_MS
      this.#logged = 0
    }
    if (this.#logged >= MAX_LOGGED) {
      this.#unlogged++
      return
    }
    this.#logged++
    log.error("process.fault", { kind, error, ...(this.#unlogged > 0 && { not_logged: this.#unlogged }) })
    this.#unlogged = 0
  }
}

import type { Clock } from "../lib/clock.ts"

/** A request under way, as far as noticing its client's leaving goes. */
export interface Watched {
  readonly startedAt: number
  /** Listens for the client's leaving from now on; if it has left already, says so at once. */
  watch(): void
}

/** How often requests are looked at, and the age from which a client's leaving is listened for. */
const WATCH_MS = 25

/**
 * Requests under way at one door. The runtime tells that a client has left by the request's abort signal,
 * which costs more than looking the route up. Nearly all requests are over before anybody could have left,
 * so the signal is made only for those that are under way for longer than `WATCH_MS`.
 */
export class InFlight {
  readonly #clock: Clock
  readonly #young = new Set<Watched>()
  readonly #timer: Timer

  constructor(clock: Clock) {
    this.#clock = clock
    this.#timer = setInterval(() => this.sweep(), WATCH_MS)
    this.#timer.unref()
  }

  add(request: Watched): void {
    this.#young.add(request)
  }

  /** The request is over. */
  delete(request: Watched): void {
    this.#young.delete(request)
  }

  /** Has every request that is old enough watched; called by its own timer. */
  sweep(): void {
    const before = this.#clock() - WATCH_MS
    for (const request of this.#young) {
      // In the order they came: the rest is younger.
      if (request.startedAt > before) return
      this.#young.delete(request)
      request.watch()
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

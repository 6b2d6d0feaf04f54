const FIRST_INTERVAL_MS = 1000
/** A baseline that moves by more than this is measured again soon. */
const MOVED = 1.2
/** How fast a service that turns out quicker than thought moves the baseline down, outside of probes. */
const DOWNWARD = 0.1
/** So far from the last probe the limit has fallen when the baseline itself is in doubt. */
const FALLEN = 0.5

/**
 * The response time of a service that has no queue, measured by asking only half of the limit for a moment: the
 * limit settles below twice of what the service works on at a time, so half of it leaves no queue. (Envoy goes down
 * to a fixed number, which would refuse critical requests.) Only a limit that is reached needs that; otherwise the
 * load at hand is measured. Probes come after 1 s, 2 s, 4 s, … up to the configured interval (each up to 10 % later,
 * so that workers do not probe together), and again after 1 s when the baseline has moved. A limit that has halved
 * without making the service faster brings the next one forward: then the service is slow by itself.
 */
export class BaselineProbe {
  readonly #longestMs: number
  readonly #random: () => number
  #intervalMs = FIRST_INTERVAL_MS
  #endedAt: number
  #limitAtEnd = Number.POSITIVE_INFINITY
  #dueAt: number
  /** Milliseconds; infinite before anything was measured. */
  baselineMs = Number.POSITIVE_INFINITY
  probing = false
  /** Moves when a probe begins and when it ends: samples let in under another load are told apart by it. */
  epoch = 0

  constructor(longestMs: number, now: number, random: () => number) {
    this.#longestMs = longestMs
    this.#random = random
    this.#endedAt = now
    this.#dueAt = now + FIRST_INTERVAL_MS
  }

  /** Takes the median of a window without a probe: it can only be too high. */
  observe(medianMs: number): void {
    if (this.baselineMs === Number.POSITIVE_INFINITY) this.baselineMs = medianMs
    else if (medianMs < this.baselineMs) this.baselineMs += (medianMs - this.baselineMs) * DOWNWARD
  }

  /** `limit`: as it is now. */
  isDue(now: number, limit: number): boolean {
    if (now >= this.#dueAt) return true
    return limit < this.#limitAtEnd * FALLEN && now >= this.#endedAt + FIRST_INTERVAL_MS
  }

  begin(): void {
    this.probing = true
    this.epoch++
  }

  /** Takes what a probe, or a window in which nobody was refused, has measured; `undefined`: nothing. `limit`: what is in force again. */
  end(medianMs: number | undefined, now: number, limit: number): void {
    this.probing = false
    this.epoch++
    const moved =
      medianMs === undefined || medianMs > this.baselineMs * MOVED || medianMs * MOVED < this.baselineMs
    if (medianMs !== undefined) this.baselineMs = medianMs
    this.#intervalMs = moved
      ? Math.min(FIRST_INTERVAL_MS, this.#longestMs)
      : Math.min(this.#intervalMs * 2, this.#longestMs)
    this.#endedAt = now
    this.#limitAtEnd = limit
    this.#dueAt = now + this.#intervalMs * (1 + this.#random() / 10)
  }
}

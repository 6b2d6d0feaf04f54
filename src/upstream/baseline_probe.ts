const FIRST_INTERVAL_MS = 1000
/** A baseline that moves by more than this is measured again soon. */
const MOVED = 1.2
/** How fast a service that turns out quicker than thought moves the baseline down, outside of probes. */
const DOWNWARD = 0.1
/** So far from the last probe the limit has fallen when the baseline itself is in doubt. */
const FALLEN = 0.5

/** A number all workers share. */
export interface SharedCount {
  readonly words: Int32Array
  readonly at: number
}

/**
 * The response time of a service that has no queue, measured by letting what is in flight fall to a third for a
 * moment: with a tolerance below 2 the limit settles where a third leaves no queue. All workers do so together, as what
 * one leaves the others would take. (Envoy goes down to a fixed number, which would refuse critical requests.) Only a
 * limit that is reached needs that; otherwise the load at hand is measured. Probes come after 1 s, 2 s, 4 s, … up to
 * the configured interval (each up to 10 % later, so that several gateways do not fall into step), and again after 1 s
 * when the baseline has moved. A limit that has halved without making the service faster brings the next one forward:
 * then the service is slow by itself.
 */
export class BaselineProbe {
  readonly #longestMs: number
  readonly #random: () => number
  readonly #shared: SharedCount
  #joined: number
  #intervalMs = FIRST_INTERVAL_MS
  #endedAt: number
  #limitAtEnd = Number.POSITIVE_INFINITY
  #dueAt: number
  /** Milliseconds; infinite before anything was measured. */
  baselineMs = Number.POSITIVE_INFINITY
  probing = false
  /** The first part of a probe: what is in flight beyond its room has to end before anything is measured. */
  draining = false
  #drainBy = 0
  /** Moves when a probe begins and when it ends: samples let in under another load are told apart by it. */
  epoch = 0

  constructor(longestMs: number, shared: SharedCount, now: number, random: () => number) {
    this.#longestMs = longestMs
    this.#shared = shared
    this.#joined = Atomics.load(shared.words, shared.at)
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

  /** Begins a probe, and calls the other workers. `drainBy`: then it measures, whatever is in flight. */
  begin(drainBy: number): void {
    this.#joined = (Atomics.add(this.#shared.words, this.#shared.at, 1) + 1) | 0
    this.#start(drainBy)
  }

  /** Begins a probe if another worker has called for one. */
  join(drainBy: number): boolean {
    const calls = Atomics.load(this.#shared.words, this.#shared.at)
    if (calls === this.#joined) return false
    this.#joined = calls
    if (this.probing) return false
    this.#start(drainBy)
    return true
  }

  /** Begins to measure, once no more than `room` is in flight or it is too late to wait for that. */
  drained(inFlight: number, room: number, now: number): "no" | "yes" | "late" {
    if (!this.draining || (inFlight > room && now < this.#drainBy)) return "no"
    this.draining = false
    this.epoch++
    return inFlight > room ? "late" : "yes"
  }

  #start(drainBy: number): void {
    this.#drainBy = drainBy
    this.draining = true
    this.probing = true
    this.epoch++
  }

  /** Takes what a probe, or a window in which nobody was refused, has measured; `undefined`: nothing. `limit`: what is in force again. */
  end(medianMs: number | undefined, now: number, limit: number): void {
    this.probing = false
    this.draining = false
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

/** Samples a window keeps; of more, the latest. */
const KEPT = 256
const MIN_SAMPLES = 10
/** A probe decides for long: it takes more. */
const PROBE_SAMPLES = 20
const SHORTEST_MS = 100
/** A window with fewer samples than it wants ends after this. */
const PATIENCE_MS = 1000
/** A service slower than this is judged late rather than never. */
const LONGEST_MS = 10_000

/**
 * The response times since the last decision. It is full after at least 100 ms, after twice the median of the
 * window before (a decision must show before the next), and with enough samples, or what came in a second.
 */
export class LatencyWindow {
  readonly #rtts = new Float64Array(KEPT)
  #successes = 0
  #failures = 0
  #startedAt: number
  #minMs = SHORTEST_MS

  constructor(now: number) {
    this.#startedAt = now
  }

  /** Milliseconds after which what is decided now has shown: at least 100. */
  get settleMs(): number {
    return this.#minMs
  }

  /** Between 0 and 1. */
  get failedShare(): number {
    const all = this.#successes + this.#failures
    return all === 0 ? 0 : this.#failures / all
  }

  add(rttMs: number): void {
    this.#rtts[this.#successes++ % KEPT] = rttMs
  }

  failed(): void {
    this.#failures++
  }

  isFull(now: number, probing: boolean): boolean {
    const samples = this.#successes + this.#failures
    const elapsedMs = now - this.#startedAt
    if (samples >= (probing ? PROBE_SAMPLES : MIN_SAMPLES)) return elapsedMs >= (probing ? 0 : this.#minMs)
    return samples > 0 && elapsedMs >= Math.max(PATIENCE_MS, this.#minMs)
  }

  /** `undefined`: nothing succeeded. */
  median(): number | undefined {
    if (this.#successes === 0) return undefined
    const sorted = this.#rtts.slice(0, Math.min(this.#successes, KEPT)).sort()
    return sorted[sorted.length >> 1]!
  }

  restart(now: number): void {
    const medianMs = this.median()
    if (medianMs !== undefined) this.#minMs = Math.min(Math.max(SHORTEST_MS, 2 * medianMs), LONGEST_MS)
    this.#successes = 0
    this.#failures = 0
    this.#startedAt = now
  }
}

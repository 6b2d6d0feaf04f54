/** Buckets of a sliding window: it forgets in steps of a tenth of its span. */
const BUCKETS = 10
/** Words one counter takes in shared memory. */
export const WINDOW_WORDS = BUCKETS

const COUNT_BITS = 20
/** Also the largest count one bucket holds; more events in the same tenth of the span are not counted. */
const COUNT_MASK = (1 << COUNT_BITS) - 1
const TAG_MASK = 0xfff

/**
 * Counts events of the last `spanMs` in words shared by threads, without locks. Each word holds the round it
 * was last used in (12 bits) and a count (20 bits), so that starting a bucket anew and counting in it is one
 * compare-and-swap and no event is lost between threads.
 */
export class SlidingCounter {
  readonly #words: Int32Array
  readonly #at: number
  readonly #bucketMs: number

  /** `at`: first of the `WINDOW_WORDS` words it owns. */
  constructor(words: Int32Array, at: number, spanMs: number) {
    this.#words = words
    this.#at = at
    this.#bucketMs = Math.max(1, spanMs / BUCKETS)
  }

  add(now: number): void {
    const step = Math.floor(now / this.#bucketMs)
    const round = Math.floor(step / BUCKETS)
    const tag = round & TAG_MASK
    const index = this.#at + (step - round * BUCKETS)
    for (;;) {
      const old = Atomics.load(this.#words, index)
      const current = old >>> COUNT_BITS === tag
      if (current && (old & COUNT_MASK) === COUNT_MASK) return
      const next = current ? old + 1 : (tag << COUNT_BITS) | 1
      if (Atomics.compareExchange(this.#words, index, old, next) === old) return
    }
  }

  /** Events of the last span; those of its oldest tenth may already be gone. */
  sum(now: number): number {
    const newest = Math.floor(now / this.#bucketMs)
    let total = 0
    for (let step = newest; step > newest - BUCKETS; step--) {
      const round = Math.floor(step / BUCKETS)
      const word = Atomics.load(this.#words, this.#at + (step - round * BUCKETS))
      if (word >>> COUNT_BITS === (round & TAG_MASK)) total += word & COUNT_MASK
    }
    return total
  }

  clear(): void {
    for (let i = 0; i < BUCKETS; i++) Atomics.store(this.#words, this.#at + i, 0)
  }
}

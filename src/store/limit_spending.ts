/** What was taken from a bucket and other machines do not know yet. */
export interface Spent {
  readonly slot: number
  readonly key: number
  /** Cost times emission, in ms; below 0: more was given back. */
  readonly spentMs: number
  /** The furthest the bucket's arrival time may lie ahead, in ms. */
  readonly longestMs: number
}

/** Slots of a set, as in limit_table.ts. */
const WAYS = 16
const SETS_PER_WORD = 32

/** Memory beside a table of so many slots: 12 bytes each, and a bit a set. Only where machines share limits. */
export function createSpendingMemory(slots: number): SharedArrayBuffer {
  return new SharedArrayBuffer(slots * 12 + Math.ceil(slots / WAYS / SETS_PER_WORD) * 4)
}

/**
 * What was taken of each slot of a table since the last time it was collected, shared by all threads. Those who take
 * add first and mark the set then; who collects takes the mark off first: nothing is missed.
 */
export class Spending {
  readonly #spent: Float64Array
  /** The same memory as `#spent`, for Atomics. */
  readonly #bits: BigInt64Array
  readonly #longest: Float32Array
  readonly #dirty: Int32Array
  readonly #double = new Float64Array(1)
  readonly #doubleBits = new BigInt64Array(this.#double.buffer)
  /** Word of `#dirty` the next collection begins with, so that all have their turn. */
  #next = 0

  constructor(memory: SharedArrayBuffer, slots: number) {
    this.#spent = new Float64Array(memory, 0, slots)
    this.#bits = new BigInt64Array(memory, 0, slots)
    this.#longest = new Float32Array(memory, slots * 8, slots)
    this.#dirty = new Int32Array(memory, slots * 12)
  }

  /** Whether the slot must not be given away yet. */
  owes(slot: number): boolean {
    return this.#spent[slot] !== 0
  }

  add(slot: number, ms: number, longestMs: number): void {
    this.#longest[slot] = longestMs
    for (;;) {
      const seen = Atomics.load(this.#bits, slot)
      this.#doubleBits[0] = seen
      this.#double[0] = this.#double[0]! + ms
      // A trace left by rounding would never go away.
      if (Math.abs(this.#double[0]!) < 2 ** -20) this.#double[0] = 0
      if (Atomics.compareExchange(this.#bits, slot, seen, this.#doubleBits[0]!) === seen) break
    }
    const set = (slot / WAYS) | 0
    Atomics.or(this.#dirty, (set / SETS_PER_WORD) | 0, 1 << (set % SETS_PER_WORD))
  }

  /** What is not collected yet. */
  of(slot: number): number {
    return this.#spent[slot]!
  }

  /** Takes out up to `max` amounts, whole sets at a time; `keyOf`: the key a slot holds. */
  collect(max: number, keyOf: (slot: number) => number): Spent[] {
    const found: Spent[] = []
    const words = this.#dirty.length
    for (let n = 0; n < words; n++) {
      const word = (this.#next + n) % words
      if (this.#dirty[word] === 0) continue
      if (found.length + SETS_PER_WORD * WAYS > Math.max(max, SETS_PER_WORD * WAYS)) {
        this.#next = word
        return found
      }
      const marks = Atomics.exchange(this.#dirty, word, 0)
      for (let bit = 0; bit < SETS_PER_WORD; bit++)
        if ((marks >>> bit) & 1) this.#collectSet(word * SETS_PER_WORD + bit, found, keyOf)
    }
    this.#next = 0
    return found
  }

  /** Whether anything is left to collect. */
  get dirty(): boolean {
    return this.#dirty.some((word) => word !== 0)
  }

  #collectSet(set: number, found: Spent[], keyOf: (slot: number) => number): void {
    for (let slot = set * WAYS; slot < (set + 1) * WAYS; slot++) {
      // In this order: a slot that owes is not given away, so the key is that of the amount.
      if (!this.owes(slot)) continue
      const key = keyOf(slot)
      this.#doubleBits[0] = Atomics.exchange(this.#bits, slot, 0n)
      found.push({ slot, key, spentMs: this.#double[0]!, longestMs: this.#longest[slot]! })
    }
  }
}

/** Slots of one table where nothing else is asked for: 786 KB a worker, room for about 1,500 busy routes. */
export const DEFAULT_CAPACITY = 65_536

/** Ids of routes, services and instances that fit a key. */
export const MAX_IDS = 16_384

/** Behind the values and before the keys stand two more numbers: what was dropped, and the slots in use. */
const COUNTS_BYTES = 16

/** Slots that the numbers of one id are spread over, and how far apart those of two metrics begin. */
const NEAR = 32
const METRIC_STEP = 11

/**
 * One series as a 32-bit key: the metric (1 to 31), what it is about (a route, service or instance id, below
 * `MAX_IDS`) and one more small number (below 8192: status and method, bucket, code, state). Never 0.
 */
export function seriesKey(metric: number, id = 0, small = 0): number {
  return (metric << 27) | (id << 13) | small
}

/** The metric of a key. */
export const keyMetric = (key: number): number => key >>> 27
/** The route, service or instance id of a key. */
export const keyId = (key: number): number => (key >>> 13) & (MAX_IDS - 1)
/** The small number of a key. */
export const keySmall = (key: number): number => key & 8191

/** Memory for one table. `capacity`: slots, a power of two of at least 16; 12 bytes each. */
export function createSeriesBuffer(capacity = DEFAULT_CAPACITY): SharedArrayBuffer {
  if (capacity < 16 || (capacity & (capacity - 1)) !== 0)
    throw new RangeError(`creating a metrics table: capacity ${capacity} is not a power of two of 16 or more`)
  return new SharedArrayBuffer(COUNTS_BYTES + capacity * 12)
}

/**
 * The numbers one thread counts, in memory the control plane reads while it is scraped. Exactly one thread
 * writes a table, so writes are plain; a reader may be one addition behind. The memory outlives its writer: a
 * worker that replaces a lost one goes on in the same buffer, so counters never fall back.
 *
 * Bounded: at seven eighths of the capacity no new series starts. What is counted for a series without a
 * slot is lost, and each such loss is itself counted (`dropped`). Series that have a slot go on.
 */
export class Series {
  readonly #keys: Int32Array
  readonly #values: Float64Array
  /**
   * Open addressing. What is counted for one route, service or instance lies together, from a place that the top bits of
   * its multiplied id tell: a request counts eight numbers of its route, which are then in few lines of the cache.
   */
  readonly #shift: number
  readonly #mask: number
  /** Stands for every series that found no room; its value is `dropped`. */
  readonly #overflow: number
  readonly #limit: number
  /** Whether there was no writer before. */
  readonly #fresh: boolean

  /** `buffer`: made by `createSeriesBuffer`, new or left by an earlier writer. */
  constructor(buffer: SharedArrayBuffer) {
    const capacity = (buffer.byteLength - COUNTS_BYTES) / 12
    this.#values = new Float64Array(buffer, 0, capacity + 2)
    this.#keys = new Int32Array(buffer, COUNTS_BYTES + capacity * 8, capacity)
    this.#shift = Math.clz32(capacity / NEAR) + 1
    this.#mask = capacity - 1
    this.#overflow = capacity
    this.#limit = (capacity * 7) / 8
    this.#fresh = this.size === 0
  }

  /** Adds to a series, starting it at zero. */
  add(key: number, n: number): void {
    this.addAt(this.slot(key), n)
  }

  /** Gives a series this value. */
  set(key: number, n: number): void {
    this.setAt(this.slot(key), n)
  }

  /** Where a series lives, for hot objects to keep: valid for the life of the buffer. */
  slot(key: number): number {
    const keys = this.#keys
    const near = (Math.imul(key >>> 27, METRIC_STEP) + key) & (NEAR - 1)
    const block = Math.imul((key >>> 13) & (MAX_IDS - 1), 0x9e3779b1) >>> this.#shift
    let at = (block * NEAR + near) & this.#mask
    for (;;) {
      const found = keys[at]
      if (found === key) return at
      if (found === 0) break
      at = (at + 1) & this.#mask
    }
    if (this.size >= this.#limit) return this.#overflow
    this.#values[this.#overflow + 1]! += 1
    // A reader that sees the key must see a value that is not of another series: slots are never given back.
    Atomics.store(keys, at, key)
    return at
  }

  /** `add` with a slot from `slot`. */
  addAt(slot: number, n: number): void {
    this.#values[slot]! += slot === this.#overflow ? 1 : n
  }

  /** `set` with a slot from `slot`. */
  setAt(slot: number, n: number): void {
    if (slot === this.#overflow) this.#values[slot]! += 1
    else this.#values[slot] = n
  }

  /** Sets every series of these metrics that an earlier writer has left to zero: gauges, by the one that replaces it. */
  zero(metrics: ReadonlySet<number>): void {
    // Looking at all slots is a tenth of a worker's start.
    if (this.#fresh) return
    for (let at = 0; at < this.#keys.length; at++)
      if (this.#keys[at] !== 0 && metrics.has(keyMetric(this.#keys[at]!))) this.#values[at] = 0
  }

  /** Series in use. */
  get size(): number {
    return this.#values[this.#overflow + 1]!
  }
}

/** Additions and settings lost because the table was full. For any thread. */
export function readDropped(buffer: SharedArrayBuffer): number {
  const capacity = (buffer.byteLength - COUNTS_BYTES) / 12
  return new Float64Array(buffer, capacity * 8, 1)[0]!
}

/** Adds every series of a table to `into`, by key. For any thread. */
export function readSeries(buffer: SharedArrayBuffer, into: Map<number, number>): void {
  const capacity = (buffer.byteLength - COUNTS_BYTES) / 12
  const values = new Float64Array(buffer, 0, capacity)
  const keys = new Int32Array(buffer, COUNTS_BYTES + capacity * 8, capacity)
  for (let at = 0; at < capacity; at++) {
    const key = keys[at]!
    if (key !== 0) into.set(key, (into.get(key) ?? 0) + values[at]!)
  }
}

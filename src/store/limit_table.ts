import type { Spending } from "./limit_spending.ts"

/** A token bucket: `burst` tokens, one more each `emissionMs`. */
export interface Bucket {
  /** Time a token takes to come back, in ms; above 0. */
  readonly emissionMs: number
  /** Time a whole bucket takes to fill, in ms: burst × emission. */
  readonly toleranceMs: number
  /**
   * Furthest the arrival time may lie ahead, in ms: more is no debt but another clock, or an older rate. Default:
   * 8 times the tolerance.
   */
  readonly longestMs?: number
  /** What is taken is not noted for other machines: they learn it otherwise. Default: it is. */
  readonly exact?: boolean
  /** Unsigned 32-bit number, the same for all keys that may share a bucket when their set is full. */
  readonly overflow: number
}

/** What `take` and `peek` find, written into an object of the caller so that nothing is allocated. */
export class Decision {
  allowed = false
  /** Whole tokens left. */
  remaining = 0
  /** Until the same would be allowed; 0 when it is. Never below 0. */
  retryAfterMs = 0
  /** Until the bucket is full again. Never below 0. */
  resetMs = 0
  /** The key has found no room: it was charged to a bucket it shares with others of its group. */
  shared = false
  /** Arrival time to write; NaN: nothing is to be written. */
  nextMs = Number.NaN
}

const WAYS = 16
const STRIPES = 1024
/** Slots a key, so that a full table still finds room for nearly all: sets of 16 at two thirds at most. */
const SLOTS_PER_KEY = 1.4
/** Key and time; and of each set one more time, of the bucket shared when it is full. */
const BYTES_PER_SLOT = 16 + 8 / WAYS
const LOCK_BYTES = 64 + STRIPES * 4

/** Clocks of two threads may differ by half of this: a slot is free only when all agree that it is idle. */
const CLOCK_SKEW_MS = 20
/** Half a microsecond: what arithmetic in doubles may lose. */
const ROUNDING_MS = 2 ** -11

/**
 * The clocks of two threads may differ by a little less than this. Without allowing for it, a thread whose clock is
 * behind refuses the last of several requests that come at once. Never as much as a token.
 */
const SKEW_MS = 0.5
/** A count of so many takes some milliseconds. */
const MOST_SETS_COUNTED = 2 ** 17
/** Tries for a lock before it is waited for, and waits of 1 ms before its holder counts as dead. */
const SPINS = 200
const WAITS = 50

/**
 * Memory for a table of so many keys: 16.5 bytes for each of 1.4 slots a key. The system gives it page by page as keys
 * come; but the collectors of all threads count it whole, and leave three times as much garbage around: no more of it
 * than is asked for.
 */
export function createLimitMemory(maxKeys: number): SharedArrayBuffer {
  const sets = Math.max(64, Math.ceil((maxKeys * SLOTS_PER_KEY) / WAYS))
  return new SharedArrayBuffer(LOCK_BYTES + sets * WAYS * BYTES_PER_SLOT)
}

/**
 * Token buckets in GCRA form (ITU-T I.371), shared by all threads that open the same memory: one number a key, its
 * theoretical arrival time (TAT) in ms on the clock of lib/clock.ts. Exact: however many threads take from one
 * bucket, together they get what one would, give or take the difference of their clocks (at most 10 ms of the rate,
 * once).
 *
 * A key is 53 bits of a keyed hash. It lives in one set of 16 slots. A slot whose TAT has passed holds a full bucket,
 * which is what an unknown key has, so it is free for another key: nothing is ever swept. **When all 16 are in use**
 * nobody loses a state: the new key is charged to a bucket all newcomers of the set share, at its own rate, and
 * starts from that bucket's state when it finds room later. So a full set is stricter, never more lenient; other
 * sets do not notice.
 *
 * How threads stay out of each other's way. A TAT is a double whose 64 bits are compared and swapped; a key is a
 * double, read and written whole. Who charges reads the TAT, then makes sure the slot still is its key's, then swaps:
 * the swap fails if the slot was given away in between, as a slot's TAT only ever goes to a value it has never had
 * under another key. Who gives a slot away first takes the old key out, then swaps the TAT, then puts the new key
 * in. Only that, the first request of a key, takes a lock (one of 1024), so that no key gets two slots. A thread
 * that dies within those few instructions holds others up by 50 ms, once.
 */
export class LimitTable {
  readonly #locks: Int32Array
  readonly #keys: Float64Array
  readonly #tats: Float64Array
  /** The same memory as `#tats`, for Atomics. */
  readonly #bits: BigInt64Array
  readonly #shared: BigInt64Array
  readonly #sets: number
  readonly #spending: Spending | undefined
  /** Number of this thread among those that use the table, from 1. */
  readonly #me: number
  /** One double seen as its bits. */
  readonly #double = new Float64Array(1)
  readonly #doubleBits = new BigInt64Array(this.#double.buffer)

  /** `memory`: made by `createLimitMemory`. `spending`: notes what is taken for other machines; shared buckets are not. */
  constructor(memory: SharedArrayBuffer, spending?: Spending) {
    const slots = slotsOf(memory)
    this.#spending = spending
    const keysAt = LOCK_BYTES + (slots / WAYS) * 8
    this.#me = Atomics.add(new Int32Array(memory, 0, 1), 0, 1) + 1
    this.#locks = new Int32Array(memory, 64, STRIPES)
    this.#shared = new BigInt64Array(memory, LOCK_BYTES, slots / WAYS)
    this.#keys = new Float64Array(memory, keysAt, slots)
    this.#tats = new Float64Array(memory, keysAt + slots * 8, slots)
    this.#bits = new BigInt64Array(memory, keysAt + slots * 8, slots)
    this.#sets = slots / WAYS
  }

  /** Slots there are. */
  get slots(): number {
    return this.#keys.length
  }

  /**
   * Takes `cost` tokens (above 0) if the bucket has them. `high`, `low`: the key, 64 bits of a keyed hash.
   * A refusal takes nothing.
   */
  take(high: number, low: number, bucket: Bucket, cost: number, nowMs: number, into: Decision): void {
    const key = keyOf(high, low)
    const set = this.#setOf(low)
    into.shared = false
    for (;;) {
      const slot = this.#find(key, set)
      if (slot === -1) {
        if (this.#enter(key, set, bucket, cost, nowMs, into)) return
        continue
      }
      const seen = Atomics.load(this.#bits, slot)
      // In this order: the key is read after the time, or it could be another's time.
      if (this.#keys[slot] !== key) continue
      decide(this.#toDouble(seen), bucket, cost, nowMs, into)
      if (this.#swap(this.#bits, slot, seen, into.nextMs)) {
        if (into.allowed) this.#spend(slot, bucket, cost)
        return
      }
    }
  }

  /** Whether `take` would be allowed now, taking nothing: `remaining` and `resetMs` are those before. */
  peek(high: number, low: number, bucket: Bucket, cost: number, nowMs: number, into: Decision): void {
    const key = keyOf(high, low)
    const set = this.#setOf(low)
    const slot = this.#find(key, set)
    into.shared = false
    const tat =
      slot === -1
        ? this.#toDouble(Atomics.load(this.#shared, this.#sharedAt(set, bucket)))
        : this.#toDouble(Atomics.load(this.#bits, slot))
    decide(tat, bucket, cost, nowMs, into)
    if (into.allowed) tell(into.resetMs - cost * bucket.emissionMs, bucket, into)
  }

  /** Puts back what `take` took a moment ago. Until then others found it gone, so they may have been refused. */
  giveBack(high: number, low: number, bucket: Bucket, cost: number): void {
    const key = keyOf(high, low)
    const set = this.#setOf(low)
    for (;;) {
      const slot = this.#find(key, set)
      const times = slot === -1 ? this.#shared : this.#bits
      const at = slot === -1 ? this.#sharedAt(set, bucket) : slot
      const seen = Atomics.load(times, at)
      if (slot !== -1 && this.#keys[slot] !== key) continue
      if (!this.#swap(times, at, seen, this.#toDouble(seen) - cost * bucket.emissionMs)) continue
      if (slot !== -1) this.#spend(slot, bucket, -cost)
      return
    }
  }

  /** Notes for other machines what was taken from a bucket that is `exact`, as they could not be told. */
  note(high: number, low: number, bucket: Bucket, cost: number): void {
    const slot = this.slotOf(high, low)
    if (slot !== -1) this.#spend(slot, { ...bucket, exact: false }, cost)
  }

  /** Where a key is; -1: nowhere. */
  slotOf(high: number, low: number): number {
    return this.#find(keyOf(high, low), this.#setOf(low))
  }

  /** 53 bits of the key's hash; 0: the slot has none. */
  keyAt(slot: number): number {
    return this.#keys[slot]!
  }

  /** Arrival time on the clock of `take`, in ms. */
  tatAt(slot: number): number {
    return this.#tats[slot]!
  }

  /** Moves the arrival time of a key forward to this, if it is not there yet and the slot still is the key's. */
  raise(slot: number, key: number, tatMs: number): void {
    for (;;) {
      const seen = Atomics.load(this.#bits, slot)
      if (this.#keys[slot] !== key || this.#toDouble(seen) >= tatMs) return
      if (this.#swap(this.#bits, slot, seen, tatMs)) return
    }
  }

  /** How many keys are not idle; of a table of more than two million slots an estimate from so many. */
  countKeys(nowMs: number): number {
    const sets = this.slots / WAYS
    const step = Math.max(1, Math.floor(sets / MOST_SETS_COUNTED))
    let used = 0
    let seen = 0
    for (let set = 0; set < sets; set += step) {
      seen++
      for (let slot = set * WAYS; slot < (set + 1) * WAYS; slot++) if (this.#tats[slot]! > nowMs) used++
    }
    return Math.round((used * sets) / seen)
  }

  #find(key: number, set: number): number {
    const keys = this.#keys
    for (let slot = set; slot < set + WAYS; slot++) if (keys[slot] === key) return slot
    return -1
  }

  /** Buckets of unlike rates stay apart: each group begins at another place. */
  #sharedAt(set: number, { overflow }: Bucket): number {
    return (set / WAYS + overflow) % this.#sets
  }

  /** First slot of the set of a key. */
  #setOf(low: number): number {
    // 31 bits: a remainder of integers is several times as fast as one of doubles.
    return ((low & 0x7fff_ffff) % this.#sets) * WAYS
  }

  /** Decides for a key without a slot, giving it one if it is allowed. `false`: it has one by now, look again. */
  #enter(key: number, set: number, bucket: Bucket, cost: number, nowMs: number, into: Decision): boolean {
    const stripe = (set / WAYS) & (STRIPES - 1)
    this.#lock(stripe)
    try {
      if (this.#find(key, set) !== -1) return false
      const at = this.#sharedAt(set, bucket)
      const common = Atomics.load(this.#shared, at)
      decide(this.#toDouble(common), bucket, cost, nowMs, into)
      // Refused by the state it starts from, it needs no slot.
      if (!into.allowed) {
        into.shared = true
        return this.#swap(this.#shared, at, common, into.nextMs)
      }
      for (let slot = set; slot < set + WAYS; slot++) {
        const seen = Atomics.load(this.#bits, slot)
        const tat = this.#toDouble(seen)
        if (tat !== 0 && tat >= nowMs - CLOCK_SKEW_MS) continue
        // Idle, but its last takes are not told yet.
        if (this.#spending?.owes(slot)) continue
        const old = this.#keys[slot]!
        this.#keys[slot] = 0
        if (this.#swap(this.#bits, slot, seen, into.nextMs)) {
          this.#keys[slot] = key
          this.#spend(slot, bucket, cost)
          return true
        }
        // Charged this very moment: it is not idle any more.
        this.#keys[slot] = old
      }
      into.shared = true
      return this.#swap(this.#shared, at, common, into.nextMs)
    } finally {
      Atomics.compareExchange(this.#locks, stripe, this.#me, 0)
    }
  }

  #spend(slot: number, bucket: Bucket, cost: number): void {
    if (this.#spending === undefined || bucket.exact) return
    const { emissionMs, toleranceMs, longestMs = 8 * toleranceMs } = bucket
    this.#spending.add(slot, cost * emissionMs, longestMs)
  }

  #lock(stripe: number): void {
    for (let tries = 1; ; tries++) {
      const holder = Atomics.compareExchange(this.#locks, stripe, 0, this.#me)
      if (holder === 0) return
      if (tries < SPINS) continue
      if (tries > SPINS + WAITS && Atomics.compareExchange(this.#locks, stripe, holder, this.#me) === holder)
        return
      Atomics.wait(this.#locks, stripe, holder, 1)
    }
  }

  /** `true` when `next` is written now, or is NaN. */
  #swap(times: BigInt64Array, at: number, seen: bigint, next: number): boolean {
    if (Number.isNaN(next)) return true
    this.#double[0] = next
    return Atomics.compareExchange(times, at, seen, this.#doubleBits[0]!) === seen
  }

  #toDouble(bits: bigint): number {
    this.#doubleBits[0] = bits
    return this.#double[0]!
  }
}

/** Slots a table in this memory has. */
export function slotsOf(memory: SharedArrayBuffer): number {
  return (memory.byteLength - LOCK_BYTES) / BYTES_PER_SLOT
}

/** 53 bits of a hash of 64, which a double holds exactly; never 0, which is no key. */
export function keyOf(high: number, low: number): number {
  return (high & 0x1fffff) * 0x1_0000_0000 + (low >>> 0) || 1
}

/** The generic cell rate algorithm, virtual scheduling: what comes of asking a bucket with this arrival time. */
function decide(tat: number, bucket: Bucket, cost: number, nowMs: number, into: Decision): void {
  const { emissionMs, toleranceMs, longestMs = 8 * toleranceMs } = bucket
  const charge = cost * emissionMs
  let start = Math.max(tat, nowMs)
  into.nextMs = Number.NaN
  if (start - nowMs > longestMs) {
    start = nowMs + longestMs
    into.nextMs = start
  }
  const waitMs = start - nowMs + charge - toleranceMs
  into.allowed = waitMs <= Math.max(ROUNDING_MS, Math.min(SKEW_MS, emissionMs / 2))
  if (into.allowed) {
    start += charge
    into.nextMs = start
  }
  into.retryAfterMs = into.allowed ? 0 : waitMs
  tell(start - nowMs, bucket, into)
}

/** `aheadMs`: how far the arrival time is ahead. */
function tell(aheadMs: number, { emissionMs, toleranceMs }: Bucket, into: Decision): void {
  into.resetMs = Math.max(0, aheadMs)
  // The millionth makes up for divisions that end just below a whole number.
  into.remaining = Math.max(0, Math.floor((toleranceMs - aheadMs) / emissionMs + 1e-6))
}

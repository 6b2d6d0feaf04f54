import type { Clock } from "../lib/clock.ts"
import type { HashKey } from "../lib/keyed_hash.ts"
import type { Log } from "../observe/log.ts"
import type { ExactAnswer, ExactTake } from "../policies/limits.ts"
import { SYNC_LIMITS, TAKE_LIMIT } from "../store/limit_scripts.ts"
import type { Spending, Spent } from "../store/limit_spending.ts"
import { keyOf } from "../store/limit_table.ts"
import type { Redis } from "../store/redis.ts"
import type { LimitKeeper } from "./limit_keeper.ts"

export interface LimitSyncDeps {
  readonly redis: Pick<Redis, "run" | "prefix" | "connected" | "up">
  readonly keeper: LimitKeeper
  readonly now: Clock
  readonly after: (ms: number, run: () => void) => () => void
  readonly log: Log
  /** Told what became of a round: buckets that were told of, or could not be. */
  readonly onSynced: (result: "sent" | "failed", buckets: number) => void
}

/** Buckets a call tells of; Redis does nothing else for some 2 µs each. */
const BATCH = 2000
/** What was used longer ago than this and could not be told is forgotten, unless the bucket still owes it. */
const REMEMBERED_MS = 1000

/**
 * Shares the buckets of this machine with others by Redis. Each round tells how much was taken of each bucket since
 * the last one, in one call, and brings back how far its arrival time is ahead for all machines together; the
 * bucket here is moved forward to that, never back. So a bucket is what all have taken, except for what the others
 * took since they last told. Times are exchanged as distances from now: no clocks are compared.
 *
 * Only one call is under way. While Redis is away, buckets go on by themselves, and what they took is kept: of
 * each no more than it still owes and what comes back in a second.
 */
export class LimitSync {
  readonly #deps: LimitSyncDeps
  readonly #spending: Spending
  readonly #group: string
  readonly #hashKeyName: string
  #intervalMs: number
  /** When what was told last had been collected. */
  #toldUntil: number
  #stop = (): void => {}
  #closed = false
  #round: Promise<void> = Promise.resolve()

  /** `intervalMs`: pause between rounds. */
  constructor(deps: LimitSyncDeps, intervalMs: number) {
    if (deps.keeper.spending === undefined) throw new Error("sharing limits: their table notes nothing")
    this.#deps = deps
    this.#spending = deps.keeper.spending
    // One tag, so that a Cluster keeps them all in one place.
    this.#group = `{${deps.redis.prefix}:limits}:`
    this.#hashKeyName = `${this.#group}hash_key`
    this.#intervalMs = intervalMs
    this.#toldUntil = deps.now()
  }

  /** Resolves after the first round, which finds out by what key the others hash. Rounds go on until `close`. */
  start(): Promise<void> {
    this.#begin()
    return this.#round
  }

  apply(intervalMs: number): void {
    this.#intervalMs = intervalMs
  }

  /** Tells what is left to tell, if Redis answers soon. */
  async close(): Promise<void> {
    this.#closed = true
    this.#stop()
    await this.#round
    if (this.#deps.redis.up) await this.sync()
  }

  #begin(): void {
    this.#round = this.sync().then((full) => {
      if (!this.#closed) this.#stop = this.#deps.after(full ? 0 : this.#intervalMs, () => this.#begin())
    })
  }

  /** One round. `true`: there is more to tell at once. Never rejects; not to be called while one runs. */
  async sync(): Promise<boolean> {
    const { redis, now, onSynced } = this.#deps
    const collectedAt = now()
    if (!redis.connected) {
      if (collectedAt - this.#toldUntil > REMEMBERED_MS) this.#forget(collectedAt)
      return false
    }
    const spent = this.#collect(BATCH, collectedAt)
    const elapsedMs = this.#elapsed(collectedAt)
    const { table, memory } = this.#deps.keeper
    const keys = [this.#hashKeyName]
    const args: (string | number)[] = [hexOf(memory.key), elapsedMs.toFixed(3)]
    for (const { slot, key, spentMs, longestMs } of spent) {
      keys.push(this.#group + key.toString(36))
      const aheadMs = Math.max(-elapsedMs, table.tatAt(slot) - collectedAt)
      args.push(spentMs.toFixed(3), aheadMs.toFixed(3), longestMs.toFixed(0))
    }
    try {
      const answer = (await redis.run(SYNC_LIMITS, keys, args)) as string[]
      if (!this.#holds(answer[0])) return false
      this.#merge(spent, answer, collectedAt)
      onSynced("sent", spent.length)
      const more = spent.length > 0 && this.#spending.dirty && spent.length >= BATCH / 2
      // What is left for the next call was taken in the same time.
      if (!more) this.#toldUntil = collectedAt
      return more
    } catch {
      // The connection has told why. It may have been counted and is told again: too strict by a round at most.
      this.#putBack(spent)
      onSynced("failed", spent.length)
      return false
    }
  }

  /** Takes from a bucket of all machines. `undefined`: Redis is away, and the bucket here decides. Never rejects. */
  async take(take: ExactTake): Promise<ExactAnswer | undefined> {
    const { redis, keeper } = this.#deps
    if (!redis.up) return undefined
    const keys = [this.#hashKeyName, this.#group + keyOf(take.high, take.low).toString(36)]
    const { chargeMs, toleranceMs, longestMs } = take
    const args = [hexOf(keeper.memory.key), chargeMs, toleranceMs, longestMs]
    try {
      const answer = (await redis.run(TAKE_LIMIT, keys, args)) as [string, number, string]
      if (!this.#holds(answer[0])) return undefined
      return { kind: "limit", allowed: answer[1] === 1, aheadMs: Number(answer[2]) }
    } catch {
      // The connection has told why; the caller decides by itself.
      return undefined
    }
  }

  /** Whether others hash by the same key; if not, theirs is taken. */
  #holds(held: string | undefined): boolean {
    const { keeper, log } = this.#deps
    if (held === hexOf(keeper.memory.key)) return true
    const key = held === undefined ? undefined : fromHex(held)
    if (key !== undefined) {
      keeper.adopt(key)
      log.info("limits.joined")
    }
    return false
  }

  /** Of the time since the last round only so much counts: what was used before has come back. Never below 0. */
  #elapsed(at: number): number {
    return Math.max(0, Math.min(at - this.#toldUntil, Math.max(REMEMBERED_MS, 2 * this.#intervalMs)))
  }

  #collect(max: number, at: number): Spent[] {
    const { table } = this.#deps.keeper
    const elapsedMs = this.#elapsed(at)
    const spent = this.#spending.collect(max, (slot) => table.keyAt(slot))
    return spent.map((each) => {
      // No bucket can have given more in that time: the rest was before it.
      const most = elapsedMs + Math.max(0, table.tatAt(each.slot) - at)
      return each.spentMs > most ? { ...each, spentMs: most } : each
    })
  }

  #merge(spent: readonly Spent[], answer: readonly string[], collectedAt: number): void {
    const { table } = this.#deps.keeper
    for (const [i, { slot, key }] of spent.entries()) {
      const aheadMs = Number(answer[i + 1])
      // What was taken since is on top of it. Counted from when it was asked for: no answer makes wait by being late.
      if (aheadMs > 0) table.raise(slot, key, collectedAt + aheadMs + this.#spending.of(slot))
    }
  }

  #putBack(spent: readonly Spent[]): void {
    const { table } = this.#deps.keeper
    for (const { slot, key, spentMs, longestMs } of spent)
      if (table.keyAt(slot) === key) this.#spending.add(slot, spentMs, longestMs)
  }

  /** Lets go of buckets that are full again, so that others can have their room. */
  #forget(at: number): void {
    const { table } = this.#deps.keeper
    const all = this.#collect(Number.MAX_SAFE_INTEGER, at)
    this.#putBack(all.filter(({ slot }) => table.tatAt(slot) > at - REMEMBERED_MS))
  }
}

function hexOf(key: HashKey): string {
  return key.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("")
}

/** `undefined`: somebody else wrote it. */
function fromHex(text: string): HashKey | undefined {
  if (!/^[0-9a-f]{16}$/.test(text)) return undefined
  return [Number.parseInt(text.slice(0, 8), 16), Number.parseInt(text.slice(8), 16)]
}

import type { HashKey } from "../lib/keyed_hash.ts"
import type { LimitCount } from "../observe/limit_counts.ts"
import type { LimitTable } from "../store/limit_table.ts"
import type { LimitLog } from "./limit_log.ts"

/** A take from a bucket all machines share, of a limit with `exact`; times in ms. */
export interface ExactTake {
  readonly kind: "limit"
  /** The key, 64 bits of a keyed hash. */
  readonly high: number
  readonly low: number
  readonly chargeMs: number
  readonly toleranceMs: number
  readonly longestMs: number
}

export interface ExactAnswer {
  readonly kind: "limit"
  readonly allowed: boolean
  /** How far the bucket's arrival time is ahead now, in ms. */
  readonly aheadMs: number
}

/** What limits need of the thread they run in. */
export interface Limits {
  readonly table: LimitTable
  /** Asks for all machines; never rejects, `undefined`: nobody knows just now. Absent: there is but this machine. */
  readonly exact?: (take: ExactTake) => Promise<ExactAnswer | undefined>
  /** The same in all threads that share the table. */
  readonly key: HashKey
  /** Counts what comes of a limit of this name. */
  counter(limit: string): LimitCount
  readonly log: LimitLog
  /** Runs `run` once after so many ms; what it returns takes it back. */
  after(ms: number, run: () => void): () => void
}

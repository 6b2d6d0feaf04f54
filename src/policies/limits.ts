import type { HashKey } from "../lib/keyed_hash.ts"
import type { LimitCount } from "../observe/limit_counts.ts"
import type { LimitTable } from "../store/limit_table.ts"
import type { LimitLog } from "./limit_log.ts"

/** What limits need of the thread they run in. */
export interface Limits {
  readonly table: LimitTable
  /** The same in all threads that share the table. */
  readonly key: HashKey
  /** Counts what comes of a limit of this name. */
  counter(limit: string): LimitCount
  readonly log: LimitLog
  /** Runs `run` once after so many ms; what it returns takes it back. */
  after(ms: number, run: () => void): () => void
}

import type { LimitMemory } from "../gateway/protocol.ts"
import type { Questions } from "../gateway/questions.ts"
import { after } from "../lib/after.ts"
import { now } from "../lib/clock.ts"
import type { HashKey } from "../lib/keyed_hash.ts"
import type { LimitCounts } from "../observe/limit_counts.ts"
import type { Log } from "../observe/log.ts"
import { LimitLog } from "../policies/limit_log.ts"
import type { ExactTake, Limits } from "../policies/limits.ts"
import { Spending } from "../store/limit_spending.ts"
import { LimitTable, slotsOf } from "../store/limit_table.ts"

/** Buckets of rate limits as one worker sees them; the key may become another. */
export type WorkerLimits = Limits & { key: HashKey }

/** The buckets all workers share. */
export function shareLimits(
  { table, spending, key }: LimitMemory,
  counts: LimitCounts,
  questions: Questions,
  log: Log,
): WorkerLimits {
  return {
    table: new LimitTable(table, spending && new Spending(spending, slotsOf(table))),
    key,
    counter: (limit) => counts.counter(limit),
    log: new LimitLog(log, now),
    after,
    ...(spending !== undefined && { exact: (take: ExactTake) => questions.ask(take) }),
  }
}

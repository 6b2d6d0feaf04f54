import { after } from "../../src/lib/after.ts"
import { now } from "../../src/lib/clock.ts"
import { LimitCounts } from "../../src/observe/limit_counts.ts"
import { createSeriesBuffer, Series } from "../../src/observe/series.ts"
import { LimitLog } from "../../src/policies/limit_log.ts"
import type { Limits } from "../../src/policies/limits.ts"
import { createLimitMemory, LimitTable } from "../../src/store/limit_table.ts"
import { memoryLog } from "./memory_log.ts"

/** What limits need, in memory of its own, counted and logged to nowhere. */
export function makeLimits(changes: Partial<Limits> = {}): Limits {
  const counts = new LimitCounts(new Series(createSeriesBuffer(1024)))
  return {
    table: new LimitTable(createLimitMemory(10_000)),
    key: [1, 2],
    counter: (limit) => counts.counter(limit),
    log: new LimitLog(memoryLog(), now),
    after,
    ...changes,
  }
}

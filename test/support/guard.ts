import { ClientGuard, type ClientGuardDeps } from "../../src/gateway/client_guard.ts"
import type { LimitMemory } from "../../src/gateway/protocol.ts"
import { now } from "../../src/lib/clock.ts"
import { createSeriesBuffer, Series } from "../../src/observe/series.ts"
import { createLimitMemory } from "../../src/store/limit_table.ts"
import { memoryLog } from "./memory_log.ts"

/** Memory for scores that nobody else uses. */
export const makeScores = (maxKeys = 1000): LimitMemory => ({
  table: createLimitMemory(maxKeys),
  key: [3, 4],
})

/** A worker's guard that tells nobody of offences. */
export function makeGuard(changes: Partial<ClientGuardDeps> = {}, scores = makeScores()): ClientGuard {
  const guard = new ClientGuard({
    now,
    log: memoryLog(),
    series: new Series(createSeriesBuffer(1024)),
    report: () => undefined,
    ...changes,
  })
  guard.share(scores)
  return guard
}

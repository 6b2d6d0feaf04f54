import type { Config } from "../config/schema.ts"
import type { SharedLimits } from "../gateway/control_options.ts"
import { LimitKeeper } from "../gateway/limit_keeper.ts"
import { LimitSync } from "../gateway/limit_sync.ts"
import type { After } from "../gateway/supervisor.ts"
import { now } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import type { Redis } from "../store/redis.ts"
import { LONGEST_LOOK_MS } from "./shared_redis.ts"

export interface OpenSharedLimits extends SharedLimits {
  /** Tells the other machines the last. */
  close(): Promise<void>
}

/**
 * Limits that are shared by Redis. Waits a second at most for it, so that callers are told apart as on the other
 * machines from the start, and goes on without it.
 */
export async function openSharedLimits(
  { limits }: Config,
  deps: { readonly redis: Redis; readonly after: After; readonly counts: Counts; readonly log: Log },
): Promise<OpenSharedLimits> {
  const { redis, after, counts, log } = deps
  const keeper = new LimitKeeper(limits.max_keys, true)
  const sync = new LimitSync(
    {
      redis,
      keeper,
      now,
      after,
      log,
      onSynced: (result, buckets) => counts.add("gatehouse_limit_sync_total", { result }, buckets),
    },
    limits.sync_interval,
  )
  await Promise.race([sync.start(), Bun.sleep(LONGEST_LOOK_MS)])
  return {
    keeper,
    sync,
    close: () => Promise.race([sync.close(), Bun.sleep(LONGEST_LOOK_MS)]),
  }
}

import type { Config } from "../config/schema.ts"
import type { SharedLimits } from "../gateway/control_options.ts"
import { LimitKeeper } from "../gateway/limit_keeper.ts"
import { LimitSync } from "../gateway/limit_sync.ts"
import type { After } from "../gateway/supervisor.ts"
import { now } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import { SYNC_LIMITS, TAKE_LIMIT } from "../store/limit_scripts.ts"
import { openRedis } from "../store/redis.ts"
import { toRedisSettings } from "../store/redis_settings.ts"

export interface OpenSharedLimits extends SharedLimits {
  /** Tells the other machines the last, then leaves. */
  close(): Promise<void>
}

/** How often the first contact is looked for at start, in ms, and how long at most. */
const LOOK_MS = 10
const LONGEST_LOOK_MS = 1000

/**
 * Limits that are shared by the Redis that config names; `undefined`: it names none. Waits a second at most for
 * Redis, so that callers are told apart as on the other machines from the start, and goes on without it.
 */
export async function openSharedLimits(
  config: Config,
  deps: { readonly after: After; readonly counts: Counts; readonly log: Log },
): Promise<OpenSharedLimits | undefined> {
  if (config.redis === undefined) return undefined
  const { after, counts, log } = deps
  const settings = toRedisSettings(config.redis)
  // Config is not taken with such a section.
  if (typeof settings === "string") throw new Error(`redis: ${settings}`)
  let shown = 0
  const redis = await openRedis(settings, [SYNC_LIMITS, TAKE_LIMIT], {
    log,
    random: Math.random,
    onUp(up) {
      counts.add("gatehouse_redis_up", {}, Number(up) - shown)
      shown = Number(up)
    },
  })
  const keeper = new LimitKeeper(config.limits.max_keys, true)
  const sync = new LimitSync(
    {
      redis,
      keeper,
      now,
      after,
      log,
      onSynced: (result, buckets) => counts.add("gatehouse_limit_sync_total", { result }, buckets),
    },
    config.limits.sync_interval,
  )
  const deadline = now() + LONGEST_LOOK_MS
  while (!redis.connected && now() < deadline) await Bun.sleep(LOOK_MS)
  await Promise.race([sync.start(), Bun.sleep(Math.max(0, deadline - now()))])
  return {
    keeper,
    sync,
    async close() {
      await Promise.race([sync.close(), Bun.sleep(LONGEST_LOOK_MS)])
      redis.close()
    },
  }
}

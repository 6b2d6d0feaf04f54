import type { Config } from "../config/schema.ts"
import { now } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import { CHANNEL_SCRIPTS } from "../realtime/channels/redis_store.ts"
import { SYNC_BLOCKS } from "../store/block_scripts.ts"
import { SYNC_LIMITS, TAKE_LIMIT } from "../store/limit_scripts.ts"
import { openRedis, type Redis, type Script } from "../store/redis.ts"
import { checkedRedisSettings } from "../store/redis_settings.ts"
import { SYNC_REGISTRY } from "../store/registry_script.ts"
import { SHARE_TROUBLES } from "../store/trouble_script.ts"

/** All that is asked of Redis. */
const SCRIPTS: readonly Script[] = [
  SYNC_LIMITS,
  TAKE_LIMIT,
  SYNC_BLOCKS,
  SYNC_REGISTRY,
  SHARE_TROUBLES,
  ...CHANNEL_SCRIPTS,
]

/** How often the first contact is looked for at start, in ms, and how long at most. */
const LOOK_MS = 10
export const LONGEST_LOOK_MS = 1000

/**
 * The Redis that config names, which all that is shared goes by; `undefined`: it names none. Waits a second at most
 * for it, so that what other machines know is known here from the start, and goes on without it.
 */
export async function openSharedRedis(
  config: Config,
  { counts, log }: { readonly counts: Counts; readonly log: Log },
): Promise<Redis | undefined> {
  if (config.redis === undefined) return undefined
  const settings = checkedRedisSettings(config.redis)
  let shown = 0
  const redis = await openRedis(settings, SCRIPTS, {
    log,
    random: Math.random,
    onUp(up) {
      counts.add("gatehouse_redis_up", {}, Number(up) - shown)
      shown = Number(up)
    },
  })
  const deadline = now() + LONGEST_LOOK_MS
  while (!redis.connected && now() < deadline) await Bun.sleep(LOOK_MS)
  return redis
}

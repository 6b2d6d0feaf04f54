import type { Config } from "../config/schema.ts"
import { after } from "../lib/after.ts"
import { now } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { ChannelStore } from "../realtime/channels/channel_store.ts"
import { MemoryChannelStore } from "../realtime/channels/memory_store.ts"
import { MEMORY_BOUNDS } from "../realtime/channels/options.ts"
import { RedisChannelStore } from "../realtime/channels/redis_store.ts"
import type { Redis } from "../store/redis.ts"
import { checkedRedisSettings } from "../store/redis_settings.ts"
import { RedisSubscriber } from "../store/redis_subscriber.ts"

export interface ConfiguredChannels {
  readonly store: ChannelStore
  /** Call about once a second. */
  sweep(): void
}

/** Where channels are: in the Redis that config names, so that all gateways have the same, or in memory. */
export function createChannelStore(
  { realtime, redis: section }: Pick<Config, "realtime" | "redis">,
  {
    redis,
    newId,
    log,
  }: {
    /** Knows `CHANNEL_SCRIPTS`; `undefined`: config names none. */
    readonly redis: Redis | undefined
    readonly newId: () => string
    readonly log: Log
  },
): ConfiguredChannels {
  if (redis === undefined || section === undefined) {
    const { max_channels: maxChannels, max_memory: maxBytes } = realtime ?? MEMORY_BOUNDS
    const store = new MemoryChannelStore({ now, newId, maxChannels, maxBytes })
    return { store, sweep: () => store.sweep() }
  }
  const settings = checkedRedisSettings(section)
  let lost = false
  const store = new RedisChannelStore({
    redis,
    newId,
    after,
    subscribe: ({ onMessage, onResumed }) =>
      new RedisSubscriber(settings, {
        random: Math.random,
        onMessage,
        onResumed() {
          if (lost) log.info("realtime.resumed")
          lost = false
          onResumed()
        },
        onLost(reason) {
          if (!lost) log.warn("realtime.fan_out_lost", { reason })
          lost = true
        },
      }),
  })
  return {
    store,
    sweep() {
      // Members run out in Redis by themselves.
    },
  }
}

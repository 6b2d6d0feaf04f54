import { after } from "../../src/lib/after.ts"
import { CHANNEL_SCRIPTS, RedisChannelStore } from "../../src/realtime/channels/redis_store.ts"
import { openRedis, type Redis } from "../../src/store/redis.ts"
import { type RedisConfig, toRedisSettings } from "../../src/store/redis_settings.ts"
import { RedisSubscriber } from "../../src/store/redis_subscriber.ts"
import { memoryLog } from "./memory_log.ts"
import { until } from "./until.ts"

/** What one gateway has of its channels in Redis. */
export interface ChannelVm {
  readonly store: RedisChannelStore
  readonly redis: Redis
  /** How many connections for subscriptions were made. */
  connections(): number
  /** Breaks the connection for subscriptions. */
  cut(): void
  close(): Promise<void>
}

/**
 * `fanOut`: where it hears of publications, when that is another way to Redis; `ticksPerSecond`: how fast its time goes,
 * if not as it should. The store is not opened.
 */
export async function startChannelVm(
  config: RedisConfig,
  {
    fanOut = config,
    ticksPerSecond = 1,
  }: { readonly fanOut?: RedisConfig; readonly ticksPerSecond?: number } = {},
): Promise<ChannelVm> {
  const settings = settingsOf(config)
  const redis = await openRedis(settings, CHANNEL_SCRIPTS, {
    log: memoryLog(),
    random: Math.random,
    onUp: () => {},
  })
  let connections = 0
  let subscriber: RedisSubscriber | undefined
  const store = new RedisChannelStore({
    redis,
    subscribe(deps) {
      subscriber = new RedisSubscriber(settingsOf(fanOut), {
        ...deps,
        random: Math.random,
        onLost: () => {},
        onResumed() {
          connections++
          deps.onResumed()
        },
      })
      return subscriber
    },
    newId: () => crypto.randomUUID(),
    after: (ms, run) => after(ms / ticksPerSecond, run),
  })
  await until(() => redis.connected, "the connection to Redis")
  return {
    store,
    redis,
    connections: () => connections,
    cut: () => subscriber?.reconnect(),
    async close() {
      await store.close()
      redis.close()
    },
  }
}

export const oneServer = (url: string): RedisConfig => ({
  url,
  tls: false,
  prefix: "gatehouse",
  connect_timeout: 2000,
  command_timeout: 500,
})

function settingsOf(config: RedisConfig) {
  const settings = toRedisSettings(config)
  if (typeof settings === "string") throw new Error(settings)
  return settings
}

import { RegistrySync } from "../../src/gateway/registry_sync.ts"
import { openRedis, type Redis } from "../../src/store/redis.ts"
import { type RedisConfig, toRedisSettings } from "../../src/store/redis_settings.ts"
import { SYNC_REGISTRY } from "../../src/store/registry_script.ts"
import type { Registered } from "../../src/upstream/discovery/registration.ts"
import { Registry } from "../../src/upstream/discovery/registry.ts"
import { memoryLog } from "./memory_log.ts"
import { until } from "./until.ts"

/** The registry of one gateway, shared by a real Redis; rounds happen when a test asks for them. */
export interface RegistryVm {
  readonly registry: Registry
  readonly sync: RegistrySync
  readonly redis: Redis
  readonly log: ReturnType<typeof memoryLog>
  /** Moves this gateway's clock on. */
  pass(ms: number): void
  register(instance: Registered): void
  heartbeat(instance: Registered): void
  deregister(instance: Registered): void
  drain(instance: Registered, draining: boolean): void
  /** Lets go what must go by the rule of the moment. */
  sweep(): void
  /** URLs of what it knows, sorted; draining ones with a "-". */
  known(): readonly string[]
}

const running: Redis[] = []

/** For `afterEach`. */
export function endRegistryVms(): void {
  for (const redis of running.splice(0)) redis.close()
}

/** `config`: a URL, or what a file has at `redis`. */
export async function startRegistryVm(config: RedisConfig, gateway: string): Promise<RegistryVm> {
  const log = memoryLog()
  const settings = toRedisSettings(config)
  if (typeof settings === "string") throw new Error(settings)
  const redis = await openRedis(settings, [SYNC_REGISTRY], {
    log,
    random: Math.random,
    onUp: () => undefined,
  })
  running.push(redis)
  await until(() => redis.connected, "Redis")
  const clock = { ms: 0 }
  const now = () => clock.ms
  const registry = new Registry({ now, epoch: gateway, onEvent: () => undefined })
  // Timers never fire: tests ask for rounds.
  const sync = new RegistrySync({ redis, registry, gateway, now, after: () => () => undefined, log })
  return {
    registry,
    sync,
    redis,
    log,
    pass(ms) {
      clock.ms += ms
    },
    register(instance) {
      const put = registry.register(instance)
      if (put.kind === "full") throw new Error(put.message)
      sync.registered(put.instance)
    },
    heartbeat({ service, id }) {
      const instance = registry.heartbeat(service, id)
      if (instance === undefined) throw new Error("it is not known")
      sync.beat(instance)
    },
    deregister({ service, id }) {
      const instance = registry.deregister(service, id)
      if (instance !== undefined) sync.left(instance)
    },
    drain({ service, id }, draining) {
      const instance = registry.drain(service, id, draining)
      if (instance !== undefined) sync.drained(instance)
    },
    sweep() {
      const expired = registry.expire(sync.rule)
      if (expired.length > 0) sync.expired(expired)
    },
    known: () => [...registry.instances()].map(({ url, draining }) => (draining ? `-${url}` : url)).sort(),
  }
}

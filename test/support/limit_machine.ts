import { LimitKeeper } from "../../src/gateway/limit_keeper.ts"
import { LimitSync } from "../../src/gateway/limit_sync.ts"
import { after } from "../../src/lib/after.ts"
import { type Clock, now as realNow } from "../../src/lib/clock.ts"
import { KeyedHash } from "../../src/lib/keyed_hash.ts"
import { SYNC_LIMITS, TAKE_LIMIT } from "../../src/store/limit_scripts.ts"
import { Spending } from "../../src/store/limit_spending.ts"
import { type Bucket, Decision, LimitTable, slotsOf } from "../../src/store/limit_table.ts"
import { openRedis, type Redis } from "../../src/store/redis.ts"
import { type RedisConfig, toRedisSettings } from "../../src/store/redis_settings.ts"
import { memoryLog } from "./memory_log.ts"
import { until } from "./until.ts"

const hash = new KeyedHash()
const open: LimitMachine[] = []

/** Ends what a test has left open. For `afterEach`. */
export function endMachines(): void {
  for (const machine of open.splice(0)) machine.end()
}

/** What one gateway has of its limits: a table as its workers use it, and what shares it. */
export class LimitMachine {
  readonly keeper: LimitKeeper
  readonly sync: LimitSync
  readonly redis: Redis
  readonly log: ReturnType<typeof memoryLog>
  readonly decision = new Decision()
  readonly #table: LimitTable
  readonly #now: Clock
  #ended = false

  constructor(redis: Redis, log: ReturnType<typeof memoryLog>, intervalMs: number, now: Clock) {
    this.redis = redis
    this.log = log
    this.#now = now
    this.keeper = new LimitKeeper(10_000, true)
    const { table, spending } = this.keeper.memory
    this.#table = new LimitTable(table, new Spending(spending!, slotsOf(table)))
    const guarded = (ms: number, run: () => void) => after(ms, () => this.#ended || run())
    this.sync = new LimitSync(
      { redis, keeper: this.keeper, now, after: guarded, log, onSynced: () => {} },
      intervalMs,
    )
    open.push(this)
  }

  /** Whether a request of this caller gets through. */
  take(caller: string, bucket: Bucket, cost = 1): boolean {
    hash.start(this.keeper.memory.key).text(caller).finish()
    this.#table.take(hash.high, hash.low, bucket, cost, this.#now(), this.decision)
    return this.decision.allowed
  }

  /** Asks Redis itself. */
  takeExactly(caller: string, bucket: Required<Pick<Bucket, "emissionMs" | "toleranceMs" | "longestMs">>) {
    hash.start(this.keeper.memory.key).text(caller).finish()
    const { high, low } = hash
    const { emissionMs: chargeMs, toleranceMs, longestMs } = bucket
    return this.sync.take({ kind: "limit", high, low, chargeMs, toleranceMs, longestMs })
  }

  end(): void {
    this.#ended = true
    void this.sync.close()
    this.redis.close()
  }
}

/** `intervalMs` 0: nothing is told unless the test calls `sync.sync()`. `away`: it will get no connection to Redis. */
export async function startMachine(
  config: RedisConfig,
  intervalMs = 0,
  now: Clock = realNow,
  away = false,
): Promise<LimitMachine> {
  const settings = toRedisSettings(config)
  if (typeof settings === "string") throw new Error(settings)
  const log = memoryLog()
  const redis = await openRedis(settings, [SYNC_LIMITS, TAKE_LIMIT], {
    log,
    random: Math.random,
    onUp: () => {},
  })
  const machine = new LimitMachine(redis, log, intervalMs, now)
  if (away) return machine
  await until(() => redis.connected, "a connection to Redis")
  // The first round learns the common key.
  if (intervalMs > 0) await machine.sync.start()
  else await machine.sync.sync()
  return machine
}

/** A limit of `perSecond` and `burst` as config would make it, with Redis. */
export function sharedBucket(perSecond: number, burst: number) {
  const emissionMs = 1000 / perSecond
  const toleranceMs = burst * emissionMs
  return { emissionMs, toleranceMs, longestMs: 64 * toleranceMs + 60_000, overflow: 7 }
}

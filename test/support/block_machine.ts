import { AbuseKeeper } from "../../src/gateway/abuse_keeper.ts"
import { BlockSync } from "../../src/gateway/block_sync.ts"
import { after } from "../../src/lib/after.ts"
import { type Clock, now as realNow } from "../../src/lib/clock.ts"
import { SYNC_BLOCKS } from "../../src/store/block_scripts.ts"
import { openRedis, type Redis } from "../../src/store/redis.ts"
import { type RedisConfig, toRedisSettings } from "../../src/store/redis_settings.ts"
import { exampleConfig } from "./config.ts"
import { memoryLog } from "./memory_log.ts"
import { until } from "./until.ts"

/** Blocks of one gateway as its control plane keeps and shares them. */
export interface BlockMachine {
  readonly keeper: AbuseKeeper
  readonly sync: BlockSync
  readonly redis: Redis
  readonly log: ReturnType<typeof memoryLog>
  /** Clients whose states were told, heard, unfit and not told, so far. */
  readonly synced: Record<string, number>
  /** What is left of a block in ms; undefined: the client is not blocked here. */
  left(client: string): number | undefined
  end(): void
}

const open: BlockMachine[] = []

/** Ends what a test has left open. For `afterEach`. */
export function endBlockMachines(): void {
  for (const machine of open.splice(0)) machine.end()
}

let machines = 0

/** `file`: its config. `manual`: no rounds but those the test asks for by `sync.sync()`. */
export async function startBlockMachine(
  config: RedisConfig,
  {
    file = { abuse: {} },
    manual = false,
    now = realNow,
  }: { readonly file?: object; readonly manual?: boolean; readonly now?: Clock } = {},
): Promise<BlockMachine> {
  const settings = toRedisSettings(config)
  if (typeof settings === "string") throw new Error(settings)
  const log = memoryLog()
  const redis = await openRedis(settings, [SYNC_BLOCKS], { log, random: Math.random, onUp: () => {} })
  const origin = `m${++machines}`
  let ended = false
  const guarded = (ms: number, run: () => void) => after(ms, () => ended || run())
  const keeper = new AbuseKeeper({
    now,
    after: guarded,
    log,
    origin,
    record: () => Promise.resolve(),
    tell: () => undefined,
  })
  keeper.apply(exampleConfig(file))
  const synced: Record<string, number> = {}
  const sync = new BlockSync({
    redis,
    blocks: keeper,
    now,
    after: manual ? () => () => undefined : guarded,
    epoch: origin,
    onSynced: (result, clients) => {
      synced[result] = (synced[result] ?? 0) + clients
    },
  })
  const machine: BlockMachine = {
    keeper,
    sync,
    redis,
    log,
    synced,
    left(client) {
      const block = [...keeper.blocks()].find((each) => each.client === client)
      return block && block.untilMs - now()
    },
    end() {
      ended = true
      sync.close()
      keeper.close()
      redis.close()
    },
  }
  open.push(machine)
  await until(() => redis.connected, "a connection to Redis")
  if (manual) while (await sync.sync());
  else await sync.start()
  return machine
}

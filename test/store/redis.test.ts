import { afterEach, expect, test } from "bun:test"
import { connect } from "node:net"
import { AbstractConnector, Redis as Client } from "ioredis"
import { Redis } from "../../src/store/redis.ts"
import { toRedisSettings } from "../../src/store/redis_settings.ts"
import { memoryLog } from "../support/memory_log.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until, untilAsked } from "../support/until.ts"

const opened: Redis[] = []
afterEach(async () => {
  for (const each of opened.splice(0)) each.close()
  await endRedis()
})

const PING = { name: "ping_once", lua: "return 'here'" }

test("[F-41] a search for the master that is broken off by news of another one is begun again", async () => {
  const server = await startRedis()
  let searches = 0
  /** As that of Sentinel ends when it hears of another master while it still asks for the one before. */
  class Searching extends AbstractConnector {
    constructor() {
      super(100)
    }

    override async connect() {
      if (++searches <= 2) throw new Error("Connection is closed.")
      this.stream = connect(server.port, "127.0.0.1")
      return this.stream
    }
  }
  const settings = toRedisSettings({
    url: server.url,
    tls: false,
    prefix: "gatehouse",
    connect_timeout: 2000,
    command_timeout: 500,
  })
  if (typeof settings === "string") throw new Error(settings)
  const client = new Client({ Connector: Searching, enableOfflineQueue: false, replyMapping: "legacy" })
  const log = memoryLog()
  const redis = new Redis(client, [PING], settings, { log, onUp: () => {}, random: () => 0 })
  opened.push(redis)
  expect(redis.connected).toBe(false)
  await until(() => redis.connected, "the connection")
  expect(searches).toBe(3)
  await untilAsked(async () => (await redis.run(PING, ["k"], [])) === "here", "an answer")
  expect(redis.up).toBe(true)
  redis.close()
  await until(() => client.status === "end", "the end")
  expect(searches).toBe(3)
})

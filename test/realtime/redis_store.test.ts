import { afterAll, beforeAll, expect, test } from "bun:test"
import { oneServer, startChannelVm } from "../support/channel_vm.ts"
import { endRedis, type RedisServer, startRedis } from "../support/redis.ts"
import { channelStoreSuite } from "./channel_store_suite.ts"

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(endRedis)

channelStoreSuite("channels in Redis", async () => {
  await server.client.flushall()
  const { store, close } = await startChannelVm(oneServer(server.url))
  return { store, close, pass: (ms) => Bun.sleep(ms) }
})

test("a history of megabytes comes whole, and channels have no key without an end", async () => {
  await server.client.flushall()
  const { store, close } = await startChannelVm(oneServer(server.url))
  const kept = { size: 1000, ttlMs: 60_000 }
  const data = JSON.stringify("x".repeat(30_000))
  for (let i = 0; i < 150; i++) await store.publish("a:1", { data, publisher: undefined, key: `k${i}` }, kept)
  const { epoch, offset } = await store.history("a:1", undefined, 1, kept)
  const found = await store.history("a:1", { epoch, offset: 10 }, 1000, kept)
  expect(found).toMatchObject({ epoch, offset, complete: true })
  expect(found.publications.map((each) => each.offset)).toEqual(Array.from({ length: 140 }, (_, i) => i + 11))
  expect((await store.history("a:1", undefined, 100, kept)).publications[0]?.offset).toBe(51)
  await store.enter("a:1", { client: "c1" }, 1000, false)
  await store.acknowledge("a:1", "ann", { epoch, offset })
  const letter = { channel: "a:1", subscriber: "ann", epoch, offset, data, publisher: undefined, at: 1 }
  await store.bury({ ...letter, reason: "gone" })
  await store.keep("ticket", "text", 1000)
  const keys = await server.client.keys("*")
  expect(keys.length).toBe(150 + 8)
  for (const key of keys) expect(await server.client.pttl(key), key).toBeGreaterThan(0)
  await close()
})

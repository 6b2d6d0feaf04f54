import { afterAll, beforeAll, expect, test } from "bun:test"
import { ChannelStoreError } from "../../src/realtime/channels/channel_store.ts"
import { oneServer, startChannelVm } from "../support/channel_vm.ts"
import { endRedis, type RedisServer, startRedis } from "../support/redis.ts"
import { channelStoreSuite } from "./channel_store_suite.ts"

const KEPT = { size: 100, ttlMs: 60_000 }
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

/** Scripts Redis has run, and what those wrote. */
async function commands(): Promise<{ scripts: number; sets: number }> {
  const stats = await server.client.info("commandstats")
  const calls = (name: string) => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
  return { scripts: calls("evalsha") + calls("eval"), sets: calls("set") }
}

test("[T-3.5] acknowledgements of many subscribers are a few commands, and each is answered with what was written", async () => {
  await server.client.flushall()
  const { store, close } = await startChannelVm(oneServer(server.url))
  const { epoch } = await store.publish("a:1", { data: "1", publisher: undefined, key: undefined }, KEPT)
  const subscribers = Array.from({ length: 100 }, (_, i) => `user${i}`)
  const before = await commands()
  // As fast as clients may: each acknowledges again when it was answered.
  await Promise.all(
    subscribers.map(async (subscriber) => {
      for (let offset = 1; offset <= 20; offset++) {
        const cursor = await store.acknowledge("a:1", subscriber, { epoch, offset })
        expect(cursor).toEqual({ epoch, offset, attempts: 0 })
      }
    }),
  )
  const after = await commands()
  expect(after.scripts - before.scripts).toBeLessThan(100)
  expect(after.sets - before.sets).toBe(2000)
  for (const subscriber of subscribers)
    expect(await server.client.get(`{gatehouse:channel:a:1}:cursor:${subscriber}`)).toBe(`${epoch} 20 0`)
  await close()
})

test("[T-3.5] of several acknowledgements of one subscriber the furthest is written, and answers all", async () => {
  await server.client.flushall()
  const { store, close } = await startChannelVm(oneServer(server.url))
  const { epoch } = await store.publish("a:1", { data: "1", publisher: undefined, key: undefined }, KEPT)
  const before = await commands()
  const all = [3, 9, 5].map((offset) => store.acknowledge("a:1", "ann", { epoch, offset }))
  expect((await Promise.all(all)).map(({ offset }) => offset)).toEqual([9, 9, 9])
  expect((await commands()).sets - before.sets).toBe(1)
  await close()
})

test("[T-3.5] [F-40] no acknowledgement is answered by a Redis that did not write it", async () => {
  await server.client.flushall()
  const { store, close } = await startChannelVm(oneServer(server.url))
  const { epoch } = await store.publish("a:1", { data: "1", publisher: undefined, key: undefined }, KEPT)
  await store.acknowledge("a:1", "ann", { epoch, offset: 1 })
  await server.kill()
  const outcomes = await Promise.allSettled(
    ["ann", "bob"].map((subscriber) => store.acknowledge("a:1", subscriber, { epoch, offset: 2 })),
  )
  for (const outcome of outcomes)
    expect(outcome.status === "rejected" && outcome.reason).toBeInstanceOf(ChannelStoreError)
  await server.start()
  await close()
})

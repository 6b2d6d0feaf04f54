import { expect, test } from "bun:test"
import { ChannelStoreError } from "../../src/realtime/channels/channel_store.ts"
import { MemoryChannelStore } from "../../src/realtime/channels/memory_store.ts"
import { channelStoreSuite, Heard } from "./channel_store_suite.ts"

const KEPT = { size: 1000, ttlMs: 60_000 }

function create(bounds: { maxChannels?: number; maxBytes?: number } = {}) {
  let now = 1000
  let ids = 0
  const store = new MemoryChannelStore({
    now: () => now,
    newId: () => `epoch${++ids}`,
    maxChannels: bounds.maxChannels ?? 100,
    maxBytes: bounds.maxBytes ?? 1_000_000,
  })
  return {
    store,
    pass: async (ms: number) => {
      now += ms
      store.sweep()
    },
    close: () => store.close(),
  }
}

const message = (data: string) => ({ data, publisher: undefined, key: undefined })

channelStoreSuite("channels in memory", async () => create())

test("a member that runs out is announced to have left", async () => {
  const { store, pass } = create()
  const heard = new Heard()
  await store.open(heard)
  await store.listen("a:1")
  await store.enter("a:1", { client: "c1" }, 100, true)
  await pass(101)
  expect(heard.events).toEqual(["c1 joined a:1", "c1 left a:1"])
})

test("at the cap of channels the least recently used that nobody listens to goes", async () => {
  const { store } = create({ maxChannels: 2 })
  await store.listen("a:1")
  const { epoch } = await store.publish("a:2", message("1"), KEPT)
  await store.publish("a:3", message("1"), KEPT)
  expect(store.channels).toBe(2)
  expect(await store.history("a:2", { epoch, offset: 0 }, 10, KEPT)).toMatchObject({ complete: false })
})

test("when all channels there may be are in use, no other comes into being", async () => {
  const { store } = create({ maxChannels: 1 })
  await store.listen("a:1")
  expect(store.publish("a:2", message("1"), KEPT)).rejects.toBeInstanceOf(ChannelStoreError)
  expect((await store.publish("a:1", message("1"), KEPT)).offset).toBe(1)
})

test("what is kept of publications stays within its bytes, and the newest stay", async () => {
  const { store } = create({ maxBytes: 10_000 })
  await store.publish("a:quiet", message(`"${"y".repeat(3000)}"`), KEPT)
  for (let i = 0; i < 200; i++) await store.publish("a:1", message(`"${"x".repeat(500)}"`), KEPT)
  expect(store.bytes).toBeLessThanOrEqual(10_000)
  const { publications, offset } = await store.history("a:1", undefined, 1000, KEPT)
  expect(offset).toBe(200)
  expect(publications.at(-1)?.offset).toBe(200)
  expect(publications.length).toBeGreaterThan(3)
  expect((await store.history("a:quiet", undefined, 1, KEPT)).publications).toEqual([])
})

import { expect, test } from "bun:test"
import { ChannelStoreError } from "../../src/realtime/channels/channel_store.ts"
import { MemoryChannelStore } from "../../src/realtime/channels/memory_store.ts"
import { createChannels } from "../support/channels.ts"
import { makePrincipal } from "../support/principal.ts"
import { until } from "../support/until.ts"

const ACCESS = { subscribe: {}, publish: {} }
const CHAT = { namespaces: { chat: ACCESS } }
const KEPT = { namespaces: { chat: { ...ACCESS, delivery: "at_least_once", max_deliveries: 2 } } }
const CHANNEL = "chat:1"
const subscribe = { type: "subscribe", channel: CHANNEL }
const publish = (data: unknown) => ({ type: "publish", channel: CHANNEL, data })
const dataOf = (publications: readonly { data: unknown }[]) => publications.map(({ data }) => data)

test("[T-3.2] who subscribes while others publish gets every publication once, in order, with or without topics", async () => {
  const channels = await createChannels({ ...CHAT, rate: "1000/s" }, { workers: 3 })
  const writer = channels.user("writer", 0)
  const { position } = (await writer.ask(publish(0))).result
  const readers: { client: typeof writer; missed: unknown[] }[] = []
  for (let n = 1; n <= 60; n++) {
    const written = writer.ask(publish(n))
    if (n % 3 === 0) {
      const client = channels.connect(n % 3, makePrincipal({ id: `reader${n}` }), n % 2 === 0)
      const asked = client.ask({ ...subscribe, since: { epoch: position.epoch, offset: 0 } })
      await written
      readers.push({ client, missed: dataOf((await asked).result.publications) })
    } else await written
  }
  const all = Array.from({ length: 61 }, (_, n) => n)
  for (const { client, missed } of readers) {
    await until(() => missed.length + client.of("publication").length >= 61, "all")
    expect([...missed, ...dataOf(client.of("publication"))]).toEqual(all)
  }
})

test("[T-3.3] more than one reply can hold is read on until the client is up to date", async () => {
  const channels = await createChannels({
    rate: "100000/s",
    namespaces: { chat: { ...ACCESS, history: { size: 5000 } } },
  })
  const writer = channels.user("writer")
  await writer.ask({ type: "ping" })
  await Promise.all(Array.from({ length: 2500 }, (_, n) => writer.ask(publish(n))))
  const { epoch } = (await writer.ask(publish("last"))).result.position
  const reader = channels.user("reader", 1)
  const { result } = await reader.ask({ ...subscribe, since: { epoch, offset: 0 } })
  expect(result).toMatchObject({ recovered: true, more: true, position: { offset: 1000 } })
  expect(result.publications).toHaveLength(1000)
  await until(() => reader.of("publication").length >= 1501, "the rest")
  await writer.ask(publish("live"))
  await until(() => reader.of("publication").length >= 1502, "the live one")
  expect(reader.of("publication").map(({ offset }) => offset)).toEqual(
    Array.from({ length: 1502 }, (_, i) => 1001 + i),
  )
})

test("[T-3.3] a reply holds no more than a quarter of what may wait for a client, and at least one publication", async () => {
  const channels = await createChannels({ ...CHAT, rate: "1000/s", max_buffered: "16KB" })
  const writer = channels.user("writer")
  const large = (n: number) => `${n} ${"x".repeat(1500)}`
  for (let n = 1; n <= 9; n++) await writer.ask(publish(large(n)))
  const { epoch } = (await writer.ask(publish("x".repeat(10_000)))).result.position
  const reader = channels.user("reader")
  const { result } = await reader.ask({ ...subscribe, since: { epoch, offset: 0 } })
  expect(dataOf(result.publications)).toEqual([large(1), large(2)])
  expect(result).toMatchObject({ more: true, position: { epoch, offset: 2 } })
  await until(() => reader.of("publication").length === 8, "the rest")
  const history = async (more: object) =>
    (await reader.ask({ type: "history", channel: CHANNEL, ...more })).result
  expect(dataOf((await history({ since: { epoch, offset: 3 } })).publications)).toEqual([large(4), large(5)])
  expect((await history({ since: { epoch, offset: 9 } })).publications).toHaveLength(1)
  expect((await history({})).publications[0].offset).toBe(10)
})

test("[T-3.5] what a client has had over another connection it may acknowledge before it is given it again", async () => {
  const channels = await createChannels({
    rate: "100000/s",
    namespaces: { chat: { ...KEPT.namespaces.chat, history: { size: 5000 } } },
  })
  const [away, writer] = [channels.user("reader", 0), channels.user("writer", 1)]
  await away.ask(subscribe)
  const published = Array.from({ length: 1500 }, (_, n) => writer.ask(publish(n)))
  const { epoch } = (await Promise.all(published))[0]!.result.position
  away.cut()
  const back = channels.user("reader", 1)
  const [subscribed, acked] = await Promise.all([
    back.ask({ ...subscribe, since: { epoch, offset: 1400 } }),
    until(() => back.texts.length > 0, "the reply").then(() =>
      back.ask({ type: "ack", channel: CHANNEL, offset: 1400 }),
    ),
  ])
  expect(subscribed.result).toMatchObject({ more: true, position: { offset: 1000 }, since: { offset: 1400 } })
  expect(acked.error).toBeUndefined()
  expect((await back.ask({ type: "ack", channel: CHANNEL, offset: 1501 })).error?.code).toBe(
    "INVALID_COMMAND",
  )
})

test("[T-3.2] a client that subscribes and publishes without waiting for the answer hears itself", async () => {
  const channels = await createChannels(CHAT)
  const ada = channels.user("ada")
  const asked = [ada.ask(subscribe), ...["one", "two", "three"].map((data) => ada.ask(publish(data)))]
  await Promise.all(asked)
  await until(() => ada.of("publication").length === 3, "all three")
  expect(dataOf(ada.of("publication"))).toEqual(["one", "two", "three"])
})

test("a channel that has begun anew tells its subscribers to recover", async () => {
  const channels = await createChannels(CHAT)
  const reader = channels.user("reader")
  await reader.ask(subscribe)
  channels.hub.lost(CHANNEL)
  await until(() => reader.of("unsubscribe").length > 0, "the end")
  expect(reader.of("unsubscribe")[0]).toMatchObject({ channel: CHANNEL, resubscribe: true })
  expect((await reader.ask(subscribe)).error).toBeUndefined()
})

test("a store that is away refuses for a time, and closes nothing", async () => {
  const store = new MemoryChannelStore({ now: () => 0, newId: () => "e", maxChannels: 10, maxBytes: 1000 })
  let away = true
  const publishIt = store.publish.bind(store)
  store.publish = async (...args) => {
    if (away) throw new ChannelStoreError("away")
    return publishIt(...args)
  }
  const channels = await createChannels(CHAT, { store })
  const client = channels.user("ada")
  expect((await client.ask(publish(1))).error).toMatchObject({ code: "UNAVAILABLE", temporary: true })
  away = false
  expect((await client.ask(publish(1))).result.position.offset).toBe(1)
  expect(channels.counted).toEqual(["chat failed", "chat accepted"])
})

test("[T-3.5] what is not acknowledged in time is sent again, and not any more once it is", async () => {
  const channels = await createChannels(KEPT)
  const [reader, writer] = [channels.user("reader", 0), channels.user("writer", 1)]
  expect((await reader.ask(subscribe)).result.ack).toBe(true)
  for (const data of ["a", "b", "c"]) await writer.ask(publish(data))
  await until(() => reader.of("publication").length === 3, "three")
  channels.pass(1000)
  expect((await reader.ask({ type: "ack", channel: CHANNEL, offset: 1 })).error).toBeUndefined()
  channels.pass(9999)
  expect(reader.of("publication")).toHaveLength(3)
  channels.pass(1)
  await until(() => reader.of("publication").length === 5, "two again")
  expect(reader.of("publication").slice(3)).toMatchObject([
    { offset: 2, data: "b", attempt: 2 },
    { offset: 3, data: "c", attempt: 2 },
  ])
  await reader.ask({ type: "ack", channel: CHANNEL, offset: 3 })
  for (let i = 0; i < 5; i++) channels.pass(10_000)
  await writer.ask(publish("d"))
  await until(() => reader.of("publication").length === 6, "the next")
  expect(reader.of("publication").at(-1)).toMatchObject({ offset: 4, data: "d" })
})

test("[T-3.5] what was not acknowledged waits for a subscriber that is away, whichever worker it comes back to", async () => {
  const channels = await createChannels(KEPT)
  const [away, writer] = [channels.user("reader", 0), channels.user("writer", 1)]
  await away.ask(subscribe)
  for (const data of ["a", "b"]) await writer.ask(publish(data))
  await until(() => away.of("publication").length === 2, "two")
  await away.ask({ type: "ack", channel: CHANNEL, offset: 1 })
  away.cut()
  await writer.ask(publish("c"))
  const back = channels.user("reader", 1)
  const { result } = await back.ask(subscribe)
  expect(result.recovered).toBe(true)
  expect(dataOf(result.publications)).toEqual(["b", "c"])
})

test("[T-3.5] sessions of one user acknowledge each for itself", async () => {
  const channels = await createChannels(KEPT)
  const [phone, laptop] = [channels.user("ada", 0), channels.user("ada", 1)]
  await phone.ask({ type: "connect", session: "phone" })
  await laptop.ask({ type: "connect", session: "laptop" })
  for (const client of [phone, laptop]) await client.ask(subscribe)
  await phone.ask(publish("a"))
  await until(() => phone.of("publication").length === 1, "one")
  await phone.ask({ type: "ack", channel: CHANNEL, offset: 1 })
  for (const client of [phone, laptop]) client.cut()
  const again = async (session: string) => {
    const client = channels.user("ada")
    await client.ask({ type: "connect", session })
    return dataOf((await client.ask(subscribe)).result.publications)
  }
  expect(await again("phone")).toEqual([])
  expect(await again("laptop")).toEqual(["a"])
})

test("[T-3.5] a publication nobody acknowledges becomes a dead letter, and those behind it get their turn", async () => {
  const channels = await createChannels(KEPT)
  const [reader, writer] = [channels.user("reader", 0), channels.user("writer", 1)]
  await reader.ask(subscribe)
  for (const data of ["poison", "good"]) await writer.ask(publish(data))
  await until(() => reader.of("publication").length === 2, "two")
  for (const total of [4, 6]) {
    channels.pass(11_000)
    await until(() => reader.of("publication").length === total, `${total}`)
  }
  channels.pass(11_000)
  await until(() => reader.of("publication").length === 7, "the good one alone")
  expect(reader.of("publication").at(-1)).toMatchObject({ offset: 2, data: "good" })
  expect(await channels.store.deadLetters(CHANNEL, 10)).toMatchObject([
    { subscriber: "reader", offset: 1, data: '"poison"', reason: "max_deliveries" },
  ])
  expect(channels.counted).toContain("chat max_deliveries")
  expect(channels.log.events.map(({ event }) => event)).toContain("realtime.dead_letter")
  await reader.ask({ type: "ack", channel: CHANNEL, offset: 2 })
})

test("[T-3.5] a subscriber that comes too late is told, on record, and goes on with what there is", async () => {
  const channels = await createChannels({
    namespaces: { talk: { prefix: "chat:", ...ACCESS, delivery: "at_least_once", history: { size: 2 } } },
  })
  const [reader, writer] = [channels.user("reader", 0), channels.user("writer", 1)]
  await reader.ask(subscribe)
  reader.cut()
  for (const data of ["a", "b", "c", "d"]) await writer.ask(publish(data))
  const back = channels.user("reader")
  const { result } = await back.ask(subscribe)
  expect(result.recovered).toBe(false)
  expect(dataOf(result.publications)).toEqual(["c", "d"])
  expect(await channels.store.deadLetters(CHANNEL, 10)).toMatchObject([{ offset: 1, reason: "gone" }])
  expect(channels.counted).toContain("talk gone")
})

test("only what was sent can be acknowledged, and only where it is asked for", async () => {
  const kept = await createChannels(KEPT)
  const client = kept.user("ada")
  await client.ask(subscribe)
  expect((await client.ask({ type: "ack", channel: CHANNEL, offset: 1 })).error?.code).toBe("INVALID_COMMAND")
  const plain = (await createChannels(CHAT)).user("ada")
  await plain.ask(subscribe)
  expect((await plain.ask({ type: "ack", channel: CHANNEL, offset: 0 })).error?.code).toBe("NOT_AVAILABLE")
})

test("what a revoked token let in is closed at once, the rest stays", async () => {
  const channels = await createChannels(CHAT)
  const [gone, stays] = [channels.user("ada"), channels.user("bob")]
  for (const client of [gone, stays]) await client.ask(subscribe)
  channels.revoked.add("token-ada")
  for (const worker of channels.workers) worker.revoked()
  expect(gone.closed()).toBe(4503)
  expect(stays.closed()).toBe(0)
})

test("a connection ends when its token does, unless it was refreshed by one of the same user", async () => {
  const channels = await createChannels(CHAT)
  const until5s = makePrincipal({ id: "ada", expiresAt: 1_005_000 })
  const [fresh, stale] = [channels.connect(0, until5s), channels.connect(1, until5s)]
  for (const client of [fresh, stale]) await client.ask({ type: "ping" })
  channels.tokens.set("newer", makePrincipal({ id: "ada", expiresAt: 1_060_000 }))
  channels.tokens.set("bobs", makePrincipal({ id: "bob" }))
  expect((await fresh.ask({ type: "refresh", token: "bobs" })).error?.code).toBe("FORBIDDEN")
  expect((await fresh.ask({ type: "refresh", token: "junk" })).error?.code).toBe("INVALID_TOKEN")
  expect((await fresh.ask({ type: "refresh", token: "newer" })).result).toEqual({ expires_in: 60 })
  channels.pass(5000)
  expect(stale.closed()).toBe(4003)
  expect(fresh.closed()).toBe(0)
})

test("an idempotency key is the sender's own, whatever ids and keys are made of", async () => {
  const channels = await createChannels(CHAT)
  const senders = [
    [makePrincipal({ id: "a" }), "b:c"],
    [makePrincipal({ id: "a:b" }), "c"],
    [makePrincipal({ id: "a", kind: "service" }), "b:c"],
  ] as const
  const results: boolean[] = []
  for (const round of [1, 2])
    for (const [principal, key] of senders) {
      const { result } = await channels.connect(0, principal).ask({ ...publish(round), key })
      results.push(result.duplicate)
    }
  expect(results).toEqual([false, false, false, true, true, true])
})

test("connections are counted by user, by address and in all, over all workers", async () => {
  const limits = { max_connections: 4, max_connections_per_user: 2, max_connections_per_ip: 3 }
  const channels = await createChannels({ ...CHAT, ...limits })
  const first = channels.user("ada", 0)
  await first.ask({ type: "ping" })
  await channels.user("ada", 1).ask({ type: "ping" })
  const third = channels.user("ada", 0)
  await until(() => third.closed() > 0, "the refusal")
  expect(third.closed()).toBe(4504)
  first.cut()
  await channels.user("ada", 0).ask({ type: "ping" })
  await channels.user("bob", 0).ask({ type: "ping" })
  const address = channels.user("cid", 1)
  await until(() => address.closed() > 0, "the refusal")
  expect(address.closed()).toBe(4504)
  expect(channels.hub.connections).toBe(3)
})

test("the presence and the places of a worker that dies are given up", async () => {
  const channels = await createChannels({
    namespaces: { chat: { ...ACCESS, presence: true, join_leave: true } },
  })
  const [dies, stays] = [channels.user("ada", 0), channels.user("bob", 1)]
  for (const client of [dies, stays]) await client.ask(subscribe)
  await until(() => stays.of("join").length === 1, "bob himself")
  channels.hub.lostWorker(0)
  await until(() => stays.of("leave").length === 1, "ada's going")
  expect((await stays.ask({ type: "presence", channel: CHANNEL })).result.members).toHaveLength(1)
  expect(channels.hub.connections).toBe(1)
})

test("a channel nobody hears of any more is not listened to, after a while", async () => {
  const channels = await createChannels(CHAT)
  const client = channels.user("ada")
  await client.ask(subscribe)
  client.cut()
  await until(() => channels.hub.connections === 0, "the end")
  channels.pass(4000)
  expect(channels.hub.channels).toBe(1)
  channels.pass(2000)
  expect(channels.hub.channels).toBe(0)
})

test("clients that are not known may what config lets anybody do, and nothing else", async () => {
  const channels = await createChannels({
    namespaces: { open: { subscribe: { anonymous: true } }, chat: ACCESS },
  })
  const client = channels.connect(0, undefined)
  expect((await client.ask({ type: "connect" })).result).not.toHaveProperty("user")
  expect((await client.ask({ type: "subscribe", channel: "open:1" })).error).toBeUndefined()
  expect((await client.ask(subscribe)).error?.code).toBe("FORBIDDEN")
  expect((await client.ask({ type: "publish", channel: "open:1", data: 1 })).error?.code).toBe("FORBIDDEN")
})

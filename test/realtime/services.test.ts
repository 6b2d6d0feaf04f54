import { expect, test } from "bun:test"
import { checkRealtime } from "../../src/realtime/channels/options.ts"
import { createChannels, realtimeOptions } from "../support/channels.ts"
import { until } from "../support/until.ts"

const JUDGE = { service: "judge", path: "/judge" }
const CHANNEL = "chat:1"
const publish = (data: unknown) => ({ type: "publish", channel: CHANNEL, data })
const subscribe = { type: "subscribe", channel: CHANNEL }

interface Question {
  readonly action?: string
  readonly data?: unknown
  readonly user: { readonly id: string }
}

test("a service may decide who subscribes and publishes; without an answer nobody does", async () => {
  const asked: object[] = []
  const channels = await createChannels(
    { namespaces: { chat: { subscribe: { ask: JUDGE }, publish: { ask: JUDGE } } } },
    {
      async call(call, question) {
        asked.push({ ...call, ...(question as object) })
        const { action, user } = question as Question
        if (user.id === "unlucky") return undefined
        return { status: user.id === "ada" && action === "subscribe" ? 204 : 403, value: undefined }
      },
    },
  )
  const [ada, eve, unlucky] = ["ada", "eve", "unlucky"].map((id) => channels.user(id))
  expect((await ada!.ask(subscribe)).error).toBeUndefined()
  expect((await ada!.ask(publish(1))).error?.code).toBe("FORBIDDEN")
  expect((await eve!.ask(subscribe)).error?.code).toBe("FORBIDDEN")
  expect((await unlucky!.ask(subscribe)).error).toMatchObject({ code: "UNAVAILABLE", temporary: true })
  expect(asked[0]).toMatchObject({ ...JUDGE, action: "subscribe", channel: CHANNEL, user: { id: "ada" } })
})

test("a connection that ends while the service decides leaves no subscription behind", async () => {
  const decided = Promise.withResolvers<void>()
  const channels = await createChannels(
    { namespaces: { chat: { subscribe: { ask: JUDGE } } } },
    {
      async call() {
        await decided.promise
        return { status: 200, value: undefined }
      },
    },
  )
  const ada = channels.user("ada")
  await ada.ask({ type: "ping" })
  ada.session.receive(JSON.stringify({ id: 99, ...subscribe }))
  ada.cut()
  decided.resolve()
  await until(() => channels.hub.connections === 0, "the end")
  expect(channels.workers[0]!.rooms.size).toBe(0)
})

test("what a service decided of a namespace does not count for the one that took its place meanwhile", async () => {
  const decided = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  const channels = await createChannels(
    { namespaces: { chat: { subscribe: { ask: JUDGE } } } },
    {
      async call() {
        asked.resolve()
        await decided.promise
        return { status: 200, value: undefined }
      },
    },
  )
  const ada = channels.user("ada")
  const answer = ada.ask(subscribe)
  await asked.promise
  channels.apply({ namespaces: { chat: { subscribe: { roles: ["admin"] } } } })
  decided.resolve()
  expect((await answer).error).toMatchObject({ code: "UNAVAILABLE", temporary: true })
  expect((await ada.ask(subscribe)).error?.code).toBe("FORBIDDEN")
})

test("[T-3.4] a service sees messages before they are published: lets through, edits, refuses; in order", async () => {
  let slow = 3
  const channels = await createChannels(
    { namespaces: { chat: { subscribe: {}, publish: {}, screen: JUDGE } } },
    {
      async call(_call, question) {
        // The first take longest, and must stay the first all the same.
        await Bun.sleep(slow-- * 5)
        const { data } = question as Question
        if (data === "bad") return { status: 403, value: { message: "Not here." } }
        if (data === "lost") return undefined
        return { status: 200, value: data === "rude" ? { data: "polite" } : {} }
      },
    },
  )
  const ada = channels.user("ada")
  await ada.ask(subscribe)
  const replies = await Promise.all(
    ["one", "rude", "bad", "lost", "last"].map((data) => ada.ask(publish(data))),
  )
  expect(replies.map(({ error }) => error?.code)).toEqual([
    undefined,
    undefined,
    "REFUSED",
    "UNAVAILABLE",
    undefined,
  ])
  expect(replies[2]?.error?.message).toBe("Not here.")
  await until(() => ada.of("publication").length === 3, "three")
  expect(ada.of("publication").map(({ data }) => data)).toEqual(["one", "polite", "last"])
})

test("what a service makes of a message may be no longer than any other message", async () => {
  const channels = await createChannels(
    { namespaces: { chat: { publish: {}, max_message: 1024, screen: JUDGE } } },
    { call: async () => ({ status: 200, value: { data: "x".repeat(1025) } }) },
  )
  expect((await channels.user("ada").ask(publish("short"))).error?.code).toBe("TOO_LARGE")
})

test("methods of rpc are answered by services, for callers who may", async () => {
  const channels = await createChannels(
    { rpc: { sum: JUDGE, secret: { ...JUDGE, roles: ["admin"] }, fails: JUDGE } },
    {
      async call(_call, question) {
        const { method, data } = question as unknown as { method: string; data: number[] }
        if (method === "fails") return { status: 409, value: { message: "Too late." } }
        return { status: 200, value: data.reduce((sum, each) => sum + each, 0) }
      },
    },
  )
  const ada = channels.user("ada")
  const call = (method: string) => ada.ask({ type: "rpc", method, data: [1, 2] })
  expect((await call("sum")).result).toEqual({ data: 3 })
  expect((await call("secret")).error?.code).toBe("FORBIDDEN")
  expect((await call("nothing")).error?.code).toBe("UNKNOWN_METHOD")
  expect((await call("toString")).error?.code).toBe("UNKNOWN_METHOD")
  expect((await call("fails")).error).toMatchObject({ code: "REFUSED", message: "Too late." })
  const nobody = channels.connect(0, undefined)
  await nobody.ask({ type: "connect" })
  expect((await nobody.ask({ type: "rpc", method: "sum" })).error?.code).toBe("FORBIDDEN")
})

test("what cannot work in the section is told with its place", () => {
  const options = realtimeOptions({
    namespaces: {
      a: { subscribe: { ask: JUDGE, when: "principal.id == key" } },
      b: { prefix: "b:" },
      c: {},
    },
    rpc: { m: JUDGE },
  })
  const places = (changed: object, secured = true, services = ["judge"]) =>
    checkRealtime({ ...options, ...changed }, secured, new Set(services)).map(({ at }) => at.join("."))
  expect(places({})).toEqual([])
  expect(places({ anonymous: false }, false)).toEqual(["anonymous"])
  expect(places({}, true, ["judges"])).toEqual(["rpc.m.service", "namespaces.a.subscribe.ask.service"])
  expect(places({ rate: "fast", ping_interval: 5, max_message: 1, max_buffered: 1 })).toEqual(
    expect.arrayContaining(["rate", "ping_interval", "max_message", "max_buffered"]),
  )
  const { a, b, c } = options.namespaces
  const namespaces = {
    a: { ...a, subscribe: { ...a!.subscribe, when: "nobody.id" } },
    b: { ...b, prefix: "c:", history: { size: 0, ttl: 1000 }, delivery: "at_least_once", ack_timeout: 5 },
    c: { ...c, max_message: 1_000_000, subscribe: { roles: ["x"], scopes: [], anonymous: true } },
  }
  expect(places({ namespaces, anonymous: false })).toEqual([
    "namespaces.a.subscribe.when",
    "namespaces.b.ack_timeout",
    "namespaces.b.delivery",
    "namespaces.c.prefix",
    "namespaces.c.max_message",
    "namespaces.c.subscribe.anonymous",
    "namespaces.c.subscribe.anonymous",
  ])
})

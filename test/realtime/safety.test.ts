import { expect, test } from "bun:test"
import type { CallAnswer } from "../../src/realtime/channels/call_service.ts"
import type { Alarm } from "../../src/realtime/safety/alarm.ts"
import type { SafetyReport } from "../../src/safety/safety_event.ts"
import { createChannels } from "../support/channels.ts"
import { until } from "../support/until.ts"

const NAMESPACES = {
  chat: { subscribe: {}, publish: {} },
  user: { subscribe: { when: "key == principal.id" } },
  safety: { subscribe: { roles: ["clinician"] } },
}
const EVENTS = {
  service: { service: "judge", path: "/crisis", timeout: "1s", give_up_after: "1m" },
  channels: ["safety:clinicians", "user:{user}"],
}
const REPORT: SafetyReport = {
  category: "self_harm",
  severity: "critical",
  user: "ada",
  message: "secret words",
}
const FROM = { source: "api", reporter: { id: "monitor", client: "", requestId: "" } }

const ok = async () => ({ status: 200, value: undefined })

type Parts = Parameters<typeof createChannels>[1]
const start = (parts: Parts = {}) =>
  createChannels({ namespaces: NAMESPACES }, { events: EVENTS, call: ok, ...parts })
type Channels = Awaited<ReturnType<typeof start>>
const raise = (channels: Channels, key?: string, report = REPORT, worker = 0) =>
  channels.workers[worker]!.safety.raise(report, { ...FROM, key })

test("[T-3.4] all connections of the user hear of it at once, on every worker, and nobody else does", async () => {
  const channels = await start()
  const clients = [
    channels.user("ada"),
    channels.user("ada", 1),
    channels.user("bob"),
    channels.user("eve", 1),
  ]
  for (const client of clients) await client.ask({ type: "ping" })
  const { id } = (await raise(channels))!
  await until(() => clients[1]!.of("safety").length === 1, "the push")
  expect(clients.map((client) => client.of("safety").length)).toEqual([1, 1, 0, 0])
  expect(clients[0]!.of("safety")[0]!).toEqual({
    push: "safety",
    id,
    category: "self_harm",
    severity: "critical",
    user: "ada",
    source: "api",
    at: "1970-01-01T00:16:40.000Z",
  })
})

test("[T-3.4] subscribers of the channels hear of it at once, and find it in the channel; each connection once", async () => {
  const channels = await start()
  const ada = channels.user("ada")
  await ada.ask({ type: "subscribe", channel: "user:ada" })
  await ada.ask({ type: "subscribe", channel: "chat:1" })
  const { id } = (await raise(channels))!
  await until(() => ada.of("publication").length === 1, "the publication")
  expect(ada.of("safety")).toHaveLength(1)
  const [publication] = ada.of("publication")
  expect(publication).toMatchObject({ channel: "user:ada", data: { safety: { id, user: "ada" } } })
  expect(publication).not.toHaveProperty("publisher")
  expect(ada.texts.join()).not.toContain("secret words")
  // Who was away gets it from history.
  const later = channels.user("ada", 1)
  await later.ask({ type: "subscribe", channel: "user:ada" })
  const found = await later.ask({ type: "history", channel: "user:ada", limit: 1 })
  expect(found.result.publications[0].data.safety.id).toBe(id)
})

test("[T-3.4] notify_user off: only the channels hear of it; without the user, its channel is left out", async () => {
  const channels = await start({ events: { ...EVENTS, notify_user: false } })
  const ada = channels.user("ada")
  await ada.ask({ type: "ping" })
  await raise(channels)
  const { user: _, ...nobody } = REPORT
  await raise(channels, undefined, nobody)
  expect(ada.of("safety")).toEqual([])
  await until(() => channels.counted.filter((each) => each === "channel delivered").length === 3, "three")
  expect(channels.counted.filter((each) => each === "channel delivered")).toHaveLength(3)
})

test("[T-3.4] a user whose id is no part of a channel's name is told all the same", async () => {
  const channels = await start()
  const odd = channels.user("ada lovelace/1")
  await odd.ask({ type: "ping" })
  expect(await raise(channels, undefined, { ...REPORT, user: "ada lovelace/1" })).toBeDefined()
  expect(odd.of("safety")).toHaveLength(1)
})

test("[T-3.4] the service gets the message, too, with the id as idempotency key; channels, log and record do not", async () => {
  const asked: unknown[] = []
  const channels = await start({
    async call(call, question, options) {
      asked.push({ call, question, headers: options?.headers })
      return { status: 204, value: undefined }
    },
  })
  const { id } = (await raise(channels))!
  await until(() => channels.counted.includes("service delivered"), "the delivery")
  expect(asked).toEqual([
    {
      call: { service: "judge", path: "/crisis", timeout: 1000 },
      question: { ...REPORT, id, source: "api", at: "1970-01-01T00:16:40.000Z" },
      headers: ["idempotency-key", id],
    },
  ])
  expect(JSON.stringify(channels.log.events)).not.toContain("secret")
})

test("[T-3.4] the same key of the same caller is one event, another key another", async () => {
  const channels = await start()
  const first = await raise(channels, "monitor a")
  expect(await raise(channels, "monitor a", REPORT, 1)).toEqual({ id: first!.id, duplicate: true })
  expect((await raise(channels, "monitor b"))!.id).not.toBe(first!.id)
  expect(channels.recorded).toHaveLength(2)
})

test("[T-3.4] a service that is down is tried again, with longer pauses, until it has the event", async () => {
  let up = false
  const calls: string[] = []
  const channels = await start({
    async call(_, question) {
      calls.push((question as { id: string }).id)
      return up ? { status: 200, value: undefined } : undefined
    },
  })
  const { id } = (await raise(channels))!
  const failed = () => channels.counted.filter((each) => each === "service failed").length
  for (let n = 1; n <= 3; n++) {
    await until(() => failed() === n, `failure ${n}`)
    const pause = 1000 * 2 ** (n - 1)
    channels.pass(pause - 1)
    expect(calls).toHaveLength(n)
    up = n === 3
    channels.pass(1)
  }
  await until(() => channels.counted.includes("service delivered"), "the delivery")
  expect(calls).toEqual([id, id, id, id])
  expect(channels.desk.waiting).toBe(0)
})

test("[T-3.4] what a service never takes is given up in time, said in the log and counted", async () => {
  const channels = await start({ call: async () => ({ status: 500, value: undefined }) })
  const { id } = (await raise(channels))!
  for (let s = 0; s < 80; s++) {
    channels.pass(1000)
    await Bun.sleep(0)
  }
  await until(() => channels.counted.includes("service given_up"), "the end")
  expect(channels.desk.waiting).toBe(0)
  const said = channels.log.events.filter(({ event }) => event === "safety.undelivered")
  expect(said).toMatchObject([{ level: "error", fields: { id, to: "service" } }])
  expect(channels.counted.find((each) => each.startsWith("undelivered"))).toStartWith(
    `undelivered ${id} service `,
  )
})

test("[T-3.4] the death of the worker that calls the service has another one call", async () => {
  const never = Promise.withResolvers<undefined>()
  let calls = 0
  const channels = await start({ call: () => (calls++ === 0 ? never.promise : ok()) })
  await raise(channels)
  await until(() => calls === 1, "the first call")
  channels.desk.lostWorker(0)
  await until(() => channels.counted.includes("service failed"), "the loss")
  channels.pass(1000)
  await until(() => channels.counted.includes("service delivered"), "the delivery")
  // What the dead one says later makes no difference.
  never.resolve(undefined)
  expect(channels.desk.waiting).toBe(0)
})

test("[T-3.4] an event whose key is used again, as it was forgotten, leaves no call that nobody ends", async () => {
  const pending: ((answer: CallAnswer) => void)[] = []
  const channels = await start({
    events: { service: { ...EVENTS.service, give_up_after: "1h" } },
    call: () => new Promise((resolve) => pending.push(resolve)),
  })
  await raise(channels, "k")
  await until(() => pending.length === 1, "the first call")
  channels.pass(601_000)
  await until(() => channels.counted.includes("service failed"), "its end")
  channels.pass(1000)
  await until(() => pending.length === 2, "the second call")
  expect((await raise(channels, "k"))!.duplicate).toBe(false)
  await until(() => pending.length === 3, "the third call")
  for (let n = 0; n < 5; n++) {
    for (const answer of pending.splice(0)) answer({ status: 200, value: undefined })
    await until(() => channels.counted.includes("service delivered"), "a delivery")
    channels.pass(1000)
  }
  await until(() => {
    for (const answer of pending.splice(0)) answer({ status: 200, value: undefined })
    return channels.desk.waiting === 0
  }, "both deliveries")
})

test("[T-3.4] one sender whose messages raise events that cannot be handed on leaves room for those of others", async () => {
  const channels = await start({ events: { service: EVENTS.service }, call: async () => undefined })
  const say = (id: string) =>
    channels.workers[0]!.safety.raise(REPORT, {
      source: "policy:rules",
      reporter: { id, client: "", requestId: "" },
      key: undefined,
    })
  const all = await Promise.all(Array.from({ length: 1002 }, () => say("mallory")))
  expect(all.filter((each) => each === undefined)).toHaveLength(2)
  expect(await say("ada")).toBeDefined()
  expect(await raise(channels)).toBeDefined()
  // Once they are given up there is room for the sender, too.
  await until(() => channels.counted.filter((each) => each === "service failed").length === 1002, "attempts")
  channels.pass(61_000)
  await until(() => channels.desk.waiting === 0, "the end of all")
  expect(await say("mallory")).toBeDefined()
})

test("[T-3.4] events that cannot be handed on are bounded: beyond, none is taken, until there is room again", async () => {
  let up = false
  const channels = await start({
    events: { service: EVENTS.service },
    call: async () => (up ? { status: 200, value: undefined } : undefined),
  })
  const all = await Promise.all(Array.from({ length: 10_001 }, () => raise(channels)))
  expect(all.filter((each) => each === undefined)).toHaveLength(1)
  expect(channels.log.events.filter(({ event }) => event === "safety.refused")).toHaveLength(1)
  up = true
  await until(
    () => channels.counted.filter((each) => each === "service failed").length === 10_000,
    "the failures",
  )
  channels.pass(1000)
  await until(() => channels.desk.waiting === 0, "the deliveries")
  expect(await raise(channels)).toBeDefined()
})

test("[T-3.4] other gateways are told until they can have heard, and hear of each event once", async () => {
  const told: Alarm[] = []
  const channels = await start({
    async tellOthers(alarm) {
      told.push(alarm)
      return told.length > 1
    },
  })
  const ada = channels.user("ada")
  await ada.ask({ type: "ping" })
  const { id } = (await raise(channels))!
  await until(() => channels.counted.includes("gateways failed"), "the failure")
  channels.pass(1000)
  await until(() => channels.counted.includes("gateways delivered"), "the delivery")
  // It hears itself.
  channels.desk.heard(told[1]!)
  channels.desk.heard({ ...told[1]!, id: "of another", text: told[1]!.text.replace(id, "other") })
  channels.desk.heard({ ...told[1]!, id: "of another", text: told[1]!.text.replace(id, "other") })
  expect(ada.of("safety").map((each) => each.id)).toEqual([id, "other"])
  expect(channels.recorded).toHaveLength(1)
})

test("[T-3.4] an event the control plane does not take in time is said in the log", async () => {
  const channels = await start({ deaf: true })
  expect(await raise(channels)).toBeUndefined()
  expect(channels.log.events).toMatchObject([
    { event: "safety.untold", level: "error", fields: { severity: "critical", source: "api" } },
  ])
})

test("without safety.events nothing is taken", async () => {
  const channels = await createChannels({ namespaces: NAMESPACES })
  expect(await raise(channels)).toBeUndefined()
  expect(channels.recorded).toEqual([])
})

import { expect, test } from "bun:test"
import { createChannels } from "../support/channels.ts"
import { until } from "../support/until.ts"

const OPEN = { subscribe: {}, publish: {} }
const RULES = [
  { name: "abuse", phrases: ["idiot*"], actions: ["refuse"], reason: "Be kind." },
  { name: "phone", phrases: ["555"], actions: ["mask"] },
  {
    name: "harm",
    phrases: ["kill myself"],
    actions: ["escalate"],
    category: "self_harm",
    severity: "critical",
  },
]
const SCHEMA = { type: "object", required: ["text"], properties: { text: { type: "string" } } }
const chat = (messages: object, more: object = {}) => ({
  namespaces: { chat: { ...OPEN, messages, ...more } },
})
const EVENTS = { service: { service: "judge" }, notify_user: true }
const publish = (data: unknown, more: object = {}) => ({ type: "publish", channel: "chat:1", data, ...more })
const subscribe = { type: "subscribe", channel: "chat:1" }

test("[T-3.4] a policy refuses, edits or escalates what clients publish, and the rest goes on", async () => {
  const channels = await createChannels(chat({ rules: RULES, schema: SCHEMA }), { events: EVENTS })
  const [ada, bob] = [channels.user("ada"), channels.user("bob", 1)]
  await bob.ask(subscribe)
  expect((await ada.ask(publish({ text: "You IDIOTS" }))).error).toEqual({
    code: "REFUSED",
    message: "Be kind.",
    temporary: false,
  })
  expect((await ada.ask(publish("no object"))).error?.code).toBe("INVALID_DATA")
  for (const text of ["hello", "call 555", "I will kill myself"])
    expect((await ada.ask(publish({ text }))).error).toBeUndefined()
  await until(() => bob.of("publication").length === 3, "the publications")
  expect(bob.of("publication").map(({ data, offset }) => [offset, (data as { text: string }).text])).toEqual([
    [1, "hello"],
    [2, "call ***"],
    [3, "I will kill myself"],
  ])
  expect(channels.counted.filter((each) => each.startsWith("chat "))).toEqual([
    "chat rules refused",
    "chat schema refused",
    "chat accepted",
    "chat rules edited",
    "chat accepted",
    "chat rules escalated",
    "chat accepted",
  ])
  expect(channels.recorded).toEqual([
    {
      id: expect.any(String),
      at: 1_000_000,
      source: "policy:rules",
      category: "self_harm",
      severity: "critical",
      channel: "chat:1",
      user: "ada",
      message: '{"text":"I will kill myself"}',
      details: { rules: ["harm"] },
    },
  ])
  // Nobody's log holds what was said.
  expect(JSON.stringify(channels.log.events)).not.toContain("kill")
})

test("[T-3.4] a message that is sent again with its key, as there was no answer, is one event", async () => {
  const channels = await createChannels(chat({ rules: RULES }), { events: EVENTS })
  const ada = channels.user("ada")
  for (let i = 0; i < 2; i++) await ada.ask(publish({ text: "kill myself" }, { key: "k" }))
  expect(channels.recorded).toHaveLength(1)
  await ada.ask(publish({ text: "kill myself" }))
  expect(channels.recorded).toHaveLength(2)
})

test("[T-3.4] another message with a key that was used hides no event", async () => {
  const rules = [{ ...RULES[2]!, actions: ["refuse", "escalate"] }]
  const channels = await createChannels(chat({ rules }), { events: EVENTS })
  const ada = channels.user("ada")
  for (const text of ["kill myself, in theory", "I will kill myself now"])
    await ada.ask(publish({ text }, { key: "k" }))
  expect(channels.recorded).toHaveLength(2)
})

test("[T-3.4] messages of services are not asked about, and other namespaces have no policies", async () => {
  const channels = await createChannels({
    namespaces: { chat: { ...OPEN, messages: { rules: [RULES[0]] } }, free: OPEN },
  })
  const ada = channels.user("ada")
  expect((await ada.ask({ ...publish("idiot"), channel: "free:1" })).error).toBeUndefined()
  const worker = channels.workers[0]!
  const namespace = worker.namespaces.find("chat:1")!
  const service = { ...ada.session.principal!, kind: "service" as const }
  const options = { principal: service, publisher: undefined, key: undefined }
  expect(await worker.publish(namespace, "chat:1", "idiot", options)).toMatchObject({ offset: 1 })
})

test("[T-3.4] the screening service comes last, sees what policies left, and may escalate, too", async () => {
  const seen: unknown[] = []
  const channels = await createChannels(
    chat({ rules: RULES }, { screen: { service: "judge", path: "/screen" } }),
    {
      events: EVENTS,
      async call({ path }, question) {
        if (path !== "/screen") return { status: 200, value: undefined }
        const { data } = question as { data: string }
        seen.push(data)
        if (data === "sly")
          return {
            status: 403,
            value: { message: "no", escalate: { category: "grooming", severity: "high" } },
          }
        if (data === "odd") return { status: 200, value: { escalate: "?" } }
        return { status: 200, value: undefined }
      },
    },
  )
  const ada = channels.user("ada")
  expect((await ada.ask(publish("idiot"))).error?.code).toBe("REFUSED")
  expect((await ada.ask(publish("dial 555"))).error).toBeUndefined()
  expect((await ada.ask(publish("sly"))).error).toMatchObject({ code: "REFUSED", message: "no" })
  expect((await ada.ask(publish("odd"))).error).toBeUndefined()
  expect(seen).toEqual(["dial ***", "sly", "odd"])
  expect(channels.recorded.map(({ source, category, severity }) => [source, category, severity])).toEqual([
    ["policy:screen", "grooming", "high"],
    ["policy:screen", "unknown", "high"],
  ])
})

test("[T-3.4] other rules take effect with the next message, and end no subscription", async () => {
  const channels = await createChannels(chat({}))
  const ada = channels.user("ada")
  await ada.ask(subscribe)
  expect((await ada.ask(publish("idiot"))).error).toBeUndefined()
  channels.apply(chat({ rules: [RULES[0]] }))
  expect((await ada.ask(publish("idiot"))).error?.code).toBe("REFUSED")
  expect(ada.of("unsubscribe")).toEqual([])
})

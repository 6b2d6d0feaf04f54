import { expect, test } from "bun:test"
import { parseConfig } from "../../src/config/load.ts"

const AUTH = { issuer: "gatehouse", audience: "api", secret: "0123456789abcdef0123456789abcdef" }
const ESCALATE = {
  name: "crisis",
  phrases: ["end my life"],
  actions: ["escalate"],
  category: "self_harm",
  severity: "critical",
}
const realtime = (rule: object = ESCALATE) => ({
  namespaces: {
    chat: { subscribe: {}, publish: {}, messages: { rules: [rule] } },
    duty: { prefix: "on.duty:" },
  },
})
const EVENTS = { service: { service: "crisis" }, channels: ["on.duty:{user}"] }

/** What is wrong, and what is warned of, each with its place. */
function check(file: object) {
  const whole = { auth: AUTH, services: { crisis: { instances: ["http://127.0.0.1:9"] } }, ...file }
  const loaded = parseConfig(JSON.stringify(whole), "json", {})
  const told = [...(loaded.ok ? [] : loaded.problems), ...loaded.warnings]
  return told.map(({ path, message }) => `${path}: ${message}`).filter((each) => !each.startsWith("routes: "))
}

test("a config with events and rules that escalate is fine, and the service is one that is used", () => {
  expect(check({ realtime: realtime(), safety: { events: EVENTS } })).toEqual([])
})

test("a rule that escalates needs events", () => {
  expect(check({ realtime: realtime() })).toEqual([
    "realtime.namespaces.chat.messages.rules: escalates, but nobody would hear of it: write a section safety with events",
    "services.crisis: no route uses this service",
  ])
  const mild = { name: "mild", phrases: ["x"], actions: ["mask"] }
  expect(check({ realtime: realtime(mild), services: {} })).toEqual([])
})

test("events nobody could report, or that would reach nobody, are refused", () => {
  const safety = { events: { ...EVENTS, service: { service: "crisis" } } }
  const open = { ...realtime(), anonymous: true }
  expect(check({ auth: undefined, realtime: open, safety })).toContain(
    "safety.events: nobody could report an event: write a section auth",
  )
  expect(check({ safety: { events: { notify_user: false } }, services: {} })).toEqual([
    "safety.events.notify_user: events would reach nobody: name a service or channels, or leave notify_user on",
  ])
})

test("values that cannot work are told with their place and what would do", () => {
  const events = {
    service: { service: "crises", path: "crisis", timeout: "1m", give_up_after: "2d" },
    channels: ["on.duty:{usr}", "nowhere:{user}", "duty", "on.duty:a b"],
  }
  const found = check({ realtime: realtime(), safety: { events } }).join("\n")
  expect(found).toContain("safety.events.service.path: ")
  const told = check({
    realtime: realtime(),
    safety: { events: { ...events, service: { ...events.service, path: "/c" } } },
  })
  expect(told).toEqual([
    'safety.events.service.service: there is no service "crises"',
    "safety.events.service.timeout: must be from 1ms to 30s",
    "safety.events.service.give_up_after: must be from 1s to 24h",
    "safety.events.channels[0]: knows no {usr}; there are {user}, {session}, {category}, {severity}",
    'safety.events.channels[1]: begins with no prefix of realtime.namespaces: "nowhere:"',
    'safety.events.channels[2]: begins with no prefix of realtime.namespaces: "duty"',
    "safety.events.channels[3]: may hold letters, digits and _ . : @ ~ - beside what stands in braces",
    "services.crisis: no route uses this service",
  ])
})

test("rules and schemas of messages are checked like all else", () => {
  const messages = {
    schema: { type: "strnig" },
    rules: [{ ...ESCALATE, severity: undefined, phrases: ["..."] }],
  }
  const file = { namespaces: { chat: { messages } } }
  expect(check({ realtime: file, safety: { events: {} }, services: {} })).toEqual([
    expect.stringMatching(/^realtime\.namespaces\.chat\.messages\.schema: schema/),
    expect.stringMatching(
      /^realtime\.namespaces\.chat\.messages\.rules: rules\[0\]\.phrases\[0\]: holds no letter/,
    ),
    expect.stringMatching(
      /^realtime\.namespaces\.chat\.messages\.rules: rules\[0\]: a rule that escalates needs/,
    ),
  ])
})

import { expect, test } from "bun:test"
import { messageRules } from "../../src/policies/message_rules.ts"
import { messageSchema } from "../../src/policies/message_schema.ts"

type Rules = Parameters<typeof messageRules.compile>[0]

const rule = (more: object) => ({ name: "one", phrases: ["bad"], fields: [], actions: ["refuse"], ...more })
const rules = (...all: object[]) => all.map((each, i) => rule({ name: `r${i}`, ...each })) as unknown as Rules

const message = (data: unknown) => ({ namespace: "chat", channel: "chat:1", data, principal: undefined })
const ask = (list: Rules, data: unknown) => messageRules.compile(list)(message(data))

const ESCALATE = { actions: ["escalate"], category: "self_harm", severity: "high" }

test("[T-3.4] a message without any of the phrases goes on as it is", () => {
  const list = rules({}, { actions: ["mask"] }, ESCALATE)
  for (const data of ["badly said", { a: ["fine", 1, null, true] }, 7, null, "", {}, []])
    expect(ask(list, data)).toBeUndefined()
})

test("[T-3.4] refuse says what the rule wants said", () => {
  expect(ask(rules({ reason: "Be kind." }), { text: "So BAD!" })).toEqual({
    kind: "refuse",
    code: "REFUSED",
    reason: "Be kind.",
  })
})

test("[T-3.4] mask puts stars in place of what it finds, wherever it is, and changes nothing else", () => {
  const list = rules({ phrases: ["bad", "bad apple", "apple pie", "x*"], actions: ["mask"] })
  const data = { text: "A bad apple pie. xylo", deep: [{ a: "Bad" }, "good"], same: { n: 1 } }
  const before = structuredClone(data)
  const verdict = ask(list, data) as { kind: string; data: typeof data }
  expect(verdict).toEqual({
    kind: "edit",
    data: { text: "A ***. ***ylo", deep: [{ a: "***" }, "good"], same: { n: 1 } },
  })
  expect(data).toEqual(before)
  expect(verdict.data.same).toBe(data.same)
})

test("[T-3.4] escalate names the most serious of the rules, and goes together with refuse or mask", () => {
  const worse = { ...ESCALATE, phrases: ["worse"], category: "abuse", severity: "critical" }
  const both = rules(ESCALATE, worse)
  expect(ask(both, "bad and worse")).toEqual({
    kind: "escalate",
    escalation: { category: "abuse", severity: "critical", details: { rules: ["r0", "r1"] } },
    and: undefined,
  })
  expect(ask(rules({ ...ESCALATE, actions: ["escalate", "refuse"] }), "bad")).toMatchObject({
    kind: "escalate",
    and: { kind: "refuse" },
  })
  expect(ask(rules({ ...ESCALATE, actions: ["escalate", "mask"] }), "bad")).toMatchObject({
    kind: "escalate",
    and: { kind: "edit", data: "***" },
  })
})

test("[T-3.4] only the texts of named fields are looked at, at any depth, where fields are named", () => {
  const list = rules({ fields: ["text"] })
  expect(ask(list, { title: "bad" })).toBeUndefined()
  expect(ask(list, "bad")).toBeUndefined()
  expect(ask(list, { a: [{ text: "bad" }] })).toBeDefined()
  expect(ask(list, { text: { parts: ["ok", "bad"] } })).toBeDefined()
})

test("[T-3.4] a phrase cannot be hidden behind thousands of others, and __proto__ is a name like others", () => {
  const list = rules({ phrases: ["a"], actions: ["mask"] }, { phrases: ["bad"] })
  expect(ask(list, `${"a ".repeat(20_000)}bad`)).toMatchObject({ kind: "refuse" })
  const data = JSON.parse('{"__proto__":{"text":"a"},"x":"a"}')
  const verdict = ask(list, data) as { data: object }
  expect(JSON.stringify(verdict.data)).toBe('{"__proto__":{"text":"***"},"x":"***"}')
})

test("rules that mean nothing are told with their place", () => {
  const found = messageRules.check!(
    rules(
      { phrases: ["..."] },
      { name: "r0", actions: ["escalate"] },
      { category: "x", severity: "low" },
      { actions: ["mask"], reason: "why" },
      { actions: ["refuse", "mask"] },
    ),
  )
  expect(found.map((each) => each.slice(0, each.indexOf(": ")))).toEqual([
    "rules[0].phrases[0]",
    "rules[1].name",
    "rules[1]",
    "rules[2]",
    "rules[3].reason",
    "rules[4].actions",
  ])
  expect(messageRules.check!(rules({ ...ESCALATE }, { reason: "no" }))).toEqual([])
})

test("[T-3.4] data that does not match the schema is refused with where it does not", () => {
  const schema = {
    type: "object",
    required: ["text"],
    properties: { text: { type: "string", maxLength: 5 } },
    additionalProperties: false,
  }
  expect(messageSchema.check!(schema)).toEqual([])
  expect(messageSchema.check!({ type: "strnig" })).not.toEqual([])
  const step = messageSchema.compile(schema)
  expect(step(message({ text: "hi" }))).toBeUndefined()
  expect(step(message({ x: 1 }))).toMatchObject({
    kind: "refuse",
    code: "INVALID_DATA",
    reason: expect.stringContaining("data/text is required"),
  })
})

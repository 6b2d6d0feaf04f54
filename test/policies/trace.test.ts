import { expect, test } from "bun:test"
import fc from "fast-check"
import Value from "typebox/value"
import { boundBaggage, newSpanId, newTraceId, parseTraceparent } from "../../src/observe/trace_context.ts"
import { trace } from "../../src/policies/trace.ts"
import { type HeaderLines, makeExchange } from "../support/exchange.ts"
import { makePolicyDeps } from "../support/policy_deps.ts"

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
const PARENT = "00f067aa0ba902b7"
const VALID = `00-${TRACE}-${PARENT}-01`

/** Runs the policy and tells what the service gets. */
function run(headers: HeaderLines, options: object = {}, random: () => number = Math.random) {
  const schema = Value.Decode(trace.schema, Value.Default(trace.schema, options))
  const steps = trace.compile(schema, makePolicyDeps({ random }), {
    path: "/",
    methods: [],
    label: "/",
    service: "",
    origins: [],
  })
  const exchange = makeExchange({ headers })
  expect(steps.request!(exchange)).toBeUndefined()
  const sent = (name: string) => exchange.requestEdits.get(name, exchange.arrival.fields)
  return { exchange, parent: sent("traceparent")!, state: sent("tracestate"), baggage: sent("baggage") }
}

test("[C-8.5] a valid trace goes on under a span of ours", () => {
  const { exchange, parent } = run([["traceparent", VALID]])
  expect(parent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`))
  expect(parent).not.toContain(PARENT)
  expect(exchange.traceId).toBe(TRACE)
  expect(exchange.spanId).toBe(parent.slice(36, 52))
})

test("[C-8.5] a request without a trace starts one", () => {
  const first = run([]).parent
  expect(first).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-03$/)
  expect(run([]).parent).not.toBe(first)
})

test("the flags of a continued trace stay; unknown ones go no further", () => {
  expect(run([["traceparent", `00-${TRACE}-${PARENT}-00`]]).parent).toEndWith("-00")
  expect(run([["traceparent", `00-${TRACE}-${PARENT}-ff`]]).parent).toEndWith("-03")
})

test("new traces are sampled by their share", () => {
  expect(run([], { sample: 0 }).parent).toEndWith("-02")
  expect(run([], { sample: 0.5 }, () => 0.4).parent).toEndWith("-03")
  expect(run([], { sample: 0.5 }, () => 0.6).parent).toEndWith("-02")
})

for (const [why, value] of [
  ["empty", ""],
  ["of version ff", `ff-${TRACE}-${PARENT}-01`],
  ["in upper case", VALID.toUpperCase()],
  ["with an all-zero trace id", `00-${"0".repeat(32)}-${PARENT}-01`],
  ["with an all-zero parent id", `00-${TRACE}-${"0".repeat(16)}-01`],
  ["too short", VALID.slice(0, -1)],
  ["of version 00 with more behind", `${VALID}-more`],
  ["of a later version with a bad end", `01-${TRACE}-${PARENT}-01x`],
  ["with a space before it", ` ${VALID}`],
  ["with a line feed behind it", `${VALID}\n`],
  ["no hex", `00-${TRACE.replace("4", "g")}-${PARENT}-01`],
] as const)
  test(`[F-77] a traceparent ${why} restarts the trace and drops its state`, () => {
    const { exchange, state } = run([
      ["traceparent", value],
      ["tracestate", "vendor=1"],
    ])
    expect(exchange.traceId).toMatch(/^[0-9a-f]{32}$/)
    expect(exchange.traceId).not.toBe(TRACE)
    expect(state).toBeUndefined()
  })

test("[F-77] two traceparents restart the trace, and the service sees one", () => {
  const { exchange, parent } = run([
    ["traceparent", VALID],
    ["traceparent", VALID],
  ])
  expect(exchange.traceId).not.toBe(TRACE)
  expect(parent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-\d\d$/)
})

test("a traceparent of a later version is read as far as it is known", () => {
  expect(run([["traceparent", `cc-${TRACE}-${PARENT}-01-what-the-future-brings`]]).parent).toStartWith(
    `00-${TRACE}-`,
  )
})

const stateOf = (...lines: string[]) =>
  run([["traceparent", VALID], ...lines.map((line) => ["tracestate", line] as const)]).state

test("a good tracestate is passed on as it came", () => {
  const line = "congo=t61rcWkgMzE,tenant@vendor=a b c,rojo=00f067aa0ba902b7"
  expect(stateOf(line)).toBe(line)
  expect(stateOf("a=1", "b=2")).toBe("a=1, b=2")
})

for (const [why, line] of [
  ["longer than 512 characters", `a=${"x".repeat(256)},b=${"y".repeat(256)}`],
  ["of 33 members", Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(",")],
  ["without a value", "congo"],
  ["with an upper-case key", "Congo=1"],
  ["with a control character", "congo=\u0001"],
] as const)
  test(`[F-77] a tracestate ${why} is dropped and the trace goes on`, () => {
    const { parent, state } = run([
      ["traceparent", VALID],
      ["tracestate", line],
    ])
    expect(state).toBeUndefined()
    expect(parent).toContain(TRACE)
  })

test("baggage is passed on, also without a trace", () => {
  expect(run([["baggage", "userTier=gold;p=1,region=eu"]]).baggage).toBe("userTier=gold;p=1,region=eu")
})

test("[F-77] of 512 members of baggage the first 64 go on", () => {
  const members = Array.from({ length: 512 }, (_, i) => `k${i}=v${i}`)
  expect(run([["baggage", members.join(",")]]).baggage).toBe(members.slice(0, 64).join(","))
})

test("[F-77] baggage beyond 8,192 bytes is cut between members", () => {
  const member = `k=${"v".repeat(1000)}`
  const kept = run([["baggage", Array.from({ length: 12 }, () => member).join(",")]]).baggage!
  expect(kept).toBe(Array.from({ length: 8 }, () => member).join(","))
})

test("[F-77] one member beyond 8,192 bytes leaves no baggage at all", () => {
  expect(run([["baggage", `k=${"v".repeat(9000)}`]]).baggage).toBeUndefined()
})

test("without trust nothing of the client's trace goes on", () => {
  const headers: HeaderLines = [
    ["traceparent", VALID],
    ["tracestate", "a=1"],
    ["baggage", "a=1"],
  ]
  const { exchange, state, baggage } = run(headers, { trust: false })
  expect([exchange.traceId === TRACE, state, baggage]).toEqual([false, undefined, undefined])
})

test("new ids are never all zero", () => {
  expect(newTraceId(() => 0)).toBe(`${"0".repeat(31)}1`)
  expect(newSpanId(() => 0)).toBe(`${"0".repeat(15)}1`)
  expect(newSpanId(() => 0.999999999999)).toBe("f".repeat(16))
})

test("[F-77] bounded baggage is a prefix of whole members, within both limits", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 300 }), { maxLength: 100 }), (parts) => {
      const value = parts.map((part) => part.replaceAll(",", "")).join(",")
      const kept = boundBaggage(value)
      expect(value.startsWith(kept)).toBe(true)
      expect(kept === value || kept === "" || value[kept.length] === ",").toBe(true)
      expect(kept.length).toBeLessThanOrEqual(8192)
      expect(kept.split(",").length).toBeLessThanOrEqual(64)
    }),
  )
})

test("[F-77] any text is either refused or read to well-formed ids", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}/)),
      (text) => {
        const parsed = parseTraceparent(text)
        if (parsed === undefined) return
        expect(parsed.traceId).toMatch(/^[0-9a-f]{32}$/)
        expect(parsed.parentId).toMatch(/^[0-9a-f]{16}$/)
        expect(parsed.flags).toBeLessThan(4)
      },
    ),
  )
})

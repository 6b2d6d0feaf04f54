import { expect, test } from "bun:test"
import Value from "typebox/value"
import { ACCESS_LOG_FIELDS, accessLog } from "../../src/policies/access_log.ts"
import type { PolicyDeps } from "../../src/policies/policy.ts"
import { type ExchangeParts, makeAnswer, makeExchange } from "../support/exchange.ts"
import { linesInto } from "../support/lines.ts"
import { makePolicyDeps } from "../support/policy_deps.ts"

const ROUTE = { path: "/items/*", methods: ["GET"], label: 'GET /items/* "x"', service: "", origins: [] }
const WALL = Date.UTC(2025, 0, 2, 3, 4, 5, 6)

function makeLog(options: object = {}, deps: Partial<PolicyDeps> = {}) {
  const lines: string[] = []
  const schema = Value.Decode(accessLog.schema, Value.Default(accessLog.schema, options))
  const steps = accessLog.compile(
    schema,
    makePolicyDeps({
      accessLog: linesInto(lines),
      wallClock: () => WALL,
      ...deps,
    }),
    ROUTE,
  )
  return {
    lines,
    log(parts: ExchangeParts = {}, status = 200, changes: object = {}) {
      const exchange = makeExchange({ startedAt: 1000, ...parts })
      steps.done!(
        Object.assign(exchange, { answer: makeAnswer(status), id: "req-1", endedAt: 1052.5, ...changes }),
      )
      return JSON.parse(lines.at(-1) ?? "null")
    },
  }
}

test("a line has the documented fields, in their order", () => {
  const { log } = makeLog()
  expect(Object.keys(log())).toEqual(ACCESS_LOG_FIELDS.map(([name]) => name))
})

test("[T-10.1 C-1.5 C-8.4 V-gw.6] a request is one JSON line with its id, route, times, bytes and who answered", () => {
  const { log, lines } = makeLog()
  const parts = {
    method: "POST",
    path: "/items/7",
    query: "page=2",
    host: "api.example.com",
    peer: "192.0.2.9",
    headers: { "user-agent": "curl/8.0" },
  }
  const entry = log(parts, 201, {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    bytesIn: 10,
    bytesOut: 300,
    upstreamMs: 50.1234,
    instance: "http://127.0.0.1:8001",
    retries: 1,
    failure: "",
  })
  expect(entry).toEqual({
    time: "2025-01-02T03:04:05.006Z",
    event: "request",
    id: "req-1",
    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    client: "192.0.2.9",
    user: "",
    auth: "",
    method: "POST",
    host: "api.example.com",
    route: 'GET /items/* "x"',
    path: "/items/7?page=2",
    status: 201,
    bytes_in: 10,
    bytes_out: 300,
    duration_ms: 52.5,
    upstream_ms: 50.123,
    gateway_ms: 2.377,
    instance: "http://127.0.0.1:8001",
    retries: 1,
    error: "",
    protocol: "HTTP/1.1",
    user_agent: "curl/8.0",
  })
  expect(lines).toHaveLength(1)
})

test("each line tells of its own request, whatever the one before was like", () => {
  const { log } = makeLog()
  const caller = (id: string) => ({ principal: { id, method: "jwt" } })
  const parts = { method: "GET", host: "a", peer: "192.0.2.1", headers: { "user-agent": "one" } }
  const changes = { instance: "http://a:1", retries: 0, failure: "", ...caller("ann") }
  const first = log(parts, 200, changes)
  const others: [field: string, value: unknown, parts: object, changes: object][] = [
    ["method", "PUT", { method: "PUT" }, {}],
    ["host", "b", { host: "b" }, {}],
    ["client", "192.0.2.2", { peer: "192.0.2.2" }, {}],
    ["user_agent", "two", { headers: { "user-agent": "two" } }, {}],
    ["user_agent", `${"u".repeat(255)}…`, { headers: { "user-agent": "u".repeat(300) } }, {}],
    ["user_agent", "", { headers: {} }, {}],
    ["user", "bob", {}, caller("bob")],
    ["instance", "http://a:2", {}, { instance: "http://a:2" }],
    ["retries", 2, {}, { retries: 2 }],
    ["error", "BAD_GATEWAY", {}, { failure: "BAD_GATEWAY" }],
  ]
  for (const [field, value, otherParts, otherChanges] of others) {
    expect(log({ ...parts, ...otherParts }, 200, { ...changes, ...otherChanges })).toEqual({
      ...first,
      [field]: value,
    })
    expect(log(parts, 200, changes)).toEqual(first)
  }
})

test("a client that left early is logged with status 499", () => {
  expect(makeLog().log({}, 200, { gone: true }).status).toBe(499)
})

test("a failure of the gateway is logged by its code", () => {
  expect(makeLog().log({}, 504, { failure: "GATEWAY_TIMEOUT" }).error).toBe("GATEWAY_TIMEOUT")
})

test("the time goes on with the requests, and follows the wall clock each second, forwards and back", () => {
  let wall = WALL
  const { log } = makeLog({}, { wallClock: () => wall })
  const times = [0, 93, 994, 1000, 2000].map((ms) => {
    wall = WALL + (ms === 2000 ? -3600_000 : ms)
    return log({}, 200, { endedAt: 1000 + ms }).time
  })
  expect(times).toEqual([
    "2025-01-02T03:04:05.006Z",
    "2025-01-02T03:04:05.099Z",
    "2025-01-02T03:04:06.000Z",
    "2025-01-02T03:04:06.006Z",
    "2025-01-02T02:04:05.006Z",
  ])
})

test("durations are printed to the microsecond and never negative", () => {
  const logged = (ms: number) => makeLog().log({}, 200, { endedAt: 1000 + ms }).duration_ms
  expect([0, 0.0004, 0.001, 0.0123, 7, 12.34567, 3_600_000.5, -3].map(logged)).toEqual([
    0, 0, 0.001, 0.012, 7, 12.346, 3_600_000.5, 0,
  ])
})

for (const [name, text] of [
  ["line breaks", 'x\r\n{"status":200}'],
  ["an ANSI sequence", "\u001b[31m\u009b2J"],
  ["a quote that would end the string", '","status":200,"x":"'],
  ["a backslash at the end", "x\\"],
  ["a line separator", "a\u2028b\u2029c"],
  ["a lone surrogate", "\ud800"],
] as const)
  test(`[F-71] ${name} in any field stays inside its string, on one line`, () => {
    const { log, lines } = makeLog()
    const parts = { path: `/${text}`, query: `q=${text}`, host: text, peer: text, method: text }
    const entry = log({ ...parts, headers: { "user-agent": text } }, 418, { id: text, instance: text })
    expect(lines[0]).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/)
    expect(entry.status).toBe(418)
    // Half a surrogate has no UTF-8.
    expect(entry.user_agent).toBe(text.toWellFormed())
    expect(entry.path).toBe(`/${text}?q=${text}`.toWellFormed())
  })

test("[F-71] a user agent of 1 MB and a path of 16 KB are cut", () => {
  const { log, lines } = makeLog()
  const entry = log({ path: `/${"a".repeat(16_384)}`, headers: { "user-agent": "u".repeat(1_000_000) } })
  expect(entry.user_agent).toBe(`${"u".repeat(255)}…`)
  expect(entry.path).toHaveLength(2048)
  expect(lines[0]!.length).toBeLessThan(4096)
})

test("[F-72] secrets of the query are redacted, and no header but the user agent is logged", () => {
  const { log, lines } = makeLog()
  const headers = { authorization: "Bearer s3cret", cookie: "sid=s3cret", referer: "http://a/?t=s3cret" }
  expect(log({ query: "a=1&access_token=s3cret&api_key=s3cret", headers }).path).toBe(
    "/?a=1&access_token=[redacted]&api_key=[redacted]",
  )
  expect(lines[0]).not.toContain("s3cret")
})

test("a secret that starts where the target is cut is gone all the same", () => {
  const { log } = makeLog()
  expect(log({ query: `a=${"x".repeat(2020)}&token=s3cret-and-more` }).path).not.toContain("s3c")
})

test("the query is left out when the route says so", () => {
  expect(makeLog({ query: false }).log({ path: "/a", query: "b=1" }).path).toBe("/a")
})

test("a sample logs its share of good requests and every bad one", () => {
  let next = 0
  const { log, lines } = makeLog({ sample: 0.25 }, { random: () => (next++ % 100) / 100 })
  for (let i = 0; i < 100; i++) log()
  expect(lines).toHaveLength(25)
  for (const status of [400, 404, 500, 503]) log({}, status)
  log({}, 200, { gone: true })
  expect(lines).toHaveLength(30)
})

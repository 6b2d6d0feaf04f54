import { expect, test } from "bun:test"
import type { LogFields } from "../../src/observe/log.ts"
import type { LogEvent } from "../../src/observe/log_events.ts"
import { createLog } from "../../src/observe/log_json.ts"

const EVENT: LogEvent = "worker.lost"
const AT = Date.UTC(2025, 0, 2, 3, 4, 5, 6)

/** Logs one event and returns the line and what it parses to. */
function logged(fields: LogFields, event: string = EVENT) {
  const lines: string[] = []
  createLog(
    "debug",
    (line) => lines.push(line),
    () => AT,
  ).warn(event as LogEvent, fields)
  expect(lines).toHaveLength(1)
  return { line: lines[0]!, entry: JSON.parse(lines[0]!) }
}

test("[C-8.3 C-8.9] an event is one JSON line with time, level and event first", () => {
  const { line } = logged({ route: "GET /a", ms: 12.5, ok: true, none: null })
  expect(line).toBe(
    '{"time":"2025-01-02T03:04:05.006Z","level":"warn","event":"worker.lost","route":"GET /a","ms":12.5,"ok":true,"none":null}',
  )
})

test("events below the level are not written", () => {
  const lines: string[] = []
  const log = createLog("warn", (line) => lines.push(line))
  log.debug("worker.lost")
  log.info("worker.replaced")
  log.warn("circuit.opened")
  log.error("config.rejected")
  expect(lines.map((line) => JSON.parse(line).event)).toEqual(["circuit.opened", "config.rejected"])
})

test("a field cannot pose as time, level or event", () => {
  expect(logged({ level: "debug", event: "fake", time: "never" }).entry).toMatchObject({
    level: "warn",
    event: EVENT,
    time: "2025-01-02T03:04:05.006Z",
  })
})

test("[F-71] line breaks, terminal sequences, quotes and separators stay inside their string", () => {
  const nasty = 'a\r\n{"level":"error"}\u001b[31m\u009b2J\u2028\u2029\u0000\u202e"}'
  const { line, entry } = logged({ nasty, [nasty]: 1 }, nasty)
  expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/)
  expect(entry.nasty).toBe(nasty)
  expect(entry.event).toBe(nasty)
  expect(entry.level).toBe("warn")
})

test("[F-71] a huge string is cut, a huge line keeps its head and the names of its fields", () => {
  expect(logged({ body: "x".repeat(1_000_000) }).entry.body).toBe(`${"x".repeat(8192)}… [991808 more]`)
  const many = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`f${i}`, "y".repeat(8000)]))
  const { line, entry } = logged(many)
  expect(line.length).toBeLessThan(65_536)
  expect(entry.event).toBe(EVENT)
  expect(entry.names).toHaveLength(60)
})

test("an error gives name, message, stack, code and cause", () => {
  const error = Object.assign(new TypeError("broke", { cause: new Error("deeper") }), { code: "ECONNRESET" })
  const { entry } = logged({ error })
  expect(entry.error).toMatchObject({ name: "TypeError", message: "broke", code: "ECONNRESET" })
  expect(entry.error.stack).toContain("log_json.test.ts")
  expect(entry.error.cause.message).toBe("deeper")
})

test("values that JSON does not know or that misbehave are marked, never thrown", () => {
  const circle: Record<string, unknown> = {}
  circle.self = circle
  const deep = Array.from({ length: 50 }).reduce<object>((inner) => ({ inner }), {})
  const wide = (levels: number): object =>
    levels === 0 ? {} : Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`k${i}`, wide(levels - 1)]))
  const { entry } = logged({
    circle,
    deep,
    big: 2n ** 70n,
    nan: Number.NaN,
    symbol: Symbol("s"),
    fn: () => 1,
    date: new Date(Number.NaN),
    bytes: new Uint8Array(5),
    map: new Map<unknown, unknown>([["a", 1]]),
    set: new Set([1, 2]),
    getter: Object.defineProperty({}, "x", {
      enumerable: true,
      get() {
        throw new Error("no")
      },
    }),
    proxy: new Proxy(
      {},
      {
        ownKeys() {
          throw new Error("trap")
        },
      },
    ),
    json: {
      toJSON() {
        throw new Error("json")
      },
    },
    wide: wide(3),
  })
  expect(entry.circle).toEqual({ self: "[circular]" })
  expect(JSON.stringify(entry.deep)).toContain("[too deep]")
  expect(entry).toMatchObject({
    big: "1180591620717411303424",
    nan: "NaN",
    symbol: "[symbol]",
    fn: "[function]",
    date: "Invalid Date",
    bytes: "[5 bytes]",
    map: { a: 1 },
    set: [1, 2],
    getter: { x: "[unreadable]" },
    proxy: "[unreadable: trap]",
    json: { toJSON: "[function]" },
  })
  expect(JSON.stringify(entry.wide)).toContain("[too large]")
})

test("fields that are one misbehaving proxy still give a line", () => {
  const fields = new Proxy(
    {},
    {
      ownKeys() {
        throw new Error("trap")
      },
    },
  )
  expect(logged(fields).entry).toMatchObject({ event: EVENT, fields: "[unreadable: trap]" })
})

test("[F-72 T-10.2] secrets are redacted by the name of their field, at any depth", () => {
  const { line } = logged({
    password: "p4ss",
    headers: { Authorization: "s3cret-a", "Set-Cookie": "s3cret-b", "x-api-key": "s3cret-c", accept: "*/*" },
    list: [{ client_secret: "s3cret-d", refreshToken: "s3cret-e" }],
    map: new Map([["jwt", "s3cret-f"]]),
    error: Object.assign(new Error("x"), { token: "s3cret-g" }),
  })
  expect(line).not.toMatch(/s3cret|p4ss/)
  expect(line).toContain('"accept":"*/*"')
})

test("[F-72 T-10.2] credentials inside a text are redacted by their form", () => {
  const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.c2lnbmF0dXJl"
  const { line } = logged({
    cause: `got "Authorization: Bearer abcdef0123456789" and ${jwt}`,
    error: new Error("connecting to redis://user:hunter2@redis:6379/0 failed"),
    url: new URL("postgres://app:hunter2@db/x"),
  })
  expect(line).not.toMatch(/abcdef0123456789|eyJ|hunter2/)
  expect(line).toContain("redis:6379/0 failed")
})

import type { Principal } from "../identity/principal.ts"
import { remember } from "../lib/remember.ts"
import { Type } from "../lib/type.ts"
import { finalStatus } from "../observe/account.ts"
import { escapeJson } from "../observe/json_text.ts"
import type { Lines } from "../observe/line_buffer.ts"
import { redactQuery } from "../observe/redact.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { definePolicy } from "./policy.ts"

const MAX_USER_AGENT = 256
const MAX_USER = 256
/** Longest path with its query in a line; what is cut ends in "…". */
const MAX_TARGET = 2048

/** Every field of a line, in order, with what it holds. For the reference page; a test compares it with real lines. */
export const ACCESS_LOG_FIELDS: readonly (readonly [name: string, doc: string])[] = [
  ["time", "When the request was over: ISO 8601, UTC, milliseconds."],
  ["event", "Always `request`."],
  ["id", "Request id, as in `X-Request-Id`."],
  ["trace_id", "W3C trace id; empty without the `trace` policy."],
  ["client", "Address of the client, behind trusted proxies the one they name."],
  ["user", "Id of the caller that proved who it is, at most 256 characters; empty when none did."],
  ["auth", "How it did: `jwt`, `session`, `api_key` or `certificate`; empty when none did."],
  ["method", "Method of the request."],
  ["host", "Host the client asked for, in lower case, with its port if it sent one."],
  ["route", "Template of the route; never holds what a client sent."],
  [
    "path",
    "Canonical path with the query, at most 2,048 characters. Values of secret parameters are redacted.",
  ],
  ["status", "Status of the answer; 499: the client left before it was complete."],
  ["bytes_in", "Body bytes received from the client."],
  ["bytes_out", "Body bytes sent to the client."],
  ["duration_ms", "From the complete request head to the last byte of the answer, milliseconds."],
  [
    "upstream_ms",
    "From the first upstream attempt to the head of the answer, milliseconds; 0 when none was made.",
  ],
  ["gateway_ms", "`duration_ms` without `upstream_ms`."],
  ["instance", "Instance asked last; empty when none was."],
  ["retries", "Upstream attempts beyond the first."],
  ["error", "Failure code when the gateway itself refused or failed; empty otherwise."],
  ["protocol", "`HTTP/1.1`; `HTTP` where it may also have been HTTP/2."],
  ["user_agent", "The client's User-Agent, at most 256 characters."],
]

export const accessLog = definePolicy({
  name: "access_log",
  doc: "Writes one JSON line for each request when it is over.",
  failsClosed: false,
  schema: Type.Object(
    {
      sample: Type.Number({
        minimum: 0,
        maximum: 1,
        default: 1,
        description:
          "Share of requests logged. Those with a status of 400 or more, or a client that left early, always are.",
      }),
      query: Type.Boolean({
        default: true,
        description: "Log the query, with values of secret parameters redacted.",
      }),
    },
    { additionalProperties: false },
  ),
  compile(options, deps, route) {
    const { sample, query } = options
    const { accessLog, random, wallClock } = deps
    const start = createStart(wallClock)
    const routeAndPath = Buffer.from(`","route":"${escapeJson(route.label)}","path":"`)
    const ended = createEnded()
    return {
      done(exchange) {
        const status = finalStatus(exchange)
        if (sample < 1 && status < 400 && random() >= sample) return
        const { endedAt, upstreamMs } = exchange
        const totalMs = endedAt - exchange.startedAt
        const path =
          query && exchange.query !== "" ? `${exchange.path}?${redactQuery(exchange.query)}` : exchange.path
        accessLog.begin()
        accessLog.bytes(start(endedAt))
        accessLog.text(escapeJson(exchange.id))
        accessLog.bytes(TRACE)
        accessLog.text(exchange.traceId)
        accessLog.text(asked(exchange))
        accessLog.bytes(routeAndPath)
        accessLog.text(escapeJson(cut(path, MAX_TARGET)))
        accessLog.bytes(STATUS)
        accessLog.integer(status)
        accessLog.bytes(BYTES_IN)
        accessLog.integer(exchange.bytesIn)
        accessLog.bytes(BYTES_OUT)
        accessLog.integer(exchange.bytesOut)
        accessLog.bytes(DURATION)
        writeMilliseconds(accessLog, totalMs)
        accessLog.bytes(UPSTREAM)
        writeMilliseconds(accessLog, upstreamMs)
        accessLog.bytes(GATEWAY)
        writeMilliseconds(accessLog, totalMs - upstreamMs)
        accessLog.bytes(ended(exchange))
        accessLog.end()
      },
    }
  },
})

const TRACE = Buffer.from(`","trace_id":"`)
const STATUS = Buffer.from(`","status":`)
const BYTES_IN = Buffer.from(`,"bytes_in":`)
const BYTES_OUT = Buffer.from(`,"bytes_out":`)
const DURATION = Buffer.from(`,"duration_ms":`)
const UPSTREAM = Buffer.from(`,"upstream_ms":`)
const GATEWAY = Buffer.from(`,"gateway_ms":`)

/** Of what comes again and again: clients, hosts, instances, agents. */
const escapeKnown = remember(escapeJson, 4096)

/** Who asked by what method at what host, and the part of a line that says so. */
interface Asked {
  readonly client: string
  readonly method: string
  readonly host: string
  readonly text: string
}

/** As long as the principal itself is kept: it is the same object for every request with the same proof. */
const askedBefore = new WeakMap<Principal, Asked>()
let askedByNobody: Asked | undefined

/** Most callers ask as they did before: the text of each one's last request is kept. */
function asked({ principal, client, method, host }: Exchange): string {
  const before = principal === undefined ? askedByNobody : askedBefore.get(principal)
  if (before !== undefined && before.client === client && before.method === method && before.host === host)
    return before.text
  const user = principal === undefined ? "" : escapeJson(cut(principal.id, MAX_USER))
  const text =
    `","client":"${escapeKnown(client)}","user":"${user}","auth":"${principal?.method ?? ""}` +
    `","method":"${escapeKnown(method)}","host":"${escapeKnown(host)}`
  const now = { client, method, host, text }
  if (principal === undefined) askedByNobody = now
  else askedBefore.set(principal, now)
  return text
}

/** The end of a line: who answered, and whom. The last one is kept. */
function createEnded(): (exchange: Exchange) => Uint8Array {
  let instance = ""
  let retries = -1
  let failure = ""
  let protocol = ""
  let agent = ""
  let bytes = Buffer.alloc(0)
  return (exchange) => {
    const sent = exchange.header("user-agent") ?? ""
    const same =
      exchange.instance === instance && exchange.retries === retries && exchange.failure === failure
    if (same && exchange.arrival.protocol === protocol && sent === agent) return bytes
    ;({ instance, retries, failure } = exchange)
    protocol = exchange.arrival.protocol
    // A copy that is cut is one that nobody sends: a long one is cut each time, and not kept.
    agent = cut(sent, MAX_USER_AGENT)
    bytes = Buffer.from(
      `,"instance":"${escapeKnown(instance)}","retries":${retries},"error":"${failure}"` +
        `,"protocol":"${protocol}","user_agent":"${escapeKnown(agent)}"}`,
    )
    return bytes
  }
}

const POINT = Buffer.from(".")

/** To the microsecond, by integers: printing a fraction costs the engine several times as much. */
function writeMilliseconds(lines: Lines, ms: number): void {
  // Never negative: two clocks may disagree a little.
  const us = ms > 0 ? Math.round(ms * 1000) : 0
  const whole = Math.floor(us / 1000)
  const rest = us - whole * 1000
  lines.integer(whole)
  if (rest === 0) return
  lines.bytes(POINT)
  lines.integer(rest, 3)
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

/** The wall clock is looked at so often, in ms; in between, the other clock tells how time goes by. */
const LOOK_MS = 1000

/** Where the digits of the milliseconds are in the start of a line, and how many. */
const MILLISECONDS_AT = `{"time":"2025-01-02T03:04:05.`.length
const ZERO = 48

/**
 * The start of a line with the wall-clock time, as ISO 8601, at a time of the monotonic clock that has just been. Good
 * until it is asked for again.
 */
function createStart(wallClock: () => number): (at: number) => Uint8Array {
  let lookedAt = Number.NaN
  let ahead = 0
  let second = Number.NaN
  let start = Buffer.alloc(0)
  return (at) => {
    if (!(at >= lookedAt && at < lookedAt + LOOK_MS)) {
      lookedAt = at
      ahead = wallClock() - at
    }
    const ms = Math.floor(at + ahead)
    const own = Math.floor(ms / 1000)
    if (own !== second) {
      second = own
      start = Buffer.from(`{"time":"${new Date(own * 1000).toISOString()}","event":"request","id":"`)
    }
    const rest = ms - own * 1000
    start[MILLISECONDS_AT] = ZERO + Math.trunc(rest / 100)
    start[MILLISECONDS_AT + 1] = ZERO + (Math.trunc(rest / 10) % 10)
    start[MILLISECONDS_AT + 2] = ZERO + (rest % 10)
    return start
  }
}

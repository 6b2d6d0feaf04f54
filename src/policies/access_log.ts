import type { Principal } from "../identity/principal.ts"
import { remember } from "../lib/remember.ts"
import { Type } from "../lib/type.ts"
import { finalStatus } from "../observe/account.ts"
import { escapeJson } from "../observe/json_text.ts"
import { redactQuery } from "../observe/redact.ts"
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
    const stamp = createStamp(wallClock)
    const routeAndPath = `","route":"${escapeJson(route.label)}","path":"`
    return {
      done(exchange) {
        const status = finalStatus(exchange)
        if (sample < 1 && status < 400 && random() >= sample) return
        const { endedAt, principal, upstreamMs } = exchange
        const totalMs = endedAt - exchange.startedAt
        const agent = exchange.header("user-agent")
        const path =
          query && exchange.query !== "" ? `${exchange.path}?${redactQuery(exchange.query)}` : exchange.path
        accessLog.append(
          `{"time":"${stamp(endedAt)}","event":"request","id":"${escapeJson(exchange.id)}` +
            `","trace_id":"${exchange.traceId}","client":"${escapeKnown(exchange.client)}` +
            `${principal === undefined ? NOBODY : callerOf(principal)}${escapeKnown(exchange.method)}` +
            `","host":"${escapeKnown(exchange.host)}${routeAndPath}${escapeJson(cut(path, MAX_TARGET))}` +
            `","status":${status},"bytes_in":${exchange.bytesIn},"bytes_out":${exchange.bytesOut}` +
            `,"duration_ms":${decimal(totalMs)},"upstream_ms":${decimal(upstreamMs)}` +
            `,"gateway_ms":${decimal(totalMs - upstreamMs)},"instance":"${escapeKnown(exchange.instance)}` +
            `","retries":${exchange.retries},"error":"${exchange.failure}` +
            `","protocol":"${exchange.arrival.protocol}","user_agent":"` +
            `${agent === undefined ? "" : escapeKnown(cut(agent, MAX_USER_AGENT))}"}`,
        )
      },
    }
  },
})

/** Of what comes again and again: clients, hosts, instances, agents. */
const escapeKnown = remember(escapeJson, 4096)

const NOBODY = `","user":"","auth":"","method":"`

/** As long as the principal itself is kept: it is the same object for every request with the same proof. */
const callers = new WeakMap<Principal, string>()

/** The part of the line that tells who called. */
function callerOf(principal: Principal): string {
  let text = callers.get(principal)
  if (text === undefined) {
    const { id, method } = principal
    text = `","user":"${escapeJson(cut(id, MAX_USER))}","auth":"${method}","method":"`
    callers.set(principal, text)
  }
  return text
}

/** "000" to "999", each from when it is first wanted: all at once take longer than most that a thread does at its start. */
const THREE_DIGITS = new Array<string | undefined>(1000).fill(undefined)

const threeDigits = (n: number): string => (THREE_DIGITS[n] ??= String(n).padStart(3, "0"))

/** Milliseconds to the microsecond, by integers: printing a fraction costs the engine three times as much. */
function decimal(ms: number): string {
  // Never negative: two clocks may disagree a little.
  const us = ms > 0 ? Math.round(ms * 1000) : 0
  const whole = Math.floor(us / 1000)
  const rest = us - whole * 1000
  return rest === 0 ? `${whole}` : `${whole}.${threeDigits(rest)}`
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

/** The wall clock is looked at so often, in ms; in between, the other clock tells how time goes by. */
const LOOK_MS = 1000

/**
 * Tells the wall-clock time, as ISO 8601, at a time of the monotonic clock that has just been. Each part is kept while
 * it lasts.
 */
function createStamp(wallClock: () => number): (at: number) => string {
  let lookedAt = Number.NaN
  let ahead = 0
  let last = Number.NaN
  let text = ""
  let second = Number.NaN
  let prefix = ""
  return (at) => {
    if (!(at >= lookedAt && at < lookedAt + LOOK_MS)) {
      lookedAt = at
      ahead = wallClock() - at
    }
    const ms = Math.floor(at + ahead)
    if (ms === last) return text
    last = ms
    const own = Math.floor(ms / 1000)
    if (own !== second) {
      second = own
      prefix = new Date(own * 1000).toISOString().slice(0, 20)
    }
    text = `${prefix}${threeDigits(ms - own * 1000)}Z`
    return text
  }
}

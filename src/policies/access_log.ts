import Type from "typebox"
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
    const { accessLog, now, random, wallClock } = deps
    const label = escapeJson(route.label)
    const stamp = createStamp()
    return {
      done(exchange) {
        const status = finalStatus(exchange)
        if (sample < 1 && status < 400 && random() >= sample) return
        const totalMs = now() - exchange.startedAt
        const agent = exchange.header("user-agent") ?? ""
        const search = query && exchange.query !== "" ? `?${redactQuery(exchange.query)}` : ""
        const { principal } = exchange
        const user = principal === undefined ? "" : escapeJson(cut(principal.id, MAX_USER))
        const auth = principal === undefined ? "" : principal.method
        accessLog.append(
          `{"time":"${stamp(wallClock())}","event":"request","id":"${escapeJson(exchange.id)}"` +
            `,"trace_id":"${exchange.traceId}","client":"${escapeJson(exchange.client)}"` +
            `,"user":"${user}","auth":"${auth}"` +
            `,"method":"${escapeJson(exchange.method)}","host":"${escapeJson(exchange.host)}"` +
            `,"route":"${label}","path":"${escapeJson(cut(exchange.path + search, MAX_TARGET))}"` +
            `,"status":${status},"bytes_in":${exchange.bytesIn},"bytes_out":${exchange.bytesOut}` +
            `,"duration_ms":${decimal(totalMs)},"upstream_ms":${decimal(exchange.upstreamMs)}` +
            `,"gateway_ms":${decimal(totalMs - exchange.upstreamMs)}` +
            `,"instance":"${escapeJson(exchange.instance)}","retries":${exchange.retries}` +
            `,"error":"${exchange.failure}","protocol":"${exchange.arrival.protocol}"` +
            `,"user_agent":"${escapeJson(cut(agent, MAX_USER_AGENT))}"}`,
        )
      },
    }
  },
})

/** Milliseconds to the microsecond, by integers: printing a fraction costs the engine three times as much. */
function decimal(ms: number): string {
  // Never negative: two clocks may disagree a little.
  const us = ms > 0 ? Math.round(ms * 1000) : 0
  const whole = Math.floor(us / 1000)
  const rest = us - whole * 1000
  if (rest === 0) return `${whole}`
  return `${whole}.${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}`
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

/** Formats wall-clock milliseconds as ISO 8601; the part up to the second is kept while it lasts. */
function createStamp(): (ms: number) => string {
  let second = Number.NaN
  let prefix = ""
  return (ms) => {
    const own = Math.floor(ms / 1000)
    if (own !== second) {
      second = own
      prefix = new Date(own * 1000).toISOString().slice(0, 20)
    }
    const rest = Math.floor(ms - own * 1000)
    return `${prefix}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`
  }
}

import { FieldList } from "../../http1/field_list.ts"
import { HOP_BY_HOP } from "../../http1/fields.ts"
import { readBody } from "../../http1/read_body.ts"
import type { Principal } from "../../identity/principal.ts"
import type { Clock } from "../../lib/clock.ts"
import { parseJson } from "../../lib/json_parse.ts"
import { NORMAL, type Priority } from "../../observe/priority.ts"
import { Exchange } from "../../upstream/exchange.ts"
import { forward } from "../../upstream/forward.ts"
import type { Service } from "../../upstream/upstreams.ts"

/** Which service is asked, and how. */
export interface ServiceCall {
  readonly service: string
  readonly path: string
  /** Ms for the whole answer's head, further attempts included. */
  readonly timeout: number
}

/** What a service answered; `value` is `undefined` for an empty body. */
export interface CallAnswer {
  readonly status: number
  readonly value: unknown
}

export interface CallOptions {
  /** More header lines: name in lower case, value, … */
  readonly headers: readonly string[]
  /** What the answer says beside its status is not looked at. */
  readonly statusOnly: boolean
}

/**
 * Asks a service by POST with JSON; a text is JSON already. `undefined`: there is no answer, or none that is JSON. Never
 * rejects.
 */
export type CallService = (
  call: ServiceCall,
  question: object | string,
  options?: CallOptions,
) => Promise<CallAnswer | undefined>

/** Calls of one worker under way at a time; beyond, there is no answer. */
export const MAX_CALLS = 512
/** Characters. */
const MAX_REASON = 500
const MAX_ANSWER_BYTES = 262_144
const FIELDS = ["content-type", "application/json", "accept", "application/json", "user-agent", "gatehouse"]

/**
 * `find`: the service of a name, as it is now. Instances, breaker and retries are those of all other requests. `priority`:
 * how important the calls are under load.
 */
export function createCallService(
  find: (name: string) => Service | undefined,
  now: Clock,
  priority: Priority = NORMAL,
): CallService {
  let underWay = 0
  return async (call, question, options) => {
    const service = find(call.service)
    if (service === undefined || underWay >= MAX_CALLS) return undefined
    underWay++
    try {
      const exchange = requestOf(call, question, options, now())
      exchange.priority = priority
      const forwarded = await forward(exchange, service, call.timeout)
      if (forwarded.kind !== "answer") return undefined
      const { status, body } = forwarded.answer
      const bytes = await readBody(body, MAX_ANSWER_BYTES)
      if (options?.statusOnly === true) return { status, value: undefined }
      if (!(bytes instanceof Uint8Array)) return undefined
      if (bytes.byteLength === 0) return { status, value: undefined }
      const parsed = parseJson(bytes, 32)
      return parsed.ok ? { status, value: parsed.value } : undefined
    } finally {
      underWay--
    }
  }
}

function requestOf(
  { path, service }: ServiceCall,
  question: object | string,
  options: CallOptions | undefined,
  startedAt: number,
): Exchange {
  const arrival = {
    method: "POST",
    path,
    ambiguousPath: false,
    query: "",
    scheme: "http",
    host: service,
    peer: "",
    certificate: undefined,
    fields: new FieldList(options === undefined ? FIELDS : [...FIELDS, ...options.headers]),
    body: Buffer.from(typeof question === "string" ? question : JSON.stringify(question)),
    startedAt,
    protocol: "HTTP/1.1",
    fault: "",
  } as const
  return new Exchange(arrival, HOP_BY_HOP, HOP_BY_HOP)
}

/** What a service that refuses says to the one it refuses; `undefined`: nothing. */
export function messageIn(value: unknown): string | undefined {
  const { message } = (typeof value === "object" && value !== null ? value : {}) as { message?: unknown }
  return typeof message === "string" && message.length <= MAX_REASON ? message : undefined
}

/** A caller as services are told of it; `null`: nobody knows who it is. */
export const callerView = (principal: Principal | undefined): object | null =>
  principal === undefined
    ? null
    : {
        id: principal.id,
        kind: principal.kind,
        roles: principal.roles,
        scopes: principal.scopes,
        tier: principal.tier,
      }

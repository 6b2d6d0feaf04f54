import type { Config } from "../../config/schema.ts"
import type { BuiltinRoute } from "../../gateway/snapshot.ts"
import { FieldList } from "../../http1/field_list.ts"
import { readBody } from "../../http1/read_body.ts"
import type { Principal } from "../../identity/principal.ts"
import { CUT_SHORT, type Failure, fail } from "../../policies/failure.ts"
import type { Answered } from "../../policies/policy.ts"
import { UNAVAILABLE } from "../../realtime/channels/link.ts"
import type { FrameCodec } from "../../realtime/channels/message_pack.ts"
import type { Namespace } from "../../realtime/channels/namespaces.ts"
import { ERRORS, type ErrorCode, MAX_PUBLICATIONS, SUBPROTOCOLS } from "../../realtime/channels/protocol.ts"
import type { Realtime } from "../../realtime/channels/realtime.ts"
import { senderKey } from "../../realtime/channels/sender_key.ts"
import { checkHandshake } from "../../realtime/handshake.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import { answerEvents } from "./event_stream.ts"
import { answerPoll } from "./long_poll.ts"
import { idempotencyKeyFault, parseMessage } from "./message.ts"

/** With it a caller may publish to every channel, and read every history. */
export const PUBLISH_SCOPE = "realtime:publish"
const TICKET_TTL_MS = 30_000
const MAX_MEMBERS = 1000
export const DEFAULT_LIMIT = 100

/** The endpoints of the section `realtime`; none without. */
export function realtimeRoutes({ realtime }: Config): readonly BuiltinRoute[] {
  if (realtime === undefined) return []
  const { path } = realtime
  return [
    { path, methods: ["GET"], caller: "optional" },
    { path: `${path}/sse`, methods: ["GET"], caller: "optional" },
    { path: `${path}/poll`, methods: ["GET"], caller: "optional" },
    { path: `${path}/ticket`, methods: ["POST"], caller: true },
    { path: `${path}/channels/:name/messages`, methods: ["POST"], caller: true },
    { path: `${path}/channels/:name/history`, methods: ["GET"], caller: true },
    { path: `${path}/channels/:name/presence`, methods: ["GET"], caller: true },
    { path: `${path}/channels/:name/dead-letters`, methods: ["GET"], caller: true },
  ]
}

/** Whether a path is one of `realtimeRoutes`. */
export const isRealtimePath = (path: string, { options }: Pick<Realtime, "options">): boolean =>
  options !== undefined && (path === options.path || path.startsWith(`${options.path}/`))

/** Answers them. `undefined`: `exchange.socket` is set. */
export async function answerRealtime(
  exchange: Exchange,
  realtime: Realtime,
): Promise<Answered | Failure | undefined> {
  const { options } = realtime
  if (options === undefined) return fail("NOT_FOUND")
  const [, first, , last] = exchange.path.slice(options.path.length).split("/")
  if (first === undefined) return connect(exchange, realtime)
  if (first === "sse") return answerEvents(exchange, realtime)
  if (first === "poll") return answerPoll(exchange, realtime)
  // The routing table has seen to it that the caller is known.
  const caller = exchange.principal
  if (caller === undefined) return fail("AUTH_ERROR")
  if (first === "ticket") return issueTicket(caller, realtime)
  const { name = "" } = exchange.params
  const namespace = realtime.namespaces.find(name)
  if (namespace === undefined)
    return fail("NOT_FOUND", { message: "No namespace of the configuration has such a channel." })
  if (last === "messages") return publish(exchange, caller, namespace, name, realtime)
  if (!caller.scopes.includes(PUBLISH_SCOPE)) {
    const may = await namespace.decideSubscribe(caller, name, realtime.call)
    if (may !== true) return may === "unavailable" ? BUSY : NOT_ALLOWED
  }
  switch (last) {
    case "history":
      return history(exchange, namespace, name, realtime)
    case "presence":
      return presence(name, namespace, realtime)
    default:
      return caller.scopes.includes(PUBLISH_SCOPE) ? deadLetters(exchange, name, realtime) : NOT_ALLOWED
  }
}

const NOT_ALLOWED = fail("FORBIDDEN", { details: { missing: { scopes: [PUBLISH_SCOPE] } } })
const BUSY = fail("OVERLOADED", { retryAfterS: 1, cause: "channels cannot be reached" })
const BAD_TICKET = fail("AUTH_ERROR", { message: "The ticket was used, is too old, or was never given out." })

const isSubprotocol = (name: string): boolean => Object.values<string>(SUBPROTOCOLS).includes(name)

let messagePack: Promise<FrameCodec> | undefined
/** Loaded with the first client that wants it: most gateways never have one. */
const loadMessagePack = (): Promise<FrameCodec> =>
  (messagePack ??= import("../../realtime/channels/message_pack.ts").then(({ createMessagePack }) =>
    createMessagePack(),
  ))

/** The handshake of a client. */
async function connect(exchange: Exchange, realtime: Realtime): Promise<Failure | undefined> {
  const handshake = checkHandshake(exchange.arrival.fields, exchange.method, exchange.arrival.protocol)
  if (handshake.kind === "http")
    return fail("UPGRADE_REQUIRED", {
      message: "This endpoint speaks WebSocket.",
      headers: { upgrade: "websocket" },
    })
  if (handshake.kind === "failure") return handshake
  let caller = exchange.principal
  const ticket = new URLSearchParams(exchange.query).get("ticket")
  if (ticket !== null) {
    const found = await realtime.link.ask({ do: "take_ticket", ticket })
    if (found === UNAVAILABLE) return BUSY
    if (found === undefined || realtime.identity.isRevoked(found)) return BAD_TICKET
    caller = found
  }
  const protocol = handshake.protocols.find(isSubprotocol) ?? ""
  const codec = protocol === SUBPROTOCOLS.messagePack ? await loadMessagePack() : undefined
  const handler = realtime.accept(exchange.client, caller, codec)
  if ("kind" in handler) return handler
  if (exchange.gone) handler.abandon()
  else exchange.socket = { handler, protocol, refused: () => handler.abandon() }
  return exchange.gone ? fail("BAD_GATEWAY") : undefined
}

async function issueTicket(principal: Principal, { link }: Realtime): Promise<Answered | Failure> {
  const ticket = await link.ask({ do: "issue_ticket", principal, ttlMs: TICKET_TTL_MS })
  return ticket === UNAVAILABLE ? BUSY : json({ ticket, expires_in: TICKET_TTL_MS / 1000 })
}

async function publish(
  exchange: Exchange,
  caller: Principal,
  namespace: Namespace,
  channel: string,
  realtime: Realtime,
): Promise<Answered | Failure> {
  if (!caller.scopes.includes(PUBLISH_SCOPE)) {
    const may = await namespace.decidePublish(caller, channel, realtime.call)
    if (may !== true) return may === "unavailable" ? BUSY : NOT_ALLOWED
  }
  const key = exchange.header("idempotency-key")
  const badKey = idempotencyKeyFault(key)
  if (badKey !== undefined) return fail(badKey.code, { message: badKey.message })
  const body = await readBody(exchange.body, namespace.options.max_message + 1024)
  if (body === "too_large") return tooLarge(namespace)
  if (body === "aborted") return CUT_SHORT
  const message = parseMessage(body)
  if ("code" in message) return fail(message.code, { message: message.message })
  const result = await realtime.publish(namespace, channel, message.data, {
    principal: caller,
    publisher: caller.kind === "user" ? { user: caller.id } : undefined,
    key: senderKey(key, caller, ""),
    requestId: exchange.id,
  })
  if (typeof result === "string") return notPublished(result, namespace)
  if ("refused" in result) {
    const code = result.refused === "INVALID_DATA" ? "INVALID_FIELD" : "FORBIDDEN"
    return fail(code, { message: result.reason ?? ERRORS[result.refused].message })
  }
  const { epoch, offset, duplicate } = result
  return json({ position: { epoch, offset }, duplicate })
}

const tooLarge = ({ options }: Namespace): Failure =>
  fail("PAYLOAD_TOO_LARGE", { details: { limit: options.max_message } })

const notPublished = (code: ErrorCode, namespace: Namespace): Failure =>
  code === "TOO_LARGE" ? tooLarge(namespace) : BUSY

async function history(
  exchange: Exchange,
  { retention }: Namespace,
  channel: string,
  { link }: Realtime,
): Promise<Answered | Failure> {
  const query = new URLSearchParams(exchange.query)
  const limit = limitOf(query)
  const epoch = query.get("epoch")
  const offset = Number(query.get("offset") ?? "0")
  if (limit === undefined || !Number.isSafeInteger(offset) || offset < 0)
    return fail("INVALID_REQUEST", { message: `limit must be from 1 to ${MAX_PUBLICATIONS}, offset from 0.` })
  const since = epoch === null ? undefined : { epoch, offset }
  const found = await link.ask({ do: "history", channel, since, limit, retention })
  if (found === UNAVAILABLE) return BUSY
  const { position, publications, complete } = found
  return text(
    `{"position":${JSON.stringify(position)},"complete":${complete},"publications":[${publications.join(",")}]}`,
  )
}

async function presence(
  channel: string,
  { options }: Namespace,
  { link }: Realtime,
): Promise<Answered | Failure> {
  if (!options.presence)
    return fail("NOT_FOUND", { message: "The namespace of the channel has no presence." })
  const members = await link.ask({ do: "members", channel, limit: MAX_MEMBERS })
  return members === UNAVAILABLE ? BUSY : json({ members })
}

async function deadLetters(
  exchange: Exchange,
  channel: string,
  { link }: Realtime,
): Promise<Answered | Failure> {
  const limit = limitOf(new URLSearchParams(exchange.query))
  if (limit === undefined)
    return fail("INVALID_REQUEST", { message: `limit must be from 1 to ${MAX_PUBLICATIONS}.` })
  const letters = await link.ask({ do: "dead_letters", channel, limit })
  if (letters === UNAVAILABLE) return BUSY
  const shown = letters.map(({ data, at, channel: _, ...rest }) => ({
    ...rest,
    data: data === "" ? null : (JSON.parse(data) as unknown),
    at: new Date(at).toISOString(),
  }))
  return json({ dead_letters: shown })
}

/** `undefined`: it is none. */
function limitOf(query: URLSearchParams): number | undefined {
  const limit = Number(query.get("limit") ?? DEFAULT_LIMIT)
  return Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_PUBLICATIONS ? limit : undefined
}

const FIELDS = new FieldList(["content-type", "application/json", "cache-control", "no-store"])

const json = (value: object): Answered => text(JSON.stringify(value))

const text = (body: string): Answered => ({
  kind: "answer",
  answer: { status: 200, fields: FIELDS, body: Buffer.from(body) },
})

import type { Static, TSchema } from "typebox"
import { strictObject } from "../../lib/strict_object.ts"
import { Type } from "../../lib/type.ts"
import { SeveritySchema } from "../../safety/safety_event.ts"

// The protocol of the realtime endpoint: JSON texts over WebSocket. A client sends commands, one object a frame or
// several in an array; each gets one reply with its id. In between come pushes. docs/asyncapi.yaml shows the same.

/** Characters a channel's name may have; the part up to the first ":" is its namespace, by config. */
export const CHANNEL_NAME = /^[A-Za-z0-9_.:@~-]{1,128}$/
/** Of a client-chosen session: which of a user's devices this is. Sessions of one user acknowledge each for itself. */
export const SESSION_NAME = /^[A-Za-z0-9_.-]{1,64}$/
/** Commands in one frame. */
export const MAX_COMMANDS = 64
/** Publications in one reply, at most, and fewer if they are large; others follow the reply to `subscribe` as pushes. */
export const MAX_PUBLICATIONS = 1000
/** Subprotocols of the WebSocket; without one, frames are JSON texts. */
export const SUBPROTOCOLS = { json: "gatehouse.json", messagePack: "gatehouse.msgpack" } as const
/** A socket that has not said who it is after this long is closed. */
export const CONNECT_WITHIN_MS = 5000

const id = Type.Integer({ minimum: 1, maximum: 4_294_967_295 })
const channel = Type.String({ minLength: 1, maxLength: 128, pattern: CHANNEL_NAME.source })
const offset = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const limit = Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PUBLICATIONS }))

/**
 * A place in a channel. Offsets grow by 1 with each publication of an epoch, from 1; another epoch means that the
 * channel's past is gone, and positions of the old one mean nothing.
 */
export const PositionSchema = strictObject({
  epoch: Type.String({ minLength: 1, maxLength: 64 }),
  offset,
})
export type Position = Static<typeof PositionSchema>

/** What a client can ask for: by the value of `type`. */
export const COMMANDS = {
  /**
   * Who the client is, where the handshake did not prove it: a token (as in `Authorization: Bearer`) or a ticket,
   * within 5 s. `session` names this device for acknowledgements. May be sent without both, for the session alone.
   */
  connect: strictObject({
    id,
    type: Type.Literal("connect"),
    token: Type.Optional(Type.String({ minLength: 1, maxLength: 8192 })),
    ticket: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    session: Type.Optional(Type.String({ minLength: 1, maxLength: 64, pattern: SESSION_NAME.source })),
  }),
  /** With `since`, publications after that position come with the reply, in order, if they are still kept. */
  subscribe: strictObject({
    id,
    type: Type.Literal("subscribe"),
    channel,
    since: Type.Optional(PositionSchema),
  }),
  unsubscribe: strictObject({ id, type: Type.Literal("unsubscribe"), channel }),
  /** `key`: a second publish of this client with the same key within 5 minutes is not published again. */
  publish: strictObject({
    id,
    type: Type.Literal("publish"),
    channel,
    data: Type.Unknown(),
    key: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  }),
  /**
   * Of a channel the client is subscribed to. Without `since`: the newest ones. Large ones are fewer than `limit`: about
   * 256 KB; with `since`, the rest can be asked for after the last of them.
   */
  history: strictObject({
    id,
    type: Type.Literal("history"),
    channel,
    since: Type.Optional(PositionSchema),
    limit,
  }),
  presence: strictObject({ id, type: Type.Literal("presence"), channel }),
  /** Asks a service that config names. */
  rpc: strictObject({
    id,
    type: Type.Literal("rpc"),
    method: Type.String({ minLength: 1, maxLength: 64 }),
    data: Type.Optional(Type.Unknown()),
  }),
  /** Everything up to and with this offset was dealt with. `at_least_once` namespaces only. */
  ack: strictObject({ id, type: Type.Literal("ack"), channel, offset }),
  /** A newer token of the same user, before the old one expires. */
  refresh: strictObject({
    id,
    type: Type.Literal("refresh"),
    token: Type.String({ minLength: 1, maxLength: 8192 }),
  }),
  ping: strictObject({ id, type: Type.Literal("ping") }),
} as const

export type CommandName = keyof typeof COMMANDS
export type CommandOf<N extends CommandName> = Static<(typeof COMMANDS)[N]>
export type Command = { [N in CommandName]: CommandOf<N> }[CommandName]

/** Who published, as others may know it. Absent: the publisher is a service or the gateway. */
export const PublisherSchema = strictObject({ user: Type.String() })
export type Publisher = Static<typeof PublisherSchema>

/** One message of a channel. */
export const PublicationSchema = strictObject({
  offset,
  data: Type.Unknown(),
  publisher: Type.Optional(PublisherSchema),
  /** It was sent before and not acknowledged in time: the how-manieth time this is. */
  attempt: Type.Optional(Type.Integer({ minimum: 2 })),
})
export type Publication = Static<typeof PublicationSchema>

/** One connection in a channel. */
export const MemberSchema = strictObject({ client: Type.String(), user: Type.Optional(Type.String()) })
export type Member = Static<typeof MemberSchema>

/** The result in the reply to each command. */
export const RESULTS = {
  connect: strictObject({
    /** Id of this connection, as presence shows it. */
    client: Type.String(),
    user: Type.Optional(Type.String()),
    /** The token or the sign-in ends in so many seconds: `refresh` before. Absent: never. */
    expires_in: Type.Optional(Type.Number()),
    /** The server pings this often, in seconds; after twice as long without a frame the connection is dead. */
    ping: Type.Number(),
  }),
  subscribe: strictObject({
    /** Of the last one in `publications`, or of the newest when there are none. Pushes go on after it. */
    position: PositionSchema,
    /**
     * Where the position the command named stands in the epoch of `position`: the same publication, so what was had
     * before it counts. Absent: none was named, or it means nothing here any more.
     */
    since: Type.Optional(PositionSchema),
    /** `since` (or the last acknowledgement) was given and nothing is missing between it and `publications`. */
    recovered: Type.Boolean(),
    publications: Type.Array(PublicationSchema),
    /** There are more of them than one reply holds: they follow as pushes, before those that are new. */
    more: Type.Boolean(),
    /** The namespace is `at_least_once`: publications are to be acknowledged. */
    ack: Type.Boolean(),
  }),
  unsubscribe: strictObject({}),
  publish: strictObject({
    position: PositionSchema,
    /** The key was known: this is where the first one stands. */
    duplicate: Type.Boolean(),
  }),
  history: strictObject({
    /** The newest publication of the channel, whether it is among these or not. */
    position: PositionSchema,
    publications: Type.Array(PublicationSchema),
    /** False: what `since` asked for is gone. */
    complete: Type.Boolean(),
  }),
  presence: strictObject({ members: Type.Array(MemberSchema) }),
  rpc: strictObject({ data: Type.Unknown() }),
  ack: strictObject({}),
  refresh: strictObject({ expires_in: Type.Optional(Type.Number()) }),
  ping: strictObject({}),
} as const satisfies Record<CommandName, TSchema>
export type ResultOf<N extends CommandName> = Static<(typeof RESULTS)[N]>

/** What comes unasked: by the value of `push`. */
export const PUSHES = {
  publication: strictObject({
    push: Type.Literal("publication"),
    channel: Type.String(),
    ...PublicationSchema.properties,
  }),
  join: strictObject({ push: Type.Literal("join"), channel: Type.String(), member: MemberSchema }),
  leave: strictObject({ push: Type.Literal("leave"), channel: Type.String(), member: MemberSchema }),
  /**
   * The subscription is over. `resubscribe`: the client should subscribe again with its last position (something was
   * missed, or config changed); otherwise it may not.
   */
  unsubscribe: strictObject({
    push: Type.Literal("unsubscribe"),
    channel: Type.String(),
    resubscribe: Type.Boolean(),
    reason: Type.String(),
  }),
  /**
   * A safety event that is about the user of this connection, or was published on a channel it is subscribed to. It comes
   * at once, before all that waits, and to every connection; subscribers get it as a publication, too, in its order.
   */
  safety: strictObject({
    push: Type.Literal("safety"),
    /** The same in the publication (`data.safety.id`), and if it should come twice. */
    id: Type.String(),
    category: Type.String(),
    severity: SeveritySchema,
    user: Type.Optional(Type.String()),
    session: Type.Optional(Type.String()),
    /** Where it happened. */
    channel: Type.Optional(Type.String()),
    details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    /** `api`, or `policy:` and its name. */
    source: Type.String(),
    /** RFC 3339. */
    at: Type.String(),
  }),
  /** The connection is closed next, with this close code; where a close code does not reach the client (SSE). */
  disconnect: strictObject({
    push: Type.Literal("disconnect"),
    code: Type.Integer(),
    reason: Type.String(),
    reconnect: Type.Boolean(),
  }),
} as const
export type PushName = keyof typeof PUSHES
export type PushOf<N extends PushName> = Static<(typeof PUSHES)[N]>
export type Push = { [N in PushName]: PushOf<N> }[PushName]

export interface ErrorBody {
  readonly code: ErrorCode
  readonly message: string
  /** The same command may succeed a little later. */
  readonly temporary: boolean
}

export type Reply<N extends CommandName = CommandName> =
  | { readonly id: number; readonly result: ResultOf<N> }
  | { readonly id: number; readonly error: ErrorBody }

/** Why a command was refused. */
export const ERRORS = {
  INVALID_COMMAND: { message: "The command does not fit the protocol.", temporary: false },
  UNAUTHENTICATED: { message: "The connection must say first who it is (connect).", temporary: false },
  INVALID_TOKEN: { message: "The token or ticket is not valid.", temporary: false },
  FORBIDDEN: { message: "This is not allowed here.", temporary: false },
  UNKNOWN_CHANNEL: { message: "No namespace of the configuration has such a channel.", temporary: false },
  NOT_SUBSCRIBED: { message: "The connection is not subscribed to the channel.", temporary: false },
  ALREADY_SUBSCRIBED: { message: "The connection is subscribed to the channel.", temporary: false },
  NOT_AVAILABLE: { message: "The namespace of the channel does not have this.", temporary: false },
  TOO_LARGE: { message: "The message is larger than the namespace takes.", temporary: false },
  TOO_MANY_SUBSCRIPTIONS: { message: "The connection has too many subscriptions.", temporary: false },
  REFUSED: { message: "The message was refused.", temporary: false },
  INVALID_DATA: { message: "The message does not have the shape its namespace wants.", temporary: false },
  UNKNOWN_METHOD: { message: "No such method is configured.", temporary: false },
  RATE_LIMITED: { message: "Too many messages; send less.", temporary: true },
  UNAVAILABLE: { message: "This cannot be done just now.", temporary: true },
  INTERNAL: { message: "The gateway failed to handle the command.", temporary: true },
} as const
export type ErrorCode = keyof typeof ERRORS

/**
 * Close codes of the endpoint. 4000 to 4499: connect again (with backoff), 4500 to 4999: do not, it would end the
 * same way. Codes of RFC 6455 that a client may see as well: 1001 and 1012 (gateway restarts), 1006, 1009 (a frame
 * beyond `max_message` of the door), 1011: connect again.
 */
export const CLOSE_CODES = {
  4000: "the gateway is shutting down",
  4001: "the client reads too slowly",
  4002: "the client sent no frame for too long",
  4003: "the credentials expired; connect with new ones",
  4004: "messages come faster than the limit",
  4005: "the gateway cannot serve the connection just now",
  4006: "the endpoint's configuration changed",
  4500: "nothing valid said who the client is within 5 s",
  4501: "a frame is no command of the protocol",
  4502: "the credentials are not valid",
  4503: "the credentials were revoked",
  4504: "the user or address has too many connections",
  4505: "a frame is larger than the limit",
} as const
export type CloseCode = keyof typeof CLOSE_CODES

/** Whether a client that was closed with this code should connect again. */
export const mayReconnect = (code: number): boolean => code < 4500 || code > 4999

export const errorBody = (code: ErrorCode, message: string = ERRORS[code].message): ErrorBody => ({
  code,
  message,
  temporary: ERRORS[code].temporary,
})

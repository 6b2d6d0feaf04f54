// What goes over the wire, restated from src/realtime/channels/protocol.ts, which a package without dependencies cannot
// import. test/client/wire.test.ts compares the two.

/**
 * A place in a channel. Offsets grow by 1 with each publication of an epoch. In another epoch the same offset may be
 * another message: only the gateway can tell, which gives the position in the new epoch where it can.
 */
export interface Position {
  readonly epoch: string
  readonly offset: number
}

/** Who published. Absent from a publication: a service or the gateway itself. */
export interface Publisher {
  readonly user: string
}

/** One message of a channel. */
export interface Publication<Data = unknown> {
  readonly offset: number
  readonly data: Data
  readonly publisher?: Publisher
  /** It was sent before and not acknowledged in time: the how-manieth time this is, from 2. */
  readonly attempt?: number
}

/** One connection in a channel. */
export interface Member {
  readonly client: string
  readonly user?: string
}

/** What can be asked for. */
export interface Commands {
  connect: { readonly token?: string; readonly ticket?: string; readonly session?: string }
  subscribe: { readonly channel: string; readonly since?: Position }
  unsubscribe: { readonly channel: string }
  publish: { readonly channel: string; readonly data: unknown; readonly key?: string }
  history: { readonly channel: string; readonly since?: Position; readonly limit?: number }
  presence: { readonly channel: string }
  rpc: { readonly method: string; readonly data?: unknown }
  ack: { readonly channel: string; readonly offset: number }
  refresh: { readonly token: string }
  ping: Readonly<Record<never, never>>
}
export type CommandName = keyof Commands

/** What the answer to each holds. */
export interface Results {
  connect: {
    readonly client: string
    readonly user?: string
    /** Seconds until the token ends. */
    readonly expires_in?: number
    /** Seconds. */
    readonly ping: number
  }
  subscribe: {
    readonly position: Position
    readonly since?: Position
    readonly recovered: boolean
    readonly publications: readonly Publication[]
    readonly more: boolean
    readonly ack: boolean
  }
  unsubscribe: Readonly<Record<never, never>>
  publish: { readonly position: Position; readonly duplicate: boolean }
  history: {
    readonly position: Position
    readonly publications: readonly Publication[]
    readonly complete: boolean
  }
  presence: { readonly members: readonly Member[] }
  rpc: { readonly data: unknown }
  ack: Readonly<Record<never, never>>
  refresh: { readonly expires_in?: number }
  ping: Readonly<Record<never, never>>
}

/** Something people responsible, and the user it is about, must hear of at once. */
export interface SafetyEvent {
  /** It may come twice. Subscribers of a channel it goes to get it as a publication, too, as `data.safety`. */
  readonly id: string
  readonly category: string
  readonly severity: "low" | "medium" | "high" | "critical"
  readonly user?: string
  readonly session?: string
  /** Where it happened. */
  readonly channel?: string
  readonly details?: Readonly<Record<string, unknown>>
  /** `api`, or `policy:` and its name. */
  readonly source: string
  /** RFC 3339. */
  readonly at: string
}

/** What comes unasked. */
export type Push =
  | ({ readonly push: "publication"; readonly channel: string } & Publication)
  | { readonly push: "join"; readonly channel: string; readonly member: Member }
  | { readonly push: "leave"; readonly channel: string; readonly member: Member }
  | {
      readonly push: "unsubscribe"
      readonly channel: string
      readonly resubscribe: boolean
      readonly reason: string
    }
  | ({ readonly push: "safety" } & SafetyEvent)
  | {
      readonly push: "disconnect"
      readonly code: number
      readonly reason: string
      readonly reconnect: boolean
    }

/** Why a command was refused, by the gateway. */
export type ErrorCode =
  | "INVALID_COMMAND"
  | "UNAUTHENTICATED"
  | "INVALID_TOKEN"
  | "FORBIDDEN"
  | "UNKNOWN_CHANNEL"
  | "NOT_SUBSCRIBED"
  | "ALREADY_SUBSCRIBED"
  | "NOT_AVAILABLE"
  | "TOO_LARGE"
  | "TOO_MANY_SUBSCRIPTIONS"
  | "REFUSED"
  | "INVALID_DATA"
  | "UNKNOWN_METHOD"
  | "RATE_LIMITED"
  | "UNAVAILABLE"
  | "INTERNAL"

export interface ErrorBody {
  readonly code: ErrorCode
  readonly message: string
  /** The same command may succeed a little later. */
  readonly temporary: boolean
}

export type Reply<Name extends CommandName = CommandName> =
  | { readonly id: number; readonly result: Results[Name] }
  | { readonly id: number; readonly error: ErrorBody }

/** Publications in one reply, at most. */
export const MAX_PUBLICATIONS = 1000
/** For so long the gateway knows the key of a publish again. */
export const IDEMPOTENCY_MS = 5 * 60_000

/** Whether a client that was closed with this code should connect again. */
export const mayReconnect = (code: number): boolean => code < 4500 || code > 4999

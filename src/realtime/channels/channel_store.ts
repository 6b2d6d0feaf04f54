import type { Member, Position, Publisher } from "./protocol.ts"

/** A message as stores and threads pass it on: its data stays the JSON text it came as, so nobody parses it again. */
export interface StoredPublication {
  /** From 1, one more each. */
  readonly offset: number
  /** JSON text. */
  readonly data: string
  readonly publisher: Publisher | undefined
}

/** What a namespace wants kept of a channel. */
export interface Retention {
  /** Publications kept, at most. 0: none; offsets are counted all the same. */
  readonly size: number
  /** Ms after which a publication goes. */
  readonly ttlMs: number
}

export interface PublishRequest {
  /** JSON text. */
  readonly data: string
  readonly publisher: Publisher | undefined
  /**
   * Idempotency: a second one with this key on the channel within `IDEMPOTENCY_MS` is not published. The hub puts the
   * publisher's id before it. `undefined`: none.
   */
  readonly key: string | undefined
}

export interface Published extends Position {
  /** The key was known; this is the position of the first one. */
  readonly duplicate: boolean
}

export interface History extends Position {
  /** Position of the newest publication; offset 0: there was none in this epoch. */
  readonly epoch: string
  readonly offset: number
  /** Ascending by offset, without gap. */
  readonly publications: readonly StoredPublication[]
  /**
   * False: `since` is of another epoch, ahead of the channel, or something after it is gone already. Another epoch is
   * good, up to where it ended, when the present one goes on from there: positions are of the present one from then on.
   */
  readonly complete: boolean
  /** `since` is a place in the present epoch, or in one that leads here: the same offset means the same publication. */
  readonly known: boolean
}

/** How far a subscriber of an `at_least_once` channel has come. */
export interface Cursor extends Position {
  /** How many times the publication after `offset` was redelivered. */
  readonly attempts: number
}

/** A publication nobody acknowledged in time, or one that went before it could be. */
export interface DeadLetter {
  readonly channel: string
  readonly subscriber: string
  readonly epoch: string
  readonly offset: number
  /** JSON text; "" when it was gone already. */
  readonly data: string
  readonly publisher: Publisher | undefined
  readonly reason: "max_deliveries" | "gone"
  /** Wall clock in ms. */
  readonly at: number
}

/** What a gateway hears of the channels it listens to, its own doings included. Called synchronously; must not throw. */
export interface ChannelListener {
  /** Every publication once, in the order of offsets, without gap. */
  publication(channel: string, epoch: string, publication: StoredPublication): void
  joined(channel: string, member: Member): void
  /** Also when the gateway of the member died and its presence ran out. */
  left(channel: string, member: Member): void
  /**
   * Publications may have been missed that cannot be made good, or another epoch has begun: subscribers must recover by
   * their positions.
   */
  lost(channel: string): void
}

export const IDEMPOTENCY_MS = 5 * 60_000

/** The store cannot do this now: it is away, or full. What was asked for may have happened all the same. */
export class ChannelStoreError extends Error {}

/**
 * Where channels live: it gives each publication its offset, keeps history, and tells all gateways that listen.
 * Methods reject with `ChannelStoreError` only. A channel comes into being when it is first used. One conformance
 * suite is run against all of them (test/realtime/channel_store_suite.ts).
 */
export interface ChannelStore {
  /** Called once, before anything else. */
  open(listener: ChannelListener): Promise<void>
  /** The listener hears it too, if it listens to the channel; before or after this resolves. */
  publish(channel: string, request: PublishRequest, retention: Retention): Promise<Published>
  /**
   * Publications after `since`, the oldest first; without `since` the newest ones. At most `limit`. Nothing published
   * before the call is missing. `bytes`: with `since` it need not give more than about so many, if it gives one.
   */
  history(
    channel: string,
    since: Position | undefined,
    limit: number,
    retention: Retention,
    bytes?: number,
  ): Promise<History>
  /**
   * From when it resolves on, the listener hears of the channel. Idempotent. Calls of `listen` and `unlisten` for one
   * channel take effect in the order they are made, also when nobody waits in between.
   */
  listen(channel: string): Promise<void>
  /** Never rejects. */
  unlisten(channel: string): Promise<void>

  /** A connection is there until `leave`, or for `ttlMs` without `refresh`. `announce`: listeners hear `joined`. */
  enter(channel: string, member: Member, ttlMs: number, announce: boolean): Promise<void>
  /** Those that have run out meanwhile are entered again, without announcement. */
  refresh(channel: string, members: readonly Member[], ttlMs: number): Promise<void>
  leave(channel: string, member: Member, announce: boolean): Promise<void>
  /** At most `limit`, the longest there first. */
  members(channel: string, limit: number): Promise<readonly Member[]>

  /** `undefined`: the subscriber is not known, or was forgotten after `CURSOR_MS` without an acknowledgement. */
  cursor(channel: string, subscriber: string): Promise<Cursor | undefined>
  /**
   * Moves the cursor to a position, never back within an epoch; attempts start anew. A first one makes the cursor.
   * Resolves with where the cursor stands.
   */
  acknowledge(channel: string, subscriber: string, position: Position): Promise<Cursor>
  /** One more redelivery of what comes after the cursor; resolves with the cursor after that. */
  attempted(channel: string, subscriber: string): Promise<Cursor | undefined>
  /** Puts on the list; beyond `MAX_DEAD_LETTERS` of a channel the oldest go. */
  bury(letter: DeadLetter): Promise<void>
  /** The newest first. */
  deadLetters(channel: string, limit: number): Promise<readonly DeadLetter[]>

  /** Keeps a small text for one `take` by any gateway, for at most `ttlMs`. */
  keep(key: string, text: string, ttlMs: number): Promise<void>
  /** Gives it out once; `undefined`: there is none, it has been taken, or its time was over. */
  take(key: string): Promise<string | undefined>

  close(): Promise<void>
}

/** Cursors without acknowledgement for this long are forgotten. */
export const CURSOR_MS = 7 * 24 * 3_600_000
export const MAX_DEAD_LETTERS = 1000

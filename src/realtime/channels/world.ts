import type { Principal } from "../../identity/principal.ts"
import type { Clock } from "../../lib/clock.ts"
import type { Log } from "../../observe/log.ts"
import type { AlarmedSession, SafetyReports } from "../safety/reports.ts"
import type { CallService, ServiceCall } from "./call_service.ts"
import type { Published } from "./channel_store.ts"
import type { ConnectionLimits } from "./hub_messages.ts"
import type { Link } from "./link.ts"
import type { Namespace, Namespaces } from "./namespaces.ts"
import type { CloseCode, ErrorCode, Publisher } from "./protocol.ts"
import type { Rooms } from "./rooms.ts"

/** What the section `realtime` comes to for each session. */
export interface RealtimeSettings {
  readonly anonymous: boolean
  readonly limits: ConnectionLimits
  readonly maxSubscriptions: number
  /** Commands one client may send. */
  readonly ratePerMs: number
  readonly burst: number
  /** Characters of one frame. */
  readonly maxMessage: number
  readonly maxBuffered: number
  readonly pingMs: number
  readonly connectWithinMs: number
}

/** Who is calling, as sessions ask. */
export interface SessionIdentity {
  /** Whose a token (or API key) is. `address`: of the client. Never rejects. */
  verify(token: string, address: string): Promise<Principal | "invalid" | "unavailable">
  isRevoked(principal: Principal): boolean
}

export interface PublishOptions {
  /** `undefined`: the gateway, or somebody unknown. */
  readonly principal: Principal | undefined
  readonly publisher: Publisher | undefined
  /** Idempotency key, as `senderKey` gives it. */
  readonly key: string | undefined
  /** Address of the client, where it is known. */
  readonly client?: string
  /** Of the request it came by; absent: a service that gets the message is told a new one. */
  readonly requestId?: string
}

/** Why a message was not published: a code, or one with what the one who refused it says. */
export type NotPublished = ErrorCode | { readonly refused: ErrorCode; readonly reason: string | undefined }

/** A session as the whole worker sees it. */
export interface SessionMember extends AlarmedSession {
  tick(): void
  recheck(): void
  close(code: CloseCode): void
}

/** A WebSocket as the whole worker sees it. */
export interface SocketMember {
  tick(now: number): void
  checkBuffer(): void
  /** Sends what is published on a topic it is in, as it has too much waiting to be in topics. */
  published(frame: string): void
}

/** A service that answers a method, and who may ask it. */
export interface RpcMethod extends ServiceCall {
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
}

/** What all sessions of a worker share. */
export interface RealtimeWorld {
  readonly link: Link
  readonly rooms: Rooms
  readonly sessions: Set<SessionMember>
  readonly sockets: Set<SocketMember>
  /** Sockets that read too slowly to be in topics, by topic: what is published is sent to each of them by itself. */
  readonly slow: Map<string, Set<SocketMember>>
  readonly safety: SafetyReports
  readonly identity: SessionIdentity
  readonly now: Clock
  readonly wallClock: () => number
  readonly log: Log
  /** A word nobody can guess. */
  readonly newId: () => string
  /** Other objects with each configuration. */
  readonly settings: RealtimeSettings
  readonly namespaces: Namespaces
  readonly call: CallService
  /** Methods of `rpc`, by name. */
  readonly methods: Readonly<Record<string, RpcMethod>>
  /** Publishes for a caller who may: checks the size, asks who has a say in messages, and the hub. Never rejects. */
  publish(
    namespace: Namespace,
    channel: string,
    data: unknown,
    options: PublishOptions,
  ): Promise<Published | NotPublished>
}

import { type ClientSettings, RealtimeClient } from "./client.ts"
import { type Environment, environment } from "./environment.ts"

export type { ClientEvents, RealtimeClient } from "./client.ts"
export type { Environment, WebSocketConstructor, WebSocketLike } from "./environment.ts"
export type { Published } from "./outbox.ts"
export { type ClientErrorCode, RealtimeError } from "./realtime_error.ts"
export type { SubscribeOptions, Subscription, SubscriptionEvents } from "./subscription.ts"
export type { ErrorCode, Member, Position, Publication, Publisher, SafetyEvent } from "./wire.ts"

export interface ConnectOptions {
  /** An access token, or what makes one: it is asked for each connection, and again before the token ends. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** Makes a ticket for one connection (`POST …/realtime/ticket`), where no token may be held. */
  readonly ticket?: (() => string | Promise<string>) | undefined
  /**
   * Which of the user's devices this is: acknowledgements are counted for each. Up to 64 of `A-Za-z0-9_.-`; default: a
   * new one for each client, so keep one to have the same after a reload of the page.
   */
  readonly session?: string | undefined
  /** For a handshake and for each answer. Default 10,000 ms. */
  readonly timeoutMs?: number | undefined
  /** The most the first wait before another connection can be; it doubles with each failure. Default 500 ms. */
  readonly backoffMs?: number | undefined
  /** The most it can grow to. Default 30,000 ms. */
  readonly maxBackoffMs?: number | undefined
  /** Messages that may wait for a connection or an answer; more are refused with `OUTBOX_FULL`. Default 1000. */
  readonly maxOutbox?: number | undefined
  /** Where there is no global one (Node before 22): the constructor of the package `ws`. */
  readonly WebSocket?: Environment["WebSocket"] | undefined
  /** Time and randomness, for tests. */
  readonly environment?: Partial<Environment> | undefined
}

/**
 * Connects to a realtime endpoint, such as `wss://api.example.com/api/v1/realtime`, and stays connected until `close()`.
 * `http:` and `https:` are taken for `ws:` and `wss:`. Throws when the address is none, or there is no WebSocket.
 */
export function connect(url: string, options: ConnectOptions = {}): RealtimeClient {
  const { token, ticket, WebSocket } = options
  const given = { ...options.environment, ...(WebSocket !== undefined && { WebSocket }) }
  const here = environment(given)
  const settings: ClientSettings = {
    url: socketUrl(url),
    token: typeof token === "string" ? () => token : token,
    ticket,
    session: options.session ?? here.newId(),
    backoff: { baseMs: options.backoffMs ?? 500, maxMs: options.maxBackoffMs ?? 30_000 },
    timeoutMs: options.timeoutMs ?? 10_000,
    maxOutbox: options.maxOutbox ?? 1000,
    environment: here,
  }
  return new RealtimeClient(settings)
}

function socketUrl(url: string): string {
  const parsed = new URL(url)
  if (parsed.protocol === "http:") parsed.protocol = "ws:"
  if (parsed.protocol === "https:") parsed.protocol = "wss:"
  if (parsed.protocol !== "ws:" && parsed.protocol !== "wss:")
    throw new Error(`connecting: ${url} is no address of a WebSocket; it begins with wss: or https:`)
  return parsed.href
}

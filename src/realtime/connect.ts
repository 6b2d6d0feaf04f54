import type { TLSOptions, WebSocketOptions, WebSocket as WebSocketType } from "bun"
import { HOP_BY_HOP } from "../http1/fields.ts"

/** The gateway's end of a WebSocket to a service. */
export type UpstreamSocket = WebSocketType

/** Where a relay goes and what its handshake says. */
export interface RelayTarget {
  /** `ws://…`, `wss://…` or `ws+unix:///path/to.sock:/path?query`. */
  readonly url: string
  /**
   * Headers of the handshake, `host` too if it is not the URL's. Those of the connection and of the
   * handshake itself are left out here, so a client's may be passed as they are.
   */
  readonly headers: Readonly<Record<string, string>>
  /** Subprotocols to offer, in order of preference; empty: none. */
  readonly protocols: readonly string[]
  /** For `wss:`; `undefined`: the system's authorities and the URL's host name. */
  readonly tls: TLSOptions | undefined
  /** Aborted when the client has left: the handshake is given up. Without effect once it is complete. */
  readonly signal?: AbortSignal
}

/**
 * Why there is no relay. `status`: the service answered with another status than 101. `unreachable`: no
 * connection. `reset`: it broke before a whole answer. `invalid`: an answer that is no valid handshake.
 * `unsendable`: what the client sent cannot be put into a handshake. `cancelled`: the client has left. `full`,
 * `draining`: the gateway's own doing. With the last four no service is to blame.
 */
export type RelayOutcome =
  | "status"
  | "unreachable"
  | "reset"
  | "invalid"
  | "timeout"
  | "unsendable"
  | "cancelled"
  | "full"
  | "draining"

export interface RelayRefused {
  readonly kind: "refused"
  readonly outcome: RelayOutcome
  /** What the client is answered with: 401, 403 or 404 of the service as such, else 502, 503 or 504. */
  readonly status: number
  /** The service's own status; `undefined` unless `outcome` is "status". */
  readonly upstreamStatus: number | undefined
  /** For the log only. Holds no URL. */
  readonly cause: string
}

// The DOM's constructor type knows nothing of headers, TLS and compression.
const Client = WebSocket as unknown as new (url: string, options: WebSocketOptions) => UpstreamSocket

/** What the handshake sets itself, and what concerns one connection only. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "content-length",
  "expect",
  "sec-websocket-accept",
  "sec-websocket-extensions",
  "sec-websocket-key",
  "sec-websocket-protocol",
  "sec-websocket-version",
])
/** Refusals of the service that are the client's business. */
const PASSED_STATUSES: ReadonlySet<number> = new Set([401, 403, 404])
const STATUS_IN_ERROR = /Expected 101 status code: (\d{3})/
const CONNECTION_LOST = "Connection ended"
const NO_PROTOCOL_CHOSEN = "Missing client protocol"

/**
 * Opens a WebSocket to a service. `adopt` is called with it the moment it is open, before any message can
 * arrive, and must set its handlers. Resolves to what `adopt` made, or to the refusal; never rejects.
 * `timeoutMs` bounds the whole of it.
 */
export async function connectUpstream<T>(
  target: RelayTarget,
  timeoutMs: number,
  adopt: (socket: UpstreamSocket) => T,
): Promise<T | RelayRefused> {
  const startedAt = performance.now()
  const headers = handshakeHeaders(target.headers)
  const first = await attempt(target, headers, target.protocols, timeoutMs, adopt)
  if (target.protocols.length === 0 || !isRefused(first) || !first.cause.startsWith(NO_PROTOCOL_CHOSEN))
    return first
  // A service may choose none of the offered subprotocols (RFC 6455 section 4.2.2), but the runtime's client
  // fails then. Offering none leads to the same connection; whether to accept it is the client's decision.
  const leftMs = timeoutMs - (performance.now() - startedAt)
  if (target.signal?.aborted) return first
  return leftMs > 0 ? attempt(target, headers, [], leftMs, adopt) : timedOut(timeoutMs)
}

/** Makes a refusal that is not the service's. */
export function refused(outcome: RelayOutcome, status: number, cause: string): RelayRefused {
  return { kind: "refused", outcome, status, upstreamStatus: undefined, cause }
}

/** Makes the refusal of a service that answered with another status than 101. */
export function refusedWith(upstreamStatus: number, cause: string): RelayRefused {
  const status = PASSED_STATUSES.has(upstreamStatus) ? upstreamStatus : 502
  return { kind: "refused", outcome: "status", status, upstreamStatus, cause }
}

function attempt<T>(
  target: RelayTarget,
  headers: Record<string, string>,
  protocols: readonly string[],
  timeoutMs: number,
  adopt: (socket: UpstreamSocket) => T,
): Promise<T | RelayRefused> {
  return new Promise((resolve) => {
    const socket = create(target, headers, protocols)
    if (typeof socket === "string") return resolve(refused("unsendable", 502, socket))
    const { signal } = target
    const settled = () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", abandon)
    }
    const giveUp = (outcome: RelayRefused) => {
      settled()
      socket.onopen = socket.onclose = null
      resolve(outcome)
    }
    const timer = setTimeout(() => {
      giveUp(timedOut(timeoutMs))
      socket.terminate()
    }, timeoutMs)
    const abandon = () => {
      giveUp(refused("cancelled", 502, "the client left during the handshake"))
      socket.terminate()
    }
    signal?.addEventListener("abort", abandon)
    socket.onerror = (event) => giveUp(toRefusal(event.message, (event.error as { code?: string })?.code))
    socket.onclose = () => giveUp(refused("reset", 502, "connection closed during the handshake"))
    socket.onopen = () => {
      settled()
      socket.onopen = socket.onclose = socket.onerror = null
      resolve(adopt(socket))
    }
  })
}

/** The socket, or why there can be none (a URL or header the client class refuses). */
function create(
  target: RelayTarget,
  headers: Record<string, string>,
  protocols: readonly string[],
): UpstreamSocket | string {
  try {
    return new Client(target.url, {
      headers,
      protocols: [...protocols],
      // Services are near: compressing for them would cost more than the network does.
      perMessageDeflate: false,
      ...(target.tls === undefined ? {} : { tls: target.tls }),
    })
  } catch (error) {
    return error instanceof Error ? error.name : String(error)
  }
}

function handshakeHeaders(given: Readonly<Record<string, string>>): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name in given) {
    if (!OWN_HEADERS.has(name.toLowerCase())) headers[name] = given[name]!
  }
  return headers
}

/** The runtime tells a refusal only in words: "WebSocket connection to '<url>' failed: <why>". */
function toRefusal(message: string, code: string | undefined): RelayRefused {
  const marker = "' failed: "
  const at = message.indexOf(marker)
  const why = at === -1 ? "handshake failed" : message.slice(at + marker.length)
  const status = STATUS_IN_ERROR.exec(why)
  if (status !== null) return refusedWith(Number(status[1]), why)
  if (code !== undefined)
    return refused(why.startsWith(CONNECTION_LOST) ? "reset" : "unreachable", 502, `${why} (${code})`)
  return refused("invalid", 502, why)
}

function timedOut(timeoutMs: number): RelayRefused {
  return refused("timeout", 504, `no handshake within ${timeoutMs} ms`)
}

function isRefused(value: unknown): value is RelayRefused {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "refused"
}

import type { Fields } from "../http1/fields.ts"
import { TOKEN } from "../lib/token.ts"
import { type Failure, fail } from "../policies/failure.ts"

/** What a request is, seen as a WebSocket handshake (RFC 6455 section 4.2.1). */
export type Handshake = NotWebSocket | HandshakeOk | Failure
/** The request does not ask for a WebSocket: an ordinary request. */
export interface NotWebSocket {
  readonly kind: "http"
}
export interface HandshakeOk {
  readonly kind: "websocket"
  /** Subprotocols offered, in the client's order of preference; empty: none. */
  readonly protocols: readonly string[]
}

/** Subprotocols one client may offer. */
const MAX_PROTOCOLS = 32

const NOT_WEBSOCKET: NotWebSocket = { kind: "http" }
const NO_PROTOCOLS: HandshakeOk = { kind: "websocket", protocols: [] }
/** Base64 of exactly 16 bytes. */
const KEY = /^[A-Za-z0-9+/]{22}==$/

/**
 * Checks a request that may ask for a WebSocket. Anything that names `websocket` in `Upgrade` is held to the
 * whole of RFC 6455 section 4.2.1, also where the runtime's own upgrade is lenient (method, HTTP version,
 * `Connection`, a body, odd subprotocols). 426 for another WebSocket version, 400 for the rest.
 * `method` is upper case; `protocol` as in `Arrival` ("HTTP/1.1").
 */
export function checkHandshake(fields: Fields, method: string, protocol: string): Handshake {
  const upgrade = fields.get("upgrade")
  if (upgrade === undefined || !hasToken(upgrade, "websocket")) return NOT_WEBSOCKET
  if (method !== "GET") return malformed("the method must be GET")
  if (protocol !== "HTTP/1.1") return malformed("the handshake needs HTTP/1.1")
  if (!hasToken(fields.get("connection") ?? "", "upgrade")) return malformed("Connection must name upgrade")
  if (fields.get("transfer-encoding") !== undefined || (fields.get("content-length") ?? "0") !== "0")
    return malformed("the handshake must not have a body")
  if (fields.get("sec-websocket-version") !== "13")
    return fail("UPGRADE_REQUIRED", {
      message: "WebSocket handshake: only version 13 is spoken here.",
      headers: { "sec-websocket-version": "13", upgrade: "websocket" },
    })
  if (!KEY.test(fields.get("sec-websocket-key") ?? ""))
    return malformed("Sec-WebSocket-Key must be 16 bytes in base64")
  const offered = fields.get("sec-websocket-protocol")
  return offered === undefined ? NO_PROTOCOLS : withProtocols(offered)
}

/** What a server puts behind the key it was sent (RFC 6455 section 1.3). */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/**
 * What is wrong with a 101 that answers a handshake with this key and these subprotocols offered, and no extensions;
 * "": nothing (RFC 6455 section 4.1).
 */
export function problemOfAnswer(fields: Fields, key: string, protocols: readonly string[]): string {
  if (fields.get("upgrade")?.toLowerCase() !== "websocket") return "101 without Upgrade: websocket"
  if (!hasToken(fields.get("connection") ?? "", "upgrade")) return "101 without Connection: upgrade"
  const accept = new Bun.CryptoHasher("sha1").update(`${key}${ACCEPT_SUFFIX}`).digest("base64")
  if (fields.get("sec-websocket-accept") !== accept) return "101 with a wrong Sec-WebSocket-Accept"
  if (fields.get("sec-websocket-extensions") !== undefined) return "101 with an extension nobody offered"
  const chosen = fields.get("sec-websocket-protocol")
  if (chosen !== undefined && !protocols.includes(chosen)) return "101 with a subprotocol nobody offered"
  return ""
}

/** Reads the list of subprotocols: each a token, none twice (RFC 6455 section 4.1). */
function withProtocols(offered: string): HandshakeOk | Failure {
  const protocols: string[] = []
  for (const part of offered.split(",")) {
    const name = part.trim()
    if (!TOKEN.test(name)) return malformed("Sec-WebSocket-Protocol must list tokens")
    if (protocols.includes(name)) return malformed("Sec-WebSocket-Protocol names a subprotocol twice")
    if (protocols.push(name) > MAX_PROTOCOLS) return malformed("Sec-WebSocket-Protocol lists too many names")
  }
  return { kind: "websocket", protocols }
}

function malformed(problem: string): Failure {
  return fail("INVALID_REQUEST", { message: `WebSocket handshake: ${problem}.` })
}

/** Whether a comma-separated list holds the token, whatever its case. `token` is lower case. */
export function hasToken(list: string, token: string): boolean {
  for (const part of list.split(",")) {
    if (part.trim().toLowerCase() === token) return true
  }
  return false
}

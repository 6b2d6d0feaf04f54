import { connect, type TLSSocket } from "node:tls"
import type { Identity } from "./pki.ts"
import { until } from "./until.ts"

/** A TLS client of raw bytes that keeps what it sees. */
export interface TlsClient {
  readonly socket: TLSSocket
  /** All bytes received, as latin1. */
  readonly received: string
  readonly closed: boolean
  send(bytes: string | Uint8Array): void
  /** Waits until the text has come `times` times. */
  seen(text: string, times?: number): Promise<void>
  close(): void
}

/** Resolves once the handshake is over for this side, or the connection closed. Trusts any server. */
export async function openTls(port: number, identity?: Identity, options: object = {}): Promise<TlsClient> {
  const state = { received: "", closed: false, ready: false }
  const socket = connect({
    host: "127.0.0.1",
    port,
    rejectUnauthorized: false,
    ...(identity && { cert: identity.cert, key: identity.key }),
    ...options,
  })
  socket.on("data", (bytes: Buffer) => {
    state.received += bytes.toString("latin1")
  })
  socket.on("secureConnect", () => {
    state.ready = true
  })
  // A refused client sees a reset or an alert; "close" follows.
  socket.on("error", () => undefined)
  socket.on("close", () => {
    state.closed = true
  })
  await until(() => state.ready || state.closed, "the TLS handshake")
  return {
    socket,
    get received() {
      return state.received
    },
    get closed() {
      return state.closed
    },
    send: (bytes) => void socket.write(bytes),
    seen: (text, times = 1) =>
      until(() => state.received.split(text).length > times || state.closed, `"${text}" from the gateway`),
    close: () => void socket.destroy(),
  }
}

import type { WebSocketOptions, WebSocket as WebSocketType } from "bun"
import { until } from "./until.ts"

// The DOM's constructor type knows nothing of headers, pings and pausing.
const Client = WebSocket as unknown as new (url: string, options: WebSocketOptions) => WebSocketType

/** A client that keeps what it sees. Resolves once it is open, or has failed (`closed` is set then). */
export async function openWs(url: string, options: WebSocketOptions = {}) {
  const socket = new Client(url, { perMessageDeflate: false, ...options })
  const seen = {
    socket,
    messages: [] as (string | Buffer)[],
    pings: [] as string[],
    pongs: [] as string[],
    closed: undefined as { code: number; reason: string } | undefined,
    error: "",
  }
  socket.binaryType = "nodebuffer"
  socket.onmessage = (event) => void seen.messages.push(event.data)
  socket.addEventListener("ping", (event) => void seen.pings.push(event.data.toString()))
  socket.addEventListener("pong", (event) => void seen.pongs.push(event.data.toString()))
  socket.onerror = (event) => {
    seen.error = event.message
  }
  socket.onclose = (event) => {
    seen.closed = { code: event.code, reason: event.reason }
  }
  await until(
    () => socket.readyState !== 0 && (socket.readyState === 1 || seen.closed !== undefined),
    "the handshake",
  )
  return seen
}

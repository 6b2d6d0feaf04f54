import { connect, type Socket } from "node:net"
import { until } from "./until.ts"

export interface Frame {
  readonly fin: boolean
  /** RSV1: the message is compressed (RFC 7692). */
  readonly compressed: boolean
  readonly opcode: number
  readonly payload: Buffer
}

export const OPCODE = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 } as const

/** One masked client frame. `opcode` may hold reserved bits (0x40 is RSV1); `mask: false` breaks the protocol. */
export function frame(opcode: number, payload: Uint8Array | string, fin = true, mask = true): Buffer {
  const body = Buffer.from(payload as Uint8Array)
  const length =
    body.length < 126
      ? Buffer.from([body.length])
      : body.length < 65_536
        ? Buffer.from([126, body.length >> 8, body.length & 255])
        : Buffer.concat([Buffer.from([127]), uint64(body.length)])
  length[0]! |= mask ? 0x80 : 0
  const head = Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode]), length])
  if (!mask) return Buffer.concat([head, body])
  const key = Buffer.from([0x37, 0xfa, 0x21, 0x3d])
  for (let i = 0; i < body.length; i++) body[i]! ^= key[i & 3]!
  return Buffer.concat([head, key, body])
}

/** Payload of a close frame. */
export function closePayload(code: number, reason = ""): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)])
}

/** A WebSocket client that writes any bytes and shows every frame as it came. */
export async function openRaw(port: number, path: string, headers = "") {
  const socket = connect(port, "127.0.0.1")
  const state = { head: "", closed: false, rest: Buffer.alloc(0), frames: [] as Frame[] }
  socket.on("data", (chunk) => {
    state.rest = Buffer.concat([state.rest, chunk as Buffer])
    if (state.head === "") {
      const end = state.rest.indexOf("\r\n\r\n")
      if (end === -1) return
      state.head = state.rest.toString("latin1", 0, end)
      state.rest = state.rest.subarray(end + 4)
    }
    state.rest = takeFrames(state.rest, state.frames)
  })
  socket.on("error", () => {
    state.closed = true
  })
  socket.on("close", () => {
    state.closed = true
  })
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: test.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`,
  )
  await until(() => state.head !== "" || state.closed, "the handshake's answer")
  return { socket: socket as Socket, state, frames: state.frames }
}

/** Frames of a server (unmasked) in order; returns what is left. */
function takeFrames(bytes: Buffer<ArrayBuffer>, into: Frame[]): Buffer<ArrayBuffer> {
  let rest = bytes
  for (;;) {
    if (rest.length < 2) return rest
    const short = rest[1]! & 127
    const at = short < 126 ? 2 : short === 126 ? 4 : 10
    if (rest.length < at) return rest
    const length =
      short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2))
    if (rest.length < at + length) return rest
    into.push({
      fin: (rest[0]! & 128) !== 0,
      compressed: (rest[0]! & 64) !== 0,
      opcode: rest[0]! & 15,
      payload: rest.subarray(at, at + length),
    })
    rest = rest.subarray(at + length)
  }
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}

import { connect } from "node:tls"
import { until } from "./until.ts"

export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const
export const END_STREAM = 1
export const END_HEADERS = 4

export type HeaderPairs = readonly (readonly [string, string])[]

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals without indexing and without Huffman coding: any bytes, also those never allowed. */
export function block(fields: HeaderPairs): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])),
  )
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1")
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const more: number[] = [127]
  let rest = bytes.length - 127
  for (; rest >= 128; rest >>= 7) more.push((rest & 127) | 128)
  return Buffer.concat([Buffer.from([...more, rest]), bytes])
}

export interface H2Outcome {
  /** How the stream was answered: a status this table knows by number, another one, or an error. */
  readonly kind: "200" | "400" | "other status" | "stream error" | "connection error" | "closed"
  /** `undefined`: there was no answer, or its status is written in a way this reader does not know. */
  readonly status?: number | undefined
}

/** Static table entries of HPACK that stand for a whole :status (RFC 7541 appendix A). */
const STATUS_BY_FIRST_BYTE: Readonly<Record<number, "200" | "400">> = { 136: "200", 140: "400" }

/** Opens HTTP/2 over TLS, sends one request as these fields and this body, whatever they are, and tells what came of it. */
export async function askH2(port: number, fields: HeaderPairs, body?: string): Promise<H2Outcome> {
  const socket = connect({ port, host: "127.0.0.1", ALPNProtocols: ["h2"], rejectUnauthorized: false })
  let received = Buffer.alloc(0)
  let closed = false
  socket.on("data", (bytes: Buffer) => {
    received = Buffer.concat([received, bytes])
  })
  socket.on("close", () => {
    closed = true
  })
  // A connection error ends in a close, which is an outcome.
  socket.on("error", () => {})
  await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()))
  if (socket.alpnProtocol !== "h2") throw new Error("the server does not speak HTTP/2")
  const flags = END_HEADERS | (body === undefined ? END_STREAM : 0)
  const parts = [
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(FRAME.SETTINGS, 0, 0, Buffer.alloc(0)),
    frame(FRAME.HEADERS, flags, 1, block(fields)),
  ]
  if (body !== undefined) parts.push(frame(FRAME.DATA, END_STREAM, 1, Buffer.from(body, "latin1")))
  socket.write(Buffer.concat(parts))
  let outcome: H2Outcome | undefined
  await until(() => {
    outcome = outcomeOf(received)
    return outcome !== undefined || closed
  }, "an outcome of the stream")
  socket.destroy()
  return outcome ?? { kind: "closed" }
}

function outcomeOf(bytes: Buffer): H2Outcome | undefined {
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    const type = bytes[at + 3]
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff
    if (at + 9 + length > bytes.length) return undefined
    if (type === FRAME.GOAWAY) return { kind: "connection error" }
    if (stream === 1 && type === FRAME.RST_STREAM) return { kind: "stream error" }
    if (stream === 1 && type === FRAME.HEADERS)
      return {
        kind: STATUS_BY_FIRST_BYTE[bytes[at + 9]!] ?? "other status",
        status: readStatus(bytes.subarray(at + 9)),
      }
    at += 9 + length
  }
  return undefined
}

const INDEXED_STATUSES = [200, 204, 206, 304, 400, 404, 500]
/** Huffman codes of the digits, as bits (RFC 7541 appendix B). */
const DIGITS = "00000 00001 00010 011001 011010 011011 011100 011101 011110 011111".split(" ")

/** The status a header block begins with: an entry of the static table, or a literal under one of its names. */
function readStatus(block: Buffer): number | undefined {
  const first = block[0]!
  if (first >= 128) return INDEXED_STATUSES[first - 136]
  // Literals: with indexing (01…), without (0000…) and never indexed (0001…).
  const name = first >= 64 ? first & 63 : first & 15
  if (name < 8 || name > 14) return undefined
  const value = block.subarray(2, 2 + (block[1]! & 127))
  return Number(block[1]! >= 128 ? huffmanDigits(value) : value.toString("latin1"))
}

function huffmanDigits(bytes: Buffer): string {
  let bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("")
  let text = ""
  while (text.length < 3) {
    const digit = DIGITS.findIndex((code) => bits.startsWith(code))
    if (digit === -1) return "NaN"
    text += digit
    bits = bits.slice(DIGITS[digit]!.length)
  }
  return text
}

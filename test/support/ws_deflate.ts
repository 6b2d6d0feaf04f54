import { constants, deflateRawSync, inflateRawSync } from "node:zlib"
import type { Frame } from "./ws_raw.ts"

/** First bits of a frame with a compressed message, beside its opcode. */
export const RSV1 = 0x40
/** What an offering client says. */
export const OFFER = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

/** What every compressed message ends with, and is sent without (RFC 7692 section 7.2.1). */
const TAIL = Buffer.from([0, 0, 0xff, 0xff])
const MB = 1024 * 1024

/** A payload as a compressed message carries it. */
export function deflated(payload: Uint8Array | string): Buffer {
  return deflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -TAIL.length)
}

/** The message a frame carries, compressed or not. */
export function content({ compressed, payload }: Frame): Buffer {
  if (!compressed) return payload
  return inflateRawSync(Buffer.concat([payload, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH })
}

/** The payload of a message of so many MB of zeros, about a thousandth of that on the wire. */
export function bomb(megabytes: number): Buffer {
  const block = deflateRawSync(Buffer.alloc(MB), { finishFlush: constants.Z_FULL_FLUSH })
  return Buffer.concat(Array.from({ length: megabytes }, () => block)).subarray(0, -TAIL.length)
}

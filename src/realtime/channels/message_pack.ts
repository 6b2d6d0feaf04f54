import { isUtf8 } from "node:buffer"
import { Decoder, Encoder } from "@msgpack/msgpack"
import { fitsMessagePack } from "./message_pack_scan.ts"

/** Another writing of the protocol: binary frames that say what its JSON texts say. */
export interface FrameCodec {
  /** The JSON text of a frame; `undefined`: it is none, or none that JSON can say. */
  decode(frame: Uint8Array): string | undefined
  /** `text`: JSON of the gateway's own making. The bytes must not be changed. */
  encode(text: string): Uint8Array
}

/**
 * MessagePack (the specification of 2017-08): nil, booleans, numbers, strings, arrays, and maps with strings as keys.
 * A frame is looked through before it is decoded, as lengths are the client's word.
 */
export function createMessagePack(): FrameCodec {
  // Without the cache of keys, which would keep what clients make up.
  const decoder = new Decoder({ keyDecoder: null })
  const encoder = new Encoder()
  let lastText = ""
  let lastFrame: Uint8Array = encoder.encode(null)
  return {
    decode(frame) {
      if (!fitsMessagePack(frame, isUtf8)) return undefined
      try {
        return JSON.stringify(decoder.decode(frame))
      } catch {
        // Only for the key `__proto__`, which JSON commands must not have either.
        return undefined
      }
    },
    encode(text) {
      // What is published goes to many, one after another.
      if (text !== lastText) {
        lastFrame = encoder.encode(JSON.parse(text.includes("\\ud") ? wellFormed(text) : text))
        lastText = text
      }
      return lastFrame
    },
  }
}

/** The escapes of a JSON text; of two halves of a character that belong together, both. */
const ESCAPE = /\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\ud[89a-f][0-9a-f]{2}|\\./gi
const ESCAPE_CHARS = 6

/** Half a character, which JSON can say, is no UTF-8: it would be a frame that clients cannot read. */
const wellFormed = (text: string): string =>
  text.replace(ESCAPE, (found) => (found.length === ESCAPE_CHARS ? "\ufffd" : found))

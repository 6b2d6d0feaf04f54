import { HEX_PAIRS } from "./hex_pairs.ts"

let madeAt = 0
let start = ""
let count = HEX_PAIRS.length

/**
 * A new request id: a UUID version 7 (RFC 9562), 36 characters, which sorts by time and is unique across
 * threads and machines. Not a secret: those of one millisecond count up from one that was drawn. `atMs`: a time, of
 * whatever clock, that was read already.
 */
export function newRequestId(atMs = Date.now()): string {
  const ms = Math.floor(atMs)
  if (ms !== madeAt || count === HEX_PAIRS.length) {
    madeAt = ms
    count = 0
    start = Bun.randomUUIDv7().slice(0, -2)
  }
  return start + HEX_PAIRS[count++]!
}

import { HEX_PAIRS } from "./hex_pairs.ts"

let madeAt = 0
let start = ""
let count = HEX_PAIRS.length

/**
 * A new request id: a UUID version 7 (RFC 9562), 36 characters, which sorts by time and is unique across
 * threads and machines. Not a secret: those of one millisecond count up from one that was drawn.
 */
export function newRequestId(): string {
  const at = Date.now()
  if (at !== madeAt || count === HEX_PAIRS.length) {
    madeAt = at
    count = 0
    start = Bun.randomUUIDv7().slice(0, -2)
  }
  return start + HEX_PAIRS[count++]!
}

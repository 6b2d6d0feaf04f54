/** Last two hexadecimal digits of an id. More of them would take longer to make than all else at the start of a thread. */
const DIGITS: readonly string[] = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, "0"))

let madeAt = 0
let start = ""
let count = DIGITS.length

/**
 * A new request id: a UUID version 7 (RFC 9562), 36 characters, which sorts by time and is unique across
 * threads and machines. Not a secret: those of one millisecond count up from one that was drawn.
 */
export function newRequestId(): string {
  const at = Date.now()
  if (at !== madeAt || count === DIGITS.length) {
    madeAt = at
    count = 0
    start = Bun.randomUUIDv7().slice(0, -2)
  }
  return start + DIGITS[count++]!
}

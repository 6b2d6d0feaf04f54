import type { Edits, Fields } from "./fields.ts"
import { REASONS } from "./reasons.ts"
import { Section } from "./section.ts"
import { writeText } from "./text.ts"

/** By status, the status line and the start of every answer. */
const STATUS_LINES: readonly string[] = Array.from(
  { length: 600 },
  (_, status) => `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`,
)

/**
 * Writes a response head into `out` at `at`: the status line, `own` (lines with their CRLF: framing, Date), the lines
 * of `fields` that `edits` leave in, those they add, and the empty line. Returns the position after it. Throws
 * `RangeError` when `out` is too small and `TypeError` for a line that could be read as something else: a control
 * byte or a character beyond Latin-1 in a value, a name that is no token.
 */
export function writeResponseHead(
  out: Buffer,
  at: number,
  status: number,
  fields: Fields,
  edits: Edits,
  own: string,
): number {
  at = writeText(out, at, STATUS_LINES[status]!)
  at = writeText(out, at, own)
  at = edits.write(out, at)
  let text = ""
  if (fields instanceof Section) {
    // Scanned when it came in; copied as it is.
    at = fields.copy(out, at, edits)
  } else {
    const lines = fields.flat()
    for (let i = 0; i < lines.length; i += 2)
      if (!edits.has(lines[i]!)) text += line(lines[i]!, lines[i + 1]!)
  }
  const { unwritten } = edits
  for (let i = 0; i < unwritten.length; i += 2) text += line(unwritten[i]!, unwritten[i + 1]!)
  at = writeText(out, at, text)
  if (at + 2 > out.length) throw new RangeError("writing a response head: the buffer is full")
  out[at] = 13
  out[at + 1] = 10
  return at + 2
}

const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const MAX_KNOWN_NAMES = 256
const knownNames = new Set<string>()

function line(name: string, value: string): string {
  if (!knownNames.has(name)) {
    if (!NAME.test(name)) throw new TypeError("writing a response head: a field name is no token")
    if (knownNames.size < MAX_KNOWN_NAMES) knownNames.add(name)
  }
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code > 0xff || code === 0x7f || (code < 0x20 && code !== 0x09))
      throw new TypeError(`writing a response head: ${name} has a value that no field may have`)
  }
  return `${name}: ${value}\r\n`
}

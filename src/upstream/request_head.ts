import { writeText } from "../http1/text.ts"
import type { Exchange } from "./exchange.ts"

/**
 * Writes request line and header lines of an exchange for its upstream, without framing fields and without
 * the empty line. Returns the position after them. Throws `RangeError` when `out` is too small.
 */
export function writeRequestHead(
  exchange: Exchange,
  host: string | undefined,
  out: Buffer,
  at: number,
): number {
  const { arrival, upstreamPath, query, requestEdits } = exchange
  const { asCame } = arrival
  if (asCame !== undefined && host === undefined && upstreamPath === exchange.path)
    at = asCame.fields.copyRequest(out, at, asCame.start, requestEdits)
  else {
    const target = query === "" ? upstreamPath : `${upstreamPath}?${query}`
    const start = `${exchange.method} ${target} HTTP/1.1\r\nhost: ${host ?? exchange.host}\r\n`
    at = arrival.fields.copy(out, writeText(out, at, start), requestEdits)
  }
  return writeText(out, requestEdits.write(out, at), toLines(requestEdits.unwritten))
}

/** What policies add may come from a token or a path: it must not end its line. */
function toLines(lines: readonly string[]): string {
  let text = ""
  for (let i = 0; i < lines.length; i += 2) {
    let value = lines[i + 1]!
    let widest = 0
    let control = false
    for (let k = 0; k < value.length; k++) {
      const code = value.charCodeAt(k)
      if (code > widest) widest = code
      if ((code < 0x20 && code !== 0x09) || code === 0x7f) control = true
    }
    if (control) value = value.replace(/[\0-\x08\x0a-\x1f\x7f]/g, " ")
    // Latin-1 would cut the code units to a byte, and U+010A to a line feed: UTF-8, a byte a code unit.
    if (widest > 0xff) value = Buffer.from(value).latin1Slice()
    text += `${lines[i]}: ${value}\r\n`
  }
  return text
}

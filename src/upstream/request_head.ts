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
  const target = exchange.query === "" ? exchange.upstreamPath : `${exchange.upstreamPath}?${exchange.query}`
  const start = `${exchange.method} ${target} HTTP/1.1\r\nhost: ${host ?? exchange.host}\r\n`
  room(out, at + start.length)
  at += out.latin1Write(start, at)
  const { requestEdits } = exchange
  at = exchange.arrival.fields.copy(out, at, requestEdits)
  const { added } = requestEdits
  for (let i = 0; i < added.length; i += 2) at = writeLine(out, at, added[i]!, added[i + 1]!)
  return at
}

function writeLine(out: Buffer, at: number, name: string, value: string): number {
  let widest = 0
  let control = false
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code > widest) widest = code
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) control = true
  }
  // What a policy adds may come from a token or a path: it must not end the line.
  if (control) value = value.replace(/[\0-\x08\x0a-\x1f\x7f]/g, " ")
  const line = `${name}: ${value}\r\n`
  if (widest <= 0xff) {
    room(out, at + line.length)
    return at + out.latin1Write(line, at)
  }
  // Latin-1 would cut the code units to a byte, and U+010A to a line feed.
  room(out, at + Buffer.byteLength(line))
  return at + out.write(line, at, "utf8")
}

function room(out: Buffer, end: number): void {
  if (end > out.length) throw new RangeError("Writing a request head: the buffer is full.")
}

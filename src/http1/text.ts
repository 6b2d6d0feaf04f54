/**
 * Writes Latin-1 text into `out` at `at` and returns the position after it. Throws `RangeError` when `out` is too
 * small. A string put together from parts is put together again inside the runtime before it is written, which costs
 * several times the write itself: text that comes up often is best kept whole and written piece by piece.
 */
export function writeText(out: Buffer, at: number, text: string): number {
  if (text === "") return at
  if (at + text.length > out.length) throw new RangeError("writing a head: the buffer is full")
  return at + out.latin1Write(text, at)
}

/** Lengths below this have their line kept. */
const KEPT = 4096
const lines: string[] = new Array<string>(KEPT).fill("")

/** `content-length: …` with its CRLF. */
export function lengthLine(length: number): string {
  if (length >= KEPT) return `content-length: ${length}\r\n`
  const line = lines[length]!
  return line === "" ? (lines[length] = `content-length: ${length}\r\n`) : line
}

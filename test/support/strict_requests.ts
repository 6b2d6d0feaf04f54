/** A request as the strictest reader sees it. */
export interface StrictRequest {
  readonly method: string
  readonly target: string
  readonly minor: number
  /** Name in lower case and trimmed value, in order. */
  readonly fields: readonly (readonly [name: string, value: string])[]
  readonly body: string
  /** What follows the last chunk is not complete or not right: only whoever does not wait for it takes the request. */
  readonly torn: boolean
}

const LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([^\0-\x20\x7f]+) HTTP\/1\.(\d)$/
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/
const EXTENSION =
  /^(?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[^"\\\0-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"))?)*$/

/**
 * The requests in what a client has sent, up to the first that is not complete or not exactly as RFC 9112 has it. Made
 * to judge: by regular expressions over text, as unlike the gateway's own scanner as can be. `anyExtension`: what stands
 * behind a chunk's size is not looked at.
 */
export function readStrictly(text: string, anyExtension = false): StrictRequest[] {
  const found: StrictRequest[] = []
  for (let at = 0; at < text.length; ) {
    const one = readOne(text, at, anyExtension)
    if (one === undefined) break
    found.push(one.request)
    if (one.request.torn) break
    at = one.end
  }
  return found
}

function readOne(
  text: string,
  at: number,
  anyExtension: boolean,
): { request: StrictRequest; end: number } | undefined {
  const headEnd = text.indexOf("\r\n\r\n", at)
  if (headEnd < 0) return undefined
  const [first = "", ...lines] = text.slice(at, headEnd).split("\r\n")
  const line = LINE.exec(first)
  if (line === null) return undefined
  const fields: [string, string][] = []
  for (const each of lines) {
    const field = FIELD.exec(each)
    if (field === null) return undefined
    fields.push([field[1]!.toLowerCase(), field[2]!.replace(/^[\t ]+|[\t ]+$/g, "")])
  }
  const all = (name: string) => fields.filter((field) => field[0] === name).map((field) => field[1])
  const lengths = all("content-length")
  const codings = all("transfer-encoding")
  if (lengths.length + codings.length > 1) return undefined
  const minor = Number(line[3])
  const request = { method: line[1]!, target: line[2]!, minor, fields }
  const start = headEnd + 4
  if (codings.length === 1) {
    if (codings[0]!.toLowerCase() !== "chunked" || minor === 0) return undefined
    const whole = readChunks(text, start, anyExtension)
    return whole && { request: { ...request, body: whole.body, torn: whole.end === 0 }, end: whole.end }
  }
  if (lengths.length === 1 && !/^\d{1,15}$/.test(lengths[0]!)) return undefined
  const end = start + Number(lengths[0] ?? 0)
  return end > text.length
    ? undefined
    : { request: { ...request, body: text.slice(start, end), torn: false }, end }
}

/** `end` is 0 when the last chunk is not the end. */
function readChunks(
  text: string,
  start: number,
  anyExtension: boolean,
): { body: string; end: number } | undefined {
  let body = ""
  for (let at = start; ; ) {
    const lineEnd = text.indexOf("\r\n", at)
    if (lineEnd < 0) return undefined
    const line = /^([0-9a-fA-F]{1,12})(.*)$/s.exec(text.slice(at, lineEnd))
    if (line === null || !(anyExtension || EXTENSION.test(line[2]!))) return undefined
    const size = Number.parseInt(line[1]!, 16)
    at = lineEnd + 2
    if (size === 0) {
      for (;;) {
        const end = text.indexOf("\r\n", at)
        if (end < 0) return { body, end: 0 }
        if (end === at) return { body, end: end + 2 }
        if (!FIELD.test(text.slice(at, end))) return { body, end: 0 }
        at = end + 2
      }
    }
    if (text.slice(at + size, at + size + 2) !== "\r\n") return undefined
    body += text.slice(at, at + size)
    at += size + 2
  }
}

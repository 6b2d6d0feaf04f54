import type { RawUpstream } from "./raw_upstream.ts"

export interface ReceivedRequest {
  /** Request line. */
  readonly line: string
  /** Header lines as sent. */
  readonly lines: readonly string[]
  /** Value of a header; lines of one name joined with ", ". Name in lower case. */
  header(name: string): string | undefined
  /** Decoded body as latin1. */
  readonly body: string
  /** False when the connection ended within the body: no service takes it for a request. */
  readonly complete: boolean
}

/**
 * Takes apart what an upstream received, connection by connection, as strictly as RFC 9112 allows, and throws
 * on anything that is not a clean request: a byte too many is a smuggled one.
 */
export function receivedBy(upstream: RawUpstream): ReceivedRequest[] {
  return upstream.connections.flatMap((connection) => parseRequests(connection.received))
}

export function parseRequests(text: string): ReceivedRequest[] {
  const found: ReceivedRequest[] = []
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\r\n\r\n", at)
    if (end < 0) throw new Error(`the upstream got half a head: ${JSON.stringify(text.slice(at, at + 120))}`)
    const [line = "", ...lines] = text.slice(at, end).split("\r\n")
    if (!/^[A-Z]+ \/[\x21-\x7e]* HTTP\/1\.1$/.test(line))
      throw new Error(`not a request line: ${JSON.stringify(line)}`)
    for (const each of lines) {
      if (!/^[!#$%&'*+.^`|~0-9A-Za-z-]+:[^\0-\x08\x0a-\x1f\x7f]*$/.test(each))
        throw new Error(`not a header line: ${JSON.stringify(each)}`)
    }
    const all = (name: string) =>
      lines
        .filter((each) => each.toLowerCase().startsWith(`${name}:`))
        .map((each) => each.slice(name.length + 1).trim())
    const header = (name: string) => (all(name).length === 0 ? undefined : all(name).join(", "))
    if (all("host").length !== 1) throw new Error(`${all("host").length} Host lines`)
    const lengths = all("content-length")
    const codings = all("transfer-encoding")
    if (lengths.length + codings.length > 1) throw new Error("two framings")
    at = end + 4
    let body = ""
    let complete = true
    if (codings[0] !== undefined) {
      if (codings[0] !== "chunked") throw new Error(`transfer-encoding ${codings[0]}`)
      for (let size = 1; size > 0; ) {
        const sizeEnd = text.indexOf("\r\n", at)
        if (at === text.length) {
          complete = false
          break
        }
        const digits = text.slice(at, sizeEnd)
        if (sizeEnd < 0 || !/^[0-9a-f]+$/i.test(digits))
          throw new Error(`chunk size ${JSON.stringify(digits)}`)
        size = Number.parseInt(digits, 16)
        body += text.slice(sizeEnd + 2, sizeEnd + 2 + size)
        at = sizeEnd + 2 + size + 2
        if (text.length < at) {
          complete = false
          at = text.length
          break
        }
        if (text.slice(at - 2, at) !== "\r\n") throw new Error("a chunk not ended by CRLF, or trailers")
      }
    } else if (lengths[0] !== undefined) {
      if (!/^\d+$/.test(lengths[0])) throw new Error(`content-length ${lengths[0]}`)
      body = text.slice(at, at + Number(lengths[0]))
      at += Number(lengths[0])
      complete = text.length >= at
    }
    found.push({ line, lines, header, body, complete })
  }
  return found
}

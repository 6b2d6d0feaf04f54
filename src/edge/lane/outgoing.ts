import type { BodySink, BodySource } from "../../http1/body.ts"
import type { Fields } from "../../http1/fields.ts"
import { LAST_CHUNK } from "../../http1/framing.ts"
import { writeResponseHead } from "../../http1/response_head.ts"
import { outbox } from "../../http1/round.ts"
import { lengthLine } from "../../http1/text.ts"
import type { Writer } from "../../http1/writer.ts"
import { freeAround } from "../../lib/free_bytes.ts"
import type { Answer, Exchange } from "../../upstream/exchange.ts"
import type { LaneOwner } from "./owner.ts"

/** A body that is all here goes out in one write with its head up to this size. */
const ONE_WRITE_BYTES = 65_536

/** Lets a client send its body (RFC 9110 section 15.2.1). */
const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n")

/** What an answer tells its connection: one of the two, once. */
export interface OutgoingOwner {
  /** The last byte was handed to the writer. */
  answered(): void
  /** It broke off within its body. */
  answerBroken(): void
}

/** The answers of one connection, one after another: heads and bodies into bytes, with backpressure. */
export class Outgoing implements BodySink {
  readonly #writer: Writer
  readonly #lane: LaneOwner
  readonly #owner: OutgoingOwner
  #exchange: Exchange | undefined
  /** The body while it flows. */
  #source: BodySource | undefined
  #chunked = false
  /** Where in the outbox the head is; while its end is not 0, it waits for the first bytes of the body. */
  #headStart = 0
  #headEnd = 0

  constructor(writer: Writer, lane: LaneOwner, owner: OutgoingOwner) {
    this.#writer = writer
    this.#lane = lane
    this.#owner = owner
  }

  /** Tells a client that waits for it to send its body. */
  allowBody(): void {
    this.#writer.write(CONTINUE, 0, CONTINUE.length)
  }

  /** Passes the links of early hints on (RFC 8297). */
  hint(fields: Fields): void {
    const links = fields.get("link")
    if (links === undefined) return
    const { buffer } = outbox
    const start = outbox.begin()
    const end = start + buffer.latin1Write(`HTTP/1.1 103 Early Hints\r\nlink: ${links}\r\n\r\n`, start)
    this.#writer.write(buffer, start, end)
  }

  /** Sends the answer of the exchange. `closing`: the client is told that no further request is taken. */
  send(exchange: Exchange, closing: boolean): void {
    const end = this.#writeHead(exchange, closing)
    const start = this.#headStart
    const { body, status } = exchange.answer!
    const headless = exchange.method === "HEAD" || status === 204 || status === 304
    if (body === undefined || body instanceof Uint8Array) {
      this.#sendWhole(start, end, headless ? undefined : body, exchange)
      this.#owner.answered()
    } else if (headless) {
      this.#sendWhole(start, end, undefined, exchange)
      // Not before: its source may close its connection, and whoever hears of that may write into the outbox.
      body.cancel()
      this.#owner.answered()
    } else {
      this.#exchange = exchange
      this.#source = body
      this.#chunked = body.length === undefined
      this.#headEnd = end
      body.flow(this)
      this.#sendHead()
    }
  }

  /** The socket takes bytes again. */
  resume(): void {
    this.#source?.resume()
  }

  /** The client takes no more. */
  cancel(): void {
    const source = this.#source
    this.#source = undefined
    source?.cancel()
  }

  write(chunk: Uint8Array): boolean {
    if (this.#source === undefined) return true
    // A chunk of nothing would end a chunked body.
    if (chunk.length === 0) return this.#writer.empty
    this.#exchange!.bytesOut += chunk.length
    const at = this.#headEnd
    if (at === 0) return this.#writer.give(chunk, this.#chunked)
    this.#headEnd = 0
    return this.#writer.give(chunk, this.#chunked, this.#headStart, at)
  }

  end(): void {
    if (this.#source === undefined) return
    this.#source = undefined
    this.#sendHead()
    if (this.#chunked) this.#writer.write(LAST_CHUNK, 0, LAST_CHUNK.length)
    this.#owner.answered()
  }

  abort(): void {
    if (this.#source === undefined) return
    this.#source = undefined
    this.#headEnd = 0
    this.#owner.answerBroken()
  }

  /** Writes the head from `#headStart` on, and returns its end. */
  #writeHead(exchange: Exchange, closing: boolean): number {
    this.#headStart = outbox.begin()
    try {
      return writeAnswerHead(exchange, closing, this.#lane.dateLine, this.#headStart)
    } catch (error) {
      // Nothing of it goes out.
      const { body } = exchange.answer!
      if (body !== undefined && !(body instanceof Uint8Array)) body.cancel()
      this.#lane.unwritable(exchange, error)
      // Others may have written there meanwhile.
      this.#headStart = outbox.begin()
      return writeAnswerHead(exchange, closing, this.#lane.dateLine, this.#headStart)
    }
  }

  #sendWhole(start: number, head: number, body: Uint8Array | undefined, exchange: Exchange): void {
    const length = body?.length ?? 0
    exchange.bytesOut = length
    if (length <= ONE_WRITE_BYTES) {
      if (body !== undefined) outbox.buffer.set(body, head)
      this.#writer.write(outbox.buffer, start, head + length)
      if (body !== undefined && exchange.answer!.owned === true) freeAround(body)
    } else {
      this.#writer.write(outbox.buffer, start, head)
      this.#writer.write(body!, 0, length)
    }
  }

  #sendHead(): void {
    if (this.#headEnd === 0) return
    const end = this.#headEnd
    this.#headEnd = 0
    this.#writer.write(outbox.buffer, this.#headStart, end)
  }
}

/** Writes the head into the outbox at `at` and returns its end. Throws for a line that cannot be written. */
function writeAnswerHead(exchange: Exchange, closing: boolean, dateLine: string, at: number): number {
  const answer = exchange.answer!
  const { status, fields } = answer
  let rest = framing(exchange, answer)
  if (!fields.has("date")) rest += dateLine
  if (closing) rest += "connection: close\r\n"
  return writeResponseHead(outbox.buffer, at, status, fields, exchange.responseEdits, rest)
}

/** How long the body is, or how its end will show (RFC 9112 section 6). */
function framing({ method }: Exchange, { status, fields, body }: Answer): string {
  if (status === 204) return ""
  const length = body instanceof Uint8Array ? body.byteLength : body?.length
  if (method === "HEAD" || status === 304) {
    // What a GET would have brought; nothing where that is not known.
    const told = fields.get("content-length")
    if (told !== undefined) return `content-length: ${told}\r\n`
    return length === undefined || status === 304 ? "" : lengthLine(length)
  }
  if (body === undefined) return lengthLine(0)
  return length === undefined ? "transfer-encoding: chunked\r\n" : lengthLine(length)
}

import type { Socket } from "bun"
import { LAST_CHUNK } from "../http1/framing.ts"
import { outbox } from "../http1/round.ts"
import { lengthLine } from "../http1/text.ts"
import { Writer } from "../http1/writer.ts"
import type { UpstreamRequest } from "./ask.ts"
import { type Carrier, Upload } from "./upload.ts"

/** What the sending half tells its connection. */
export interface OutgoingOwner {
  /** The last byte of the request was taken by the socket, later than `send` returned. */
  requestSent(): void
  /** The request body broke off: nothing sent after it would make sense. */
  requestBroken(reason: string): void
  /** The socket took nothing of the request. */
  lost(cause: string): void
}

const CR = 13
const LF = 10

const EXPECTS_BODY: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"])

/** The sending half of a connection: request heads and bodies, with backpressure. */
export class Outgoing implements Carrier {
  readonly #owner: OutgoingOwner
  /** Absent until there is a socket. */
  #writer: Writer | undefined
  #upload: Upload | undefined
  /** Bytes the socket had taken when this request began, and when `moved` was last asked. */
  #begunAt = 0
  #lookedAt = 0

  constructor(owner: OutgoingOwner) {
    this.#owner = owner
  }

  attach(socket: Socket<unknown>): void {
    this.#writer = new Writer(socket, () => this.#failed())
  }

  /** Whether some of the request is still to be sent. */
  get pending(): boolean {
    return this.#upload !== undefined || this.#writer?.empty === false
  }

  /** Whether the other side stopped reading in the middle of the request. */
  get deaf(): boolean {
    return this.#writer?.closed === true
  }

  /** Whether a byte of this request was taken by the socket. */
  get sent(): boolean {
    return this.#writer !== undefined && this.#writer.taken > this.#begunAt
  }

  /** Whether bytes were taken since this was last asked. */
  moved(): boolean {
    const taken = this.#writer?.taken ?? 0
    const moved = taken !== this.#lookedAt
    this.#lookedAt = taken
    return moved
  }

  /** Puts the head together in the outbox and returns its end; `send` must follow at once. */
  prepare(request: UpstreamRequest): number {
    return writeFraming(request, request.writeHead(outbox.buffer, outbox.begin()))
  }

  /** Sends the prepared head and the body: in one write when the body is here and small. */
  send(request: UpstreamRequest, end: number): void {
    const { buffer } = outbox
    const start = outbox.begin()
    const body = request.body
    this.#begunAt = this.#writer!.taken
    if (body === undefined) this.#write(buffer, start, end)
    else if (!(body instanceof Uint8Array)) {
      const upload = new Upload(this, body)
      this.#upload = upload
      this.#write(buffer, start, end)
      if (this.#upload === upload) upload.start()
    } else if (end + body.length <= buffer.length) {
      buffer.set(body, end)
      this.#write(buffer, start, end + body.length)
    } else {
      this.#write(buffer, start, end)
      this.#write(body, 0, body.length)
    }
  }

  /** The socket takes bytes again. */
  drained(): void {
    const writer = this.#writer!
    if (!writer.empty) {
      const all = writer.drained()
      if (writer.closed) this.#failed()
      if (!all) return
      if (this.#upload === undefined) {
        this.#owner.requestSent()
        return
      }
    }
    this.#upload?.resume()
  }

  /** Drops what is not sent and stops the source of the body. */
  stop(): void {
    this.#writer?.drop()
    const upload = this.#upload
    this.#upload = undefined
    upload?.stop()
  }

  carry(chunk: Uint8Array, chunked: boolean): boolean {
    if (this.deaf) return true
    const flowing = this.#writer!.give(chunk, chunked)
    if (this.deaf) this.#failed()
    return flowing
  }

  carried(chunked: boolean): void {
    this.#upload = undefined
    if (chunked) this.#write(LAST_CHUNK, 0, LAST_CHUNK.length)
    if (!this.pending && !this.deaf) this.#owner.requestSent()
  }

  carryFailed(reason: string): void {
    this.#upload = undefined
    this.#owner.requestBroken(reason)
  }

  #write(bytes: Uint8Array, start: number, end: number): void {
    const writer = this.#writer!
    if (writer.closed) return
    writer.write(bytes, start, end)
    if (writer.closed) this.#failed()
  }

  /** The other side may have answered before it stopped reading: that answer is still to be read. */
  #failed(): void {
    this.stop()
    if (!this.sent) this.#owner.lost("connection closed before the request")
  }
}

/** Adds the framing fields and the empty line to the request head in the outbox. */
function writeFraming(request: UpstreamRequest, at: number): number {
  const { buffer } = outbox
  const lines = framing(request)
  const end = at + lines.length + 2
  if (end > buffer.length) throw new RangeError("request head does not fit the buffer")
  if (lines !== "") buffer.latin1Write(lines, at)
  buffer[end - 2] = CR
  buffer[end - 1] = LF
  return end
}

function framing({ method, body }: UpstreamRequest): string {
  if (body === undefined) return EXPECTS_BODY.has(method) ? lengthLine(0) : ""
  if (body.length === undefined) return "transfer-encoding: chunked\r\n"
  if (body.length === 0 && (method === "GET" || method === "HEAD")) return ""
  return lengthLine(body.length)
}

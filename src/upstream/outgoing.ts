import type { Socket } from "bun"
import { CHUNK_END, LAST_CHUNK, writeChunkSize } from "../http1/framing.ts"
import { lengthLine } from "../http1/text.ts"
import { freeBytes } from "../lib/free_bytes.ts"
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

/** Where requests are put together before they are written; what the socket does not take is copied out. */
const SCRATCH = Buffer.allocUnsafe(128 * 1024)

const CR = 13
const LF = 10

const EXPECTS_BODY: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"])

/** The sending half of a connection: request heads and bodies, with backpressure. */
export class Outgoing implements Carrier {
  readonly #owner: OutgoingOwner
  #socket: Socket<unknown> | undefined
  #upload: Upload | undefined
  /** Bytes the socket has not taken yet. */
  #queue: Uint8Array[] = []
  /** The last chunk of a streamed body, which is ours. */
  #chunk: Uint8Array | undefined
  /** The other side reads no more. */
  #deaf = false
  /** A byte of this request was taken by the socket. */
  sent = false
  /** Bytes were taken since this was last set to false. */
  moved = false

  constructor(owner: OutgoingOwner) {
    this.#owner = owner
  }

  attach(socket: Socket<unknown>): void {
    this.#socket = socket
  }

  /** Whether some of the request is still to be sent. */
  get pending(): boolean {
    return this.#upload !== undefined || this.#queue.length > 0
  }

  /** Whether the other side stopped reading in the middle of the request. */
  get deaf(): boolean {
    return this.#deaf
  }

  /** Puts the head together in the shared scratch buffer and returns its end; `send` must follow at once. */
  prepare(request: UpstreamRequest): number {
    return writeFraming(request, request.writeHead(SCRATCH, 0))
  }

  /** Sends the prepared head and the body: in one write when the body is here and small. */
  send(request: UpstreamRequest, end: number): void {
    const body = request.body
    this.sent = false
    if (body === undefined) this.#write(SCRATCH, 0, end)
    else if (!(body instanceof Uint8Array)) {
      const upload = new Upload(this, body)
      this.#upload = upload
      this.#write(SCRATCH, 0, end)
      if (this.#upload === upload) upload.start()
    } else if (end + body.length <= SCRATCH.length) {
      SCRATCH.set(body, end)
      this.#write(SCRATCH, 0, end + body.length)
    } else {
      this.#write(SCRATCH, 0, end)
      this.#write(body, 0, body.length)
    }
  }

  /** The socket takes bytes again. */
  drained(): void {
    while (this.#queue.length > 0) {
      const first = this.#queue[0]!
      const taken = this.#socket!.write(first)
      if (taken < 0) {
        this.#failed()
        return
      }
      if (taken > 0) this.moved = true
      if (taken < first.length) {
        this.#queue[0] = first.subarray(taken)
        return
      }
      this.#queue.shift()
      if (this.#queue.length === 0) this.#sent()
      if (this.#queue.length === 0 && this.#upload === undefined) {
        this.#owner.requestSent()
        return
      }
    }
    this.#upload?.resume()
  }

  /** Drops what is not sent and stops the source of the body. */
  stop(): void {
    this.#queue = []
    this.#chunk = undefined
    const upload = this.#upload
    this.#upload = undefined
    upload?.stop()
  }

  carry(chunk: Uint8Array, chunked: boolean): boolean {
    this.#chunk = chunk
    if (!chunked) this.#write(chunk, 0, chunk.length)
    else {
      const data = writeChunkSize(SCRATCH, 0, chunk.length)
      const end = data + chunk.length
      if (end + CHUNK_END.length <= SCRATCH.length) {
        SCRATCH.set(chunk, data)
        SCRATCH.set(CHUNK_END, end)
        this.#write(SCRATCH, 0, end + CHUNK_END.length)
      } else {
        this.#write(SCRATCH, 0, data)
        this.#write(chunk, 0, chunk.length)
        this.#write(CHUNK_END, 0, CHUNK_END.length)
      }
    }
    if (this.#queue.length > 0) return false
    this.#sent()
    return true
  }

  carried(chunked: boolean): void {
    this.#upload = undefined
    if (chunked) this.#write(LAST_CHUNK, 0, LAST_CHUNK.length)
    if (this.#queue.length === 0 && !this.#deaf) this.#owner.requestSent()
  }

  carryFailed(reason: string): void {
    this.#upload = undefined
    this.#owner.requestBroken(reason)
  }

  /** A streamed chunk, unlike a body that is here, is never sent again. */
  #sent(): void {
    if (this.#chunk !== undefined) freeBytes(this.#chunk)
    this.#chunk = undefined
  }

  #write(bytes: Uint8Array, start: number, end: number): void {
    if (this.#deaf) return
    let taken = 0
    if (this.#queue.length === 0) {
      taken = this.#socket!.write(bytes, start, end - start)
      if (taken < 0) {
        this.#failed()
        return
      }
      if (taken > 0) {
        this.sent = true
        this.moved = true
      }
      if (start + taken === end) return
    }
    const rest = bytes.subarray(start + taken, end)
    this.#queue.push(bytes === SCRATCH ? rest.slice() : rest)
  }

  /** The other side may have answered before it stopped reading: that answer is still to be read. */
  #failed(): void {
    this.#deaf = true
    this.stop()
    if (!this.sent) this.#owner.lost("connection closed before the request")
  }
}

/** Adds the framing fields and the empty line to the request head in the scratch buffer. */
function writeFraming(request: UpstreamRequest, at: number): number {
  const lines = framing(request)
  const end = at + lines.length + 2
  if (end > SCRATCH.length) throw new RangeError("request head does not fit the buffer")
  if (lines !== "") SCRATCH.latin1Write(lines, at)
  SCRATCH[end - 2] = CR
  SCRATCH[end - 1] = LF
  return end
}

function framing({ method, body }: UpstreamRequest): string {
  if (body === undefined) return EXPECTS_BODY.has(method) ? lengthLine(0) : ""
  if (body.length === undefined) return "transfer-encoding: chunked\r\n"
  if (body.length === 0 && (method === "GET" || method === "HEAD")) return ""
  return lengthLine(body.length)
}

import type { BodySink, BodySource } from "../http1/body.ts"
import type { Clock } from "../lib/clock.ts"
import { freeBytes } from "../lib/free_bytes.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** The part of Bun's controller of a direct stream that is used here. */
interface DirectController {
  write(chunk: Uint8Array): number | Promise<number>
  flush(): number | Promise<number> | undefined
  end(): void
}

/** What a door keeps about the answers it is sending. */
export interface Departures {
  readonly clock: Clock
  /** The streamed bodies on their way, for whoever looks for clients that read too slowly. */
  readonly streams: Set<ResponseSink>
}

/**
 * Makes the runtime's Response out of `exchange.answer`. `finished` is called once when the last byte was
 * handed over or the client has left; for a body that is all here, at once.
 */
export function toResponse(
  exchange: Exchange,
  closing: boolean,
  departures: Departures,
  finished: (exchange: Exchange) => void,
): Response {
  const answer = exchange.answer!
  const { body, fields, status } = answer
  const edits = exchange.responseEdits
  const headless = exchange.method === "HEAD" || status === 204 || status === 304
  let payload: Uint8Array | ReadableStream | null = null
  let sink: ResponseSink | undefined
  if (!headless && body !== undefined) {
    if (body instanceof Uint8Array) {
      exchange.bytesOut = body.byteLength
      payload = body
    } else {
      sink = new ResponseSink(exchange, body, departures, finished)
      payload = directStream(exchange, sink)
    }
  } else if (body !== undefined && !(body instanceof Uint8Array)) {
    body.cancel()
  }

  // 200 is what a Response has by itself, and reading an object with options costs as much as a header.
  const response =
    status === 200
      ? new Response(payload as BodyInit | null)
      : new Response(payload as BodyInit | null, { status })
  const { headers } = response
  let typed = false
  const lines = fields.flat()
  for (let i = 0; i < lines.length; i += 2) {
    const name = lines[i]!
    if (edits.has(name)) continue
    if (name === "content-type") typed = true
    headers.append(name, lines[i + 1]!)
  }
  const { added } = edits
  for (let i = 0; i < added.length; i += 2) {
    if (added[i] === "content-type") typed = true
    headers.append(added[i]!, added[i + 1]!)
  }
  if (headless && status !== 204) {
    const length = fields.get("content-length")
    if (length !== undefined) headers.set("content-length", length)
    else if (body instanceof Uint8Array && status !== 304)
      headers.set("content-length", String(body.byteLength))
    // The runtime would claim a length of 0.
    else headers.set("transfer-encoding", "chunked")
  }
  if (closing) headers.set("connection", "close")
  // From here on; a client that leaves before the runtime has asked for the first byte is noticed too.
  if (sink !== undefined) exchange.pending = { cancel: sink.clientLeft }
  if (payload instanceof Uint8Array || payload === null) {
    finished(exchange)
    // The runtime would add a type of its own to bytes; a direct stream gets none.
    if (!typed && payload !== null && payload.byteLength > 0) return untyped(payload, status, headers)
  }
  return response
}

function untyped(bytes: Uint8Array, status: number, headers: Headers): Response {
  const stream = new ReadableStream({
    type: "direct",
    pull(controller: DirectController) {
      controller.write(bytes)
      controller.end()
    },
  } as unknown as UnderlyingByteSource)
  return new Response(stream, { status, headers })
}

function directStream(exchange: Exchange, sink: ResponseSink): ReadableStream {
  return new ReadableStream({
    type: "direct",
    pull: (controller: DirectController) => sink.start(controller),
    cancel: () => exchange.clientLeft(),
  } as unknown as UnderlyingByteSource)
}

/** A slow client's progress shows in steps of this size: a larger chunk is handed to the runtime in slices. */
const SLICE_BYTES = 65_536

/** Writes a streamed body to the client, with backpressure, and breaks off visibly when the service does. */
export class ResponseSink implements BodySink {
  readonly #exchange: Exchange
  readonly #source: BodySource
  readonly #departures: Departures
  readonly #finished: (exchange: Exchange) => void
  readonly #done = Promise.withResolvers<void>()
  #controller: DirectController | undefined
  /** The last chunk, which is ours; the runtime has its own copy of what it was given. */
  #chunk: Uint8Array | undefined
  /** What is left of a chunk the client was too slow for. */
  #rest: Uint8Array | undefined
  #blocked = false
  #blockedSince = 0
  #ending = false
  #closed = false

  constructor(
    exchange: Exchange,
    source: BodySource,
    departures: Departures,
    finished: (exchange: Exchange) => void,
  ) {
    this.#exchange = exchange
    this.#source = source
    this.#departures = departures
    this.#finished = finished
  }

  start(controller: DirectController): Promise<void> {
    if (!this.#closed) {
      this.#controller = controller
      this.#departures.streams.add(this)
      this.#source.flow(this)
    }
    return this.#done.promise
  }

  /** How long the client has taken nothing although there was something, in ms. */
  blockedMs(now: number): number {
    return this.#blocked ? now - this.#blockedSince : 0
  }

  write(chunk: Uint8Array): boolean {
    if (this.#closed) return true
    this.#exchange.bytesOut += chunk.byteLength
    this.#chunk = chunk
    return this.#send(chunk)
  }

  end(): void {
    if (this.#closed) return
    if (this.#rest !== undefined) {
      this.#ending = true
      return
    }
    this.#close()
    this.#controller!.end()
    this.#done.resolve()
  }

  abort(reason: string): void {
    if (this.#closed) return
    if (this.#exchange.failure === "") this.#exchange.failure = "BAD_GATEWAY"
    this.#cut(reason)
  }

  /** The client takes nothing any more: cuts it off. */
  giveUp(): void {
    if (this.#closed) return
    this.#exchange.gone = true
    this.#source.cancel()
    this.#cut("the client reads too slowly")
  }

  readonly clientLeft = (): void => {
    if (this.#closed) return
    this.#close()
    this.#source.cancel()
    this.#done.resolve()
  }

  #send(chunk: Uint8Array): boolean {
    const controller = this.#controller!
    for (let at = 0; at < chunk.byteLength; ) {
      const end = Math.min(at + SLICE_BYTES, chunk.byteLength)
      const written = controller.write(end - at === chunk.byteLength ? chunk : chunk.subarray(at, end))
      const flushed = controller.flush()
      at = end
      const full = written instanceof Promise ? written : flushed instanceof Promise ? flushed : undefined
      if (full === undefined) continue
      if (at < chunk.byteLength) this.#rest = chunk.subarray(at)
      else this.#sent()
      this.#blocked = true
      this.#blockedSince = this.#departures.clock()
      // Rejects when the client is gone: `clientLeft` is called for that.
      full.then(this.#resume, this.#resume)
      return false
    }
    this.#sent()
    return true
  }

  #sent(): void {
    if (this.#chunk !== undefined) freeBytes(this.#chunk)
    this.#chunk = undefined
  }

  readonly #resume = () => {
    this.#blocked = false
    if (this.#closed) return
    const rest = this.#rest
    this.#rest = undefined
    if (rest !== undefined && !this.#send(rest)) return
    if (this.#ending) this.end()
    else this.#source.resume()
  }

  #cut(reason: string): void {
    this.#close()
    // A rejected pull makes the runtime cut the connection: no final chunk, no clean end.
    this.#done.reject(new Error(reason))
  }

  #close(): void {
    this.#closed = true
    this.#rest = this.#chunk = undefined
    this.#departures.streams.delete(this)
    this.#finished(this.#exchange)
  }
}

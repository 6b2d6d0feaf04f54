import type { BodySink, BodySource } from "../http1/body.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** The part of Bun's controller of a direct stream that is used here. */
interface DirectController {
  write(chunk: Uint8Array): number | Promise<number>
  flush(): number | Promise<number> | undefined
  end(): void
}

/**
 * Makes the runtime's Response out of `exchange.answer`. `finished` is called once when the last byte was
 * handed over or the client has left; for a body that is all here, at once.
 */
export function toResponse(
  exchange: Exchange,
  closing: boolean,
  finished: (exchange: Exchange) => void,
): Response {
  const answer = exchange.answer!
  const { body, fields, status } = answer
  const edits = exchange.responseEdits
  const headless = exchange.method === "HEAD" || status === 204 || status === 304
  let payload: Uint8Array | ReadableStream | null = null
  if (!headless && body !== undefined) {
    if (body instanceof Uint8Array) {
      exchange.bytesOut = body.byteLength
      payload = body
    } else {
      payload = directStream(exchange, new ResponseSink(exchange, body, finished))
    }
  } else if (body !== undefined && !(body instanceof Uint8Array)) {
    body.cancel()
  }

  const response = new Response(payload as BodyInit | null, { status })
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
  }
  if (closing) headers.set("connection", "close")
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
    cancel: () => {
      exchange.clientLeft()
      sink.clientLeft()
    },
  } as unknown as UnderlyingByteSource)
}

/** Writes a streamed body to the client, with backpressure, and breaks off visibly when the service does. */
class ResponseSink implements BodySink {
  readonly #exchange: Exchange
  readonly #source: BodySource
  readonly #finished: (exchange: Exchange) => void
  readonly #done = Promise.withResolvers<void>()
  #controller: DirectController | undefined
  #closed = false

  constructor(exchange: Exchange, source: BodySource, finished: (exchange: Exchange) => void) {
    this.#exchange = exchange
    this.#source = source
    this.#finished = finished
  }

  start(controller: DirectController): Promise<void> {
    this.#controller = controller
    this.#source.flow(this)
    return this.#done.promise
  }

  write(chunk: Uint8Array): boolean {
    if (this.#closed) return true
    this.#exchange.bytesOut += chunk.byteLength
    const written = this.#controller!.write(chunk)
    const flushed = this.#controller!.flush()
    const full = written instanceof Promise ? written : flushed instanceof Promise ? flushed : undefined
    if (full === undefined) return true
    // Rejects when the client is gone: `clientLeft` is called for that.
    full.then(this.#resume, this.#resume)
    return false
  }

  end(): void {
    if (this.#closed) return
    this.#close()
    this.#controller!.end()
    this.#done.resolve()
  }

  abort(reason: string): void {
    if (this.#closed) return
    if (this.#exchange.failure === "") this.#exchange.failure = "BAD_GATEWAY"
    this.#close()
    // A rejected pull makes the runtime cut the connection: no final chunk, no clean end.
    this.#done.reject(new Error(reason))
  }

  clientLeft(): void {
    if (this.#closed) return
    this.#close()
    this.#source.cancel()
    this.#done.resolve()
  }

  readonly #resume = () => {
    if (!this.#closed) this.#source.resume()
  }

  #close(): void {
    this.#closed = true
    this.#finished(this.#exchange)
  }
}

import type { Body, BodySink, BodySource } from "../../src/http1/body.ts"

/**
 * A source that gives the chunks one after another and stops while the sink is full; then it ends, or breaks
 * off when `abort` is given.
 */
export class ChunkSource implements BodySource {
  readonly length: number | undefined
  cancelled = false
  resumed = 0
  /** Chunks taken by the sink so far. */
  given = 0
  readonly #chunks: readonly Uint8Array[]
  readonly #abort: string | undefined
  #sink: BodySink | undefined

  constructor(chunks: readonly Uint8Array[], options: { length?: number; abort?: string } = {}) {
    this.#chunks = chunks
    this.length = options.length
    this.#abort = options.abort
  }

  flow(sink: BodySink): void {
    this.#sink = sink
    this.#pump()
  }

  resume(): void {
    this.resumed++
    this.#pump()
  }

  cancel(): void {
    this.cancelled = true
  }

  #pump(): void {
    const sink = this.#sink!
    while (!this.cancelled && this.given < this.#chunks.length) {
      if (!sink.write(this.#chunks[this.given++]!)) return
    }
    if (this.cancelled || this.given > this.#chunks.length) return
    this.given++
    if (this.#abort === undefined) sink.end()
    else sink.abort(this.#abort)
  }
}

export interface Collected {
  readonly bytes: Buffer
  /** Why the body broke off; `undefined` when it is complete. */
  readonly aborted: string | undefined
}

/** Reads a body as a slow client does: it is full after each chunk and asks for more later. */
export function collectBody(body: Body): Promise<Collected> {
  if (body === undefined) return Promise.resolve({ bytes: Buffer.alloc(0), aborted: undefined })
  if (body instanceof Uint8Array) return Promise.resolve({ bytes: Buffer.from(body), aborted: undefined })
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = []
    body.flow({
      write(chunk) {
        chunks.push(chunk)
        setImmediate(() => body.resume())
        return false
      },
      end: () => resolve({ bytes: Buffer.concat(chunks), aborted: undefined }),
      abort: (reason) => resolve({ bytes: Buffer.concat(chunks), aborted: reason }),
    })
  })
}

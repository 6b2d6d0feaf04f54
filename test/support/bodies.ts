import type { Body, BodySink, BodySource } from "../../src/http1/body.ts"

/** A sink that keeps everything; `slow` makes it full after each chunk until `take`. */
export class KeepingSink implements BodySink {
  readonly chunks: Buffer[] = []
  bytes = 0
  ended = false
  aborted: string | undefined
  readonly #slow: boolean

  constructor(slow = false) {
    this.#slow = slow
  }

  write(chunk: Uint8Array): boolean {
    if (this.ended || this.aborted !== undefined) throw new Error("a chunk after the end")
    this.chunks.push(Buffer.from(chunk))
    this.bytes += chunk.length
    return !this.#slow
  }

  end(): void {
    if (this.ended || this.aborted !== undefined) throw new Error("two ends")
    this.ended = true
  }

  abort(reason: string): void {
    if (this.ended || this.aborted !== undefined) throw new Error("two ends")
    this.aborted = reason
  }

  get over(): boolean {
    return this.ended || this.aborted !== undefined
  }

  get text(): string {
    return Buffer.concat(this.chunks).latin1Slice()
  }
}

/** Reads a body to its end as latin1 text; rejects when it breaks off. */
export async function readBody(body: Body): Promise<string> {
  if (body === undefined) return ""
  if (body instanceof Uint8Array) return Buffer.from(body).latin1Slice()
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const chunks: Uint8Array[] = []
  body.flow({
    write: (chunk) => chunks.push(chunk) > 0,
    end: () => resolve(Buffer.concat(chunks).latin1Slice()),
    abort: (reason) => reject(new Error(reason)),
  })
  return promise
}

/** A source the test feeds by hand. */
export class HandSource implements BodySource {
  readonly length: number | undefined
  sink: BodySink | undefined
  cancelled = false
  resumed = 0

  constructor(length?: number) {
    this.length = length
  }

  flow(sink: BodySink): void {
    this.sink = sink
  }

  resume(): void {
    this.resumed++
  }

  cancel(): void {
    this.cancelled = true
  }
}

/** A source of `total` bytes, made as fast as the sink takes them and never ahead of it. */
export class EndlessSource implements BodySource {
  readonly length: number | undefined
  cancelled = false
  #left: number
  #sink: BodySink | undefined
  readonly #chunkBytes: number

  constructor(total: number, chunkBytes: number, announced: boolean) {
    this.#left = total
    this.#chunkBytes = chunkBytes
    this.length = announced ? total : undefined
  }

  flow(sink: BodySink): void {
    this.#sink = sink
    this.resume()
  }

  resume(): void {
    while (this.#left > 0) {
      const size = Math.min(this.#left, this.#chunkBytes)
      this.#left -= size
      if (!this.#sink!.write(Buffer.alloc(size, 97)) && this.#left > 0) return
    }
    this.#sink!.end()
  }

  cancel(): void {
    this.cancelled = true
  }
}

import type { BodySink, BodySource } from "./body.ts"

/** The connection, as the body it feeds sees it. */
export interface Feed {
  /** The reader wants more. */
  feedMore(): void
  /** The reader has left. */
  feedCancelled(): void
}

/**
 * A message body that did not come whole with its head: a client's upload or a service's answer. Holds what
 * arrived before `flow` or after the sink was full: at most what the socket delivers until it is paused.
 */
export class FedBody implements BodySource {
  readonly length: number | undefined
  /** `undefined` once the connection is done with this body, one way or the other. */
  #feed: Feed | undefined
  #sink: BodySink | undefined
  #held: Uint8Array[] = []
  #full = false
  #broken: string | undefined
  #over = false

  constructor(feed: Feed, length: number | undefined) {
    this.#feed = feed
    this.length = length
  }

  /** True while the reader takes nothing. */
  get full(): boolean {
    return this.#full || this.#sink === undefined
  }

  flow(sink: BodySink): void {
    this.#sink = sink
    this.#pump()
  }

  resume(): void {
    this.#full = false
    this.#pump()
  }

  cancel(): void {
    if (this.#over) return
    this.#over = true
    this.#held = []
    this.#feed?.feedCancelled()
    this.#feed = undefined
  }

  /** The whole body in one piece; rejects when it breaks off. Instead of `flow`. */
  bytes(): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const chunks: Uint8Array[] = []
    this.flow({
      write: (chunk) => chunks.push(chunk) > 0,
      end: () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)),
      abort: (reason) => reject(new Error(reason)),
    })
    return promise
  }

  /** More bytes from the connection. Returns false when it should pause. */
  push(chunk: Uint8Array): boolean {
    if (this.#over) return false
    if (this.full || this.#held.length > 0) {
      this.#held.push(chunk)
      return false
    }
    this.#full = !this.#sink!.write(chunk)
    return !this.#full
  }

  /** The body is complete; the connection goes on without it. */
  complete(): void {
    this.#feed = undefined
    this.#pump()
  }

  /** The body broke off. What is held is dropped: the message is lost anyway, and its reader learns it sooner. */
  breakOff(reason: string): void {
    this.#feed = undefined
    this.#held = []
    this.#broken = reason
    this.#pump()
  }

  #pump(): void {
    const sink = this.#sink
    if (sink === undefined) return
    while (!this.#over && !this.#full && this.#held.length > 0) this.#full = !sink.write(this.#held.shift()!)
    if (this.#over) return
    if (this.#broken !== undefined) {
      this.#over = true
      sink.abort(this.#broken)
    } else if (this.#held.length > 0) return
    else if (this.#feed === undefined) {
      this.#over = true
      sink.end()
    } else if (!this.#full) this.#feed.feedMore()
  }
}

import type { BodySink, BodySource } from "../http1/body.ts"

/** The connection, as the request body it sends sees it. */
export interface Carrier {
  /** Sends body bytes; false: full. */
  carry(chunk: Uint8Array, chunked: boolean): boolean
  /** The body was sent whole. */
  carried(chunked: boolean): void
  /** The body cannot be completed: the connection is of no use any more. */
  carryFailed(reason: string): void
}

/**
 * A request body that is still coming in. Keeps the promise made by content-length: a body that is longer
 * or shorter than announced would be read as the start of the next request.
 */
export class Upload implements BodySink {
  readonly #carrier: Carrier
  readonly #source: BodySource
  /** Bytes still to come; `undefined`: the body is sent chunked. */
  #left: number | undefined
  #open = true
  #full = false

  constructor(carrier: Carrier, source: BodySource) {
    this.#carrier = carrier
    this.#source = source
    this.#left = source.length
  }

  start(): void {
    this.#source.flow(this)
  }

  /** The connection takes bytes again. */
  resume(): void {
    if (!this.#open || !this.#full) return
    this.#full = false
    this.#source.resume()
  }

  /** The connection is gone or needs no more: stops the source. */
  stop(): void {
    if (!this.#open) return
    this.#open = false
    this.#source.cancel()
  }

  write(chunk: Uint8Array): boolean {
    if (!this.#open) return false
    if (chunk.length === 0) return !this.#full
    if (this.#left !== undefined) {
      if (chunk.length > this.#left) {
        this.#fail("request body longer than its content-length")
        return false
      }
      this.#left -= chunk.length
    }
    this.#full = !this.#carrier.carry(chunk, this.#left === undefined)
    return !this.#full
  }

  end(): void {
    if (!this.#open) return
    if (this.#left !== undefined && this.#left > 0) {
      this.#fail("request body shorter than its content-length")
      return
    }
    this.#open = false
    this.#carrier.carried(this.#left === undefined)
  }

  abort(reason: string): void {
    if (!this.#open) return
    this.#open = false
    this.#carrier.carryFailed(reason)
  }

  #fail(reason: string): void {
    this.stop()
    this.#carrier.carryFailed(reason)
  }
}

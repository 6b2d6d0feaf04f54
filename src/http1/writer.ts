import { freeBytes } from "../lib/free_bytes.ts"
import { CHUNK_END, writeChunkSize } from "./framing.ts"

/** Where bytes are written: a socket. Tells how many it took; below zero: it is closing, and will say so. */
export interface Sink {
  write(bytes: Uint8Array, start?: number, length?: number): number
}

/** The sending half of a connection: bytes in order, with backpressure. */
export class Writer {
  readonly #sink: Sink
  readonly #scratch: Buffer
  /** Bytes the sink has not taken yet. */
  #queue: Uint8Array[] = []
  /** The last chunk of a streamed body, which is ours. */
  #chunk: Uint8Array | undefined
  /** Bytes the sink has taken, of all messages. */
  taken = 0
  /** The sink takes no more: what is written goes nowhere. */
  closed = false

  /**
   * `scratch`: where messages are put together before they are written, by one connection at a time; what the sink
   * does not take of it is copied out.
   */
  constructor(sink: Sink, scratch: Buffer) {
    this.#sink = sink
    this.#scratch = scratch
  }

  /** Nothing waits for the sink. */
  get empty(): boolean {
    return this.#queue.length === 0
  }

  /**
   * Sends `bytes` from `start` to `end`, which must stay as they are until they are out unless they are part of the
   * scratch buffer. False: not all was taken yet, and the sink will say when it takes more.
   */
  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.closed) return true
    let from = start
    if (this.#queue.length === 0) {
      const taken = this.#sink.write(bytes, start, end - start)
      if (taken < 0) {
        this.closed = true
        return true
      }
      this.taken += taken
      from += taken
      if (from === end) return true
    }
    const rest = bytes.subarray(from, end)
    this.#queue.push(bytes === this.#scratch ? rest.slice() : rest)
    return false
  }

  /** Sends a chunk of a streamed body, which is ours from now on, after the first `at` bytes of the scratch buffer. */
  give(chunk: Uint8Array, at: number, chunked: boolean): boolean {
    this.#chunk = chunk
    const scratch = this.#scratch
    const data = chunked ? writeChunkSize(scratch, at, chunk.length) : at
    const end = data + chunk.length
    let flowing: boolean
    if (data > 0 && end + CHUNK_END.length <= scratch.length) {
      scratch.set(chunk, data)
      if (chunked) scratch.set(CHUNK_END, end)
      flowing = this.write(scratch, 0, chunked ? end + CHUNK_END.length : end)
    } else {
      if (data > 0) this.write(scratch, 0, data)
      flowing = this.write(chunk, 0, chunk.length)
      if (chunked) flowing = this.write(CHUNK_END, 0, CHUNK_END.length)
    }
    if (flowing) this.#sent()
    return flowing
  }

  /** The sink takes bytes again; true when all are out. */
  drained(): boolean {
    const queue = this.#queue
    while (queue.length > 0) {
      const first = queue[0]!
      const taken = this.#sink.write(first)
      if (taken < 0) {
        this.closed = true
        return false
      }
      this.taken += taken
      if (taken < first.length) {
        queue[0] = first.subarray(taken)
        return false
      }
      queue.shift()
    }
    this.#sent()
    return true
  }

  /** Forgets what is not sent. */
  drop(): void {
    this.#queue = []
    this.#chunk = undefined
  }

  /** A streamed chunk, unlike a body that is here, is never sent again. */
  #sent(): void {
    if (this.#chunk !== undefined) freeBytes(this.#chunk)
    this.#chunk = undefined
  }
}

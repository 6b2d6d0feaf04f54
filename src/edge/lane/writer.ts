import { CHUNK_END, writeChunkSize } from "../../http1/framing.ts"
import { freeBytes } from "../../lib/free_bytes.ts"
import type { RawSocket } from "../one_way.ts"
import type { Stillness } from "./stillness.ts"

/**
 * Where answers are put together before they are written, by one connection at a time; what a socket does not take is
 * copied out.
 */
export const SCRATCH = Buffer.allocUnsafe(192 * 1024)

/** The sending half of a client's connection: bytes in order, with backpressure. */
export class Writer {
  readonly #socket: RawSocket
  #queue: Uint8Array[] = []
  /** The last chunk of a streamed body, which is ours. */
  #chunk: Uint8Array | undefined
  readonly #stuck: Stillness

  /** `stuck` is told of every byte the socket takes. */
  constructor(socket: RawSocket, stuck: Stillness) {
    this.#socket = socket
    this.#stuck = stuck
  }

  /** Everything was taken by the socket. */
  get empty(): boolean {
    return this.#queue.length === 0
  }

  /**
   * Sends `bytes` from `start` to `end`, which must stay as they are until they are out unless they are part of
   * `SCRATCH`. False: not all was taken yet, `drained` will be called.
   */
  write(bytes: Uint8Array, start: number, end: number): boolean {
    let from = start
    if (this.#queue.length === 0) {
      const taken = this.#socket.write(bytes, start, end - start)
      // Below zero the socket is closing, and will say so.
      if (taken < 0) return true
      if (taken > 0) this.#stuck.moved = true
      from += taken
      if (from === end) return true
    }
    const rest = bytes.subarray(from, end)
    this.#queue.push(bytes === SCRATCH ? rest.slice() : rest)
    return false
  }

  /** Sends a chunk of a streamed body, which is ours from now on, after the first `at` bytes of `SCRATCH`. */
  give(chunk: Uint8Array, at: number, chunked: boolean): boolean {
    this.#chunk = chunk
    const data = chunked ? writeChunkSize(SCRATCH, at, chunk.length) : at
    const end = data + chunk.length
    let flowing: boolean
    if (data > 0 && end + CHUNK_END.length <= SCRATCH.length) {
      SCRATCH.set(chunk, data)
      if (chunked) SCRATCH.set(CHUNK_END, end)
      flowing = this.write(SCRATCH, 0, chunked ? end + CHUNK_END.length : end)
    } else {
      if (data > 0) this.write(SCRATCH, 0, data)
      flowing = this.write(chunk, 0, chunk.length)
      if (chunked) flowing = this.write(CHUNK_END, 0, CHUNK_END.length)
    }
    if (flowing) this.#sent()
    return flowing
  }

  /** The socket takes bytes again; true when all are out. */
  drained(): boolean {
    const queue = this.#queue
    while (queue.length > 0) {
      const first = queue[0]!
      const taken = this.#socket.write(first)
      if (taken < 0) return false
      if (taken > 0) this.#stuck.moved = true
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

  #sent(): void {
    if (this.#chunk !== undefined) freeBytes(this.#chunk)
    this.#chunk = undefined
  }
}

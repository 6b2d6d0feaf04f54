import { freeBytes } from "../lib/free_bytes.ts"
import { CHUNK_END, writeChunkSize } from "./framing.ts"
import type { Sender } from "./outbox.ts"
import { outbox } from "./round.ts"

/** Where bytes are written: a socket. Tells how many it took; below zero: it is closing, and will say so. */
export interface Sink {
  write(bytes: Uint8Array, start?: number, length?: number): number
}

/** The sending half of a connection: bytes in order, with backpressure. */
export class Writer implements Sender {
  readonly #sink: Sink
  readonly #refused: (() => void) | undefined
  /** Bytes the sink has not taken yet. */
  #queue: Uint8Array[] = []
  /** The last chunk of a streamed body, which is ours. */
  #chunk: Uint8Array | undefined
  /** Messages of ours that wait in the outbox. */
  #posted = 0
  /** Bytes the sink has taken, of all messages. */
  taken = 0
  /** The sink takes no more: what is written goes nowhere. */
  closed = false

  /** `refused` is called when the sink turns out to be closing, later than `write` returned. */
  constructor(sink: Sink, refused?: () => void) {
    this.#sink = sink
    this.#refused = refused
  }

  /** Nothing waits for the sink. What waits for the end of the round, it most likely takes. */
  get empty(): boolean {
    return this.#queue.length === 0
  }

  /**
   * Sends `bytes` from `start` to `end`, which must stay as they are until they are out. Messages in the outbox go
   * when the round is over. False: not all was taken yet, and the sink will say when it takes more.
   */
  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.closed) return true
    if (bytes === outbox.buffer && this.#queue.length === 0) {
      this.#posted++
      outbox.put(this, end)
      return true
    }
    this.flush()
    return this.#write(bytes, start, end)
  }

  /**
   * Sends what waits for the end of the round: to be called before something is done to the socket itself. False: the
   * sink has not taken all.
   */
  flush(): boolean {
    if (this.#posted > 0) outbox.send()
    return this.empty
  }

  send(bytes: Uint8Array, start: number, end: number): void {
    this.#posted--
    if (this.closed) return
    this.#write(bytes, start, end)
    if (this.closed) this.#refused?.()
  }

  #write(bytes: Uint8Array, start: number, end: number): boolean {
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
    // Not by `slice`, which for Buffer makes a view: the outbox is used again.
    this.#queue.push(bytes === outbox.buffer ? Buffer.from(rest) : rest)
    return false
  }

  /**
   * Sends a chunk of a streamed body, which is ours from now on, after what stands in the outbox from `start` to `at`:
   * the head, if it is still to go.
   */
  give(chunk: Uint8Array, chunked: boolean, start = outbox.begin(), at = start): boolean {
    this.#chunk = chunk
    const { buffer } = outbox
    const data = chunked ? writeChunkSize(buffer, at, chunk.length) : at
    const end = data + chunk.length
    let flowing: boolean
    if (data > start && end + CHUNK_END.length <= buffer.length) {
      buffer.set(chunk, data)
      if (chunked) buffer.set(CHUNK_END, end)
      flowing = this.write(buffer, start, chunked ? end + CHUNK_END.length : end)
    } else {
      if (data > start) this.write(buffer, start, data)
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

import type { Sink } from "../../src/http1/writer.ts"

/** A socket that takes as many bytes as a test lets through. */
export class ValveSink implements Sink {
  /** Bytes it still takes. */
  room: number
  /** It is closing: writes return -1. */
  closing = false
  /** It has taken less than it was given: the writer must be told when there is room again. */
  full = false
  readonly #parts: Buffer[] = []
  /** Length of each write, taken or not. */
  readonly writes: number[] = []

  constructor(room = Number.POSITIVE_INFINITY) {
    this.room = room
  }

  write(bytes: Uint8Array, start = 0, length = bytes.length - start): number {
    if (this.closing) return -1
    this.writes.push(length)
    const taken = Math.min(length, this.room)
    this.#parts.push(Buffer.from(bytes.subarray(start, start + taken)))
    this.room -= taken
    this.full = taken < length
    return taken
  }

  get taken(): Buffer {
    return Buffer.concat(this.#parts)
  }

  get text(): string {
    return this.taken.latin1Slice()
  }
}

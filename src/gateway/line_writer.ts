import { write } from "node:fs"

/** Bytes that may wait while the reader of the output is slow; beyond them whole batches are dropped. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024

export interface LineWriterOptions {
  /** Writes a batch; the next one waits until it has settled. A rejection loses the batch. */
  readonly write: (batch: string) => Promise<void>
  readonly maxWaitingBytes?: number
}

/**
 * Brings the batches of all workers to one output, one after another, so that lines stay whole. Bounded: when
 * the reader is too slow, or has gone, batches are dropped whole and their lines counted.
 */
export class LineWriter {
  readonly #write: LineWriterOptions["write"]
  readonly #maxWaitingBytes: number
  #waiting = ""
  #writing: Promise<void> | undefined
  #dropped = 0

  constructor(options: LineWriterOptions) {
    this.#write = options.write
    this.#maxWaitingBytes = options.maxWaitingBytes ?? MAX_WAITING_BYTES
  }

  /** Lines dropped so far. */
  get dropped(): number {
    return this.#dropped
  }

  /** Takes a batch of whole lines, each with its line feed. */
  push(lines: string): void {
    if (this.#waiting.length + lines.length > this.#maxWaitingBytes) this.#dropped += countLines(lines)
    else this.#waiting += lines
    this.#writing ??= this.#writeAll()
  }

  /** Resolves when all that was taken is written or dropped. */
  async flushed(): Promise<void> {
    await this.#writing
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting !== "") {
      const batch = this.#waiting
      this.#waiting = ""
      try {
        await this.#write(batch)
      } catch {
        // The output is broken; the count is the only place left to say so.
        this.#dropped += countLines(batch)
      }
    }
    this.#writing = undefined
  }
}

/** A pipe somebody made non-blocking says "try again" when it is full: then after this. */
const RETRY_MS = 10

/** Bytes of a batch in everyday use; memory for more is taken anew each time. */
const USUAL_BYTES = 256 * 1024

/**
 * Writes to a file descriptor off the thread, so that a reader that stalls holds up nothing. A batch must be written
 * before the next is given.
 */
export function toDescriptor(fd: number): (batch: string) => Promise<void> {
  const usual = Buffer.alloc(USUAL_BYTES)
  return async (batch) => {
    // A character has up to three bytes.
    const fits = batch.length * 3 <= usual.length
    const bytes = fits ? usual.subarray(0, usual.write(batch)) : Buffer.from(batch)
    for (let at = 0; at < bytes.length; ) at += await writeSome(fd, bytes, at)
  }
}

function writeSome(fd: number, bytes: Buffer, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, at, bytes.length - at, null, (error, written) => {
      if (error === null) resolve(written)
      else if (error.code === "EAGAIN") setTimeout(resolve, RETRY_MS, 0)
      else reject(error)
    })
  })
}

function countLines(text: string): number {
  let lines = 0
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines++
  return lines
}

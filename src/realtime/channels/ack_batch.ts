import type { Cursor } from "./channel_store.ts"
import type { Position } from "./protocol.ts"

export interface Ack {
  readonly subscriber: string
  readonly position: Position
}

export interface AckBatchOptions {
  /** Moves the cursors of one channel; resolves with where they stand then, in this order. */
  readonly write: (channel: string, acks: readonly Ack[]) => Promise<readonly Cursor[]>
  /** Runs something once after so many ms. */
  readonly after: (ms: number, run: () => void) => () => void
}

interface Waiting {
  readonly subscriber: string
  position: Position
  readonly written: PromiseWithResolvers<Cursor>
}

/** Longest wait of an acknowledgement for others. */
const INTERVAL_MS = 10
/** Subscribers in one write; a channel that has so many waiting is written at once. */
const MAX_TOGETHER = 200

/**
 * Acknowledgements of all subscribers of a channel, written together, of each only the furthest. Each is answered when
 * it is written, and not before; when the write fails, all that were in it fail. How many wait is bounded by those who
 * ask: workers have so many questions under way at most.
 */
export class AckBatch {
  readonly #options: AckBatchOptions
  /** By channel; then by subscriber and epoch. */
  readonly #waiting = new Map<string, Map<string, Waiting>>()
  #cancel: (() => void) | undefined

  constructor(options: AckBatchOptions) {
    this.#options = options
  }

  /** Resolves with where the cursor stands; rejects as the write does. */
  acknowledge(channel: string, subscriber: string, position: Position): Promise<Cursor> {
    let waiting = this.#waiting.get(channel)
    if (waiting === undefined) {
      waiting = new Map()
      this.#waiting.set(channel, waiting)
    }
    // Offsets of two epochs say nothing of each other: both are written.
    const key = `${subscriber}\n${position.epoch}`
    let one = waiting.get(key)
    if (one === undefined) {
      one = { subscriber, position, written: Promise.withResolvers() }
      waiting.set(key, one)
    } else if (position.offset > one.position.offset) one.position = position
    if (waiting.size >= MAX_TOGETHER) void this.#write(channel)
    else this.#cancel ??= this.#options.after(INTERVAL_MS, () => this.flush())
    return one.written.promise
  }

  /** Writes all that wait. */
  flush(): void {
    this.#cancel?.()
    this.#cancel = undefined
    for (const channel of [...this.#waiting.keys()]) void this.#write(channel)
  }

  async #write(channel: string): Promise<void> {
    const acks = [...this.#waiting.get(channel)!.values()]
    this.#waiting.delete(channel)
    try {
      const cursors = await this.#options.write(channel, acks)
      for (const [i, { written }] of acks.entries()) written.resolve(cursors[i]!)
    } catch (error) {
      for (const { written } of acks) written.reject(error)
    }
  }
}

const LF = 10

export interface LineBufferOptions {
  /**
   * Writes a batch of whole lines. A promise means the output is busy until it settles; until then lines wait
   * here. A rejection or a throw loses the batch, which counts as dropped.
   */
  readonly write: (batch: string) => Promise<void> | void
  /** Told how many lines were lost: for `gatehouse_access_log_dropped_total`. */
  readonly onDropped: (lines: number) => void
  /** About the bytes kept while the output is busy; a line that does not fit is dropped. Default 4 MB. */
  readonly maxLength?: number
  /** The same, from which a batch is written without waiting for the timer. Default 64 KB. */
  readonly flushLength?: number
  /** Longest a line waits while the output is free, in milliseconds. Default 100. */
  readonly flushMs?: number
}

/** What is put together for one batch; a longer line goes its own way. */
const BATCH_BYTES = 128 * 1024
/** A UTF-16 code unit has at most so many bytes of UTF-8. */
const MOST_BYTES = 3

/**
 * Lines on their way to a slow output, written in batches so that a request costs an append. At most one batch
 * is being written. What is in the buffer when the process is killed is lost.
 */
export class LineBuffer {
  readonly #options: Required<LineBufferOptions>
  /**
   * The end of what waits, as UTF-8. Appending to a string would be a copy less, but leaves all the pieces that lines
   * are put together from to the collector, and putting thousands of them together later takes far longer.
   */
  readonly #bytes = Buffer.allocUnsafe(BATCH_BYTES)
  #end = 0
  /** What came before `#bytes`: only while the output is busy. */
  #text = ""
  #lines = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #writing: Promise<void> | undefined

  constructor(options: LineBufferOptions) {
    this.#options = { maxLength: 4 * 1024 * 1024, flushLength: 64 * 1024, flushMs: 100, ...options }
  }

  /** Takes one line without its line end. Never throws, never waits. */
  append(line: string): void {
    if (this.#length + line.length >= this.#options.maxLength) {
      this.#options.onDropped(1)
      return
    }
    if (this.#end + line.length * MOST_BYTES >= BATCH_BYTES) this.#spill()
    if (line.length * MOST_BYTES >= BATCH_BYTES) this.#text += `${line}\n`
    else {
      this.#end += this.#bytes.utf8Write(line, this.#end)
      this.#bytes[this.#end++] = LF
    }
    this.#lines++
    if (this.#writing !== undefined) return
    if (this.#length >= this.#options.flushLength) this.#write()
    else this.#timer ??= setTimeout(this.#onTimer, this.#options.flushMs)
  }

  /** Writes what is here; resolves when every line appended before the call was written or lost. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
    if (this.#lines > 0) this.#write()
    while (this.#writing !== undefined) await this.#writing
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined
    if (this.#writing === undefined && this.#lines > 0) this.#write()
  }

  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#spill()
    const batch = this.#text
    const lines = this.#lines
    this.#text = ""
    this.#lines = 0
    try {
      const pending = this.#options.write(batch)
      if (pending === undefined) return
      this.#writing = pending.then(
        () => this.#written(0),
        () => this.#written(lines),
      )
    } catch {
      // The output is gone; the count below is the only place left to say so.
      this.#options.onDropped(lines)
    }
  }

  /** About the bytes that wait. */
  get #length(): number {
    return this.#text.length + this.#end
  }

  #spill(): void {
    this.#text += this.#bytes.utf8Slice(0, this.#end)
    this.#end = 0
  }

  #written(lost: number): void {
    this.#writing = undefined
    if (lost > 0) this.#options.onDropped(lost)
    if (this.#length >= this.#options.flushLength) this.#write()
    else if (this.#lines > 0) this.#timer ??= setTimeout(this.#onTimer, this.#options.flushMs)
  }
}

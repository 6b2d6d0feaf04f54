export interface LineBufferOptions {
  /**
   * Writes a batch of whole lines. A promise means the output is busy until it settles; until then lines wait
   * here. A rejection or a throw loses the batch, which counts as dropped.
   */
  readonly write: (batch: string) => Promise<void> | void
  /** Told how many lines were lost: for `gatehouse_access_log_dropped_total`. */
  readonly onDropped: (lines: number) => void
  /** Characters kept while the output is busy; a line that does not fit is dropped. Default 4 MB. */
  readonly maxLength?: number
  /** Characters from which a batch is written without waiting for the timer. Default 64 KB. */
  readonly flushLength?: number
  /** Longest a line waits while the output is free, in milliseconds. Default 100. */
  readonly flushMs?: number
}

/**
 * Lines on their way to a slow output, written in batches so that a request costs an append. At most one batch
 * is being written. What is in the buffer when the process is killed is lost.
 */
export class LineBuffer {
  readonly #options: Required<LineBufferOptions>
  #text = ""
  #lines = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #writing: Promise<void> | undefined

  constructor(options: LineBufferOptions) {
    this.#options = { maxLength: 4 * 1024 * 1024, flushLength: 64 * 1024, flushMs: 100, ...options }
  }

  /** Takes one line without its line end. Never throws, never waits. */
  append(line: string): void {
    if (this.#text.length + line.length >= this.#options.maxLength) {
      this.#options.onDropped(1)
      return
    }
    // One concatenation after the other: the engine keeps a rope and flattens it once, when it is written.
    this.#text += line
    this.#text += "\n"
    this.#lines++
    if (this.#writing !== undefined) return
    if (this.#text.length >= this.#options.flushLength) this.#write()
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

  #written(lost: number): void {
    this.#writing = undefined
    if (lost > 0) this.#options.onDropped(lost)
    if (this.#text.length >= this.#options.flushLength) this.#write()
    else if (this.#lines > 0) this.#timer ??= setTimeout(this.#onTimer, this.#options.flushMs)
  }
}

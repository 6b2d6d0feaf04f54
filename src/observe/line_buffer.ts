const LF = 10
const ZERO = 48

export interface LineBufferOptions {
  /**
   * Writes a batch of whole lines. A promise means the output is busy until it settles; until then lines wait
   * here. A rejection or a throw loses the batch, which counts as dropped.
   */
  readonly write: (batch: string) => Promise<void> | void
  /** Told how many lines were lost: for `gatehouse_access_log_dropped_total`. */
  readonly onDropped: (lines: number) => void
  /** Bytes kept while the output is busy; a line that does not fit is dropped. Default 4 MB. */
  readonly maxLength?: number
  /** As many from which a batch is written without waiting for the timer. Default 64 KB. */
  readonly flushLength?: number
  /** Longest a line waits while the output is free, in milliseconds. Default 100. */
  readonly flushMs?: number
}

/** A log that is written piece by piece. Never throws, never waits. */
export interface Lines {
  /** Begins a line. Pieces follow at once, and then its end; a line without an end is forgotten. */
  begin(): void
  text(piece: string): void
  /** UTF-8 that was made before. */
  bytes(piece: Uint8Array): void
  /** In decimal digits, at least so many of them. `n`: a safe integer of 0 or more. */
  integer(n: number, leastDigits?: number): void
  end(): void
}

/** Room for a batch in everyday use; for more it grows, until that is written. */
const BATCH_BYTES = 128 * 1024
/** A UTF-16 code unit has at most so many bytes of UTF-8. */
const MOST_BYTES = 3
const MOST_DIGITS = 16
/** Up to so many bytes, copying one by one is cheaper than a call into the runtime. */
const SHORT = 32

/**
 * Lines on their way to a slow output, written in batches so that a request costs an append. At most one batch
 * is being written. What is in the buffer when the process is killed is lost.
 */
export class LineBuffer implements Lines {
  readonly #options: Required<LineBufferOptions>
  readonly #usual = Buffer.allocUnsafe(BATCH_BYTES)
  /**
   * What waits, as UTF-8. Lines are put together here and nowhere else: as strings, their pieces and what they are
   * joined to cost more than all the rest of a line, and are left to the collector.
   */
  #bytes = this.#usual
  #end = 0
  /** The end of the last whole line. */
  #wholeEnd = 0
  #lines = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #writing: Promise<void> | undefined

  constructor(options: LineBufferOptions) {
    this.#options = { maxLength: 4 * 1024 * 1024, flushLength: 64 * 1024, flushMs: 100, ...options }
  }

  begin(): void {
    // A line that was begun and never ended is none.
    this.#end = this.#wholeEnd
  }

  text(piece: string): void {
    const { length } = piece
    this.#makeRoom(length * MOST_BYTES)
    if (length > SHORT || !this.#ascii(piece)) this.#end += this.#bytes.utf8Write(piece, this.#end)
  }

  bytes(piece: Uint8Array): void {
    const { length } = piece
    this.#makeRoom(length)
    const bytes = this.#bytes
    const at = this.#end
    if (length > SHORT) bytes.set(piece, at)
    else for (let i = 0; i < length; i++) bytes[at + i] = piece[i]!
    this.#end = at + length
  }

  integer(n: number, leastDigits = 1): void {
    this.#makeRoom(MOST_DIGITS)
    const bytes = this.#bytes
    let digits = 1
    for (let bound = 10; n >= bound; bound *= 10) digits++
    digits = Math.max(digits, leastDigits)
    this.#end += digits
    for (let at = this.#end - 1; digits > 0; digits--) {
      const rest = Math.trunc(n / 10)
      bytes[at--] = ZERO + (n - rest * 10)
      n = rest
    }
  }

  end(): void {
    this.#makeRoom(1)
    this.#bytes[this.#end++] = LF
    if (this.#end > this.#options.maxLength) {
      this.#end = this.#wholeEnd
      this.#options.onDropped(1)
      return
    }
    this.#wholeEnd = this.#end
    this.#lines++
    if (this.#writing !== undefined) return
    if (this.#end >= this.#options.flushLength) this.#write()
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
    const batch = this.#bytes.utf8Slice(0, this.#wholeEnd)
    const lines = this.#lines
    this.#bytes = this.#usual
    this.#end = this.#wholeEnd = 0
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

  /** Writes a piece of ASCII; `false`: it has something else, and is not written. */
  #ascii(piece: string): boolean {
    const bytes = this.#bytes
    const at = this.#end
    for (let i = 0; i < piece.length; i++) {
      const code = piece.charCodeAt(i)
      if (code > 0x7f) return false
      bytes[at + i] = code
    }
    this.#end = at + piece.length
    return true
  }

  #makeRoom(bytes: number): void {
    const needed = this.#end + bytes
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(needed * 2)
    this.#bytes.copy(larger, 0, 0, this.#end)
    this.#bytes = larger
  }

  #written(lost: number): void {
    this.#writing = undefined
    if (lost > 0) this.#options.onDropped(lost)
    if (this.#end >= this.#options.flushLength) this.#write()
    else if (this.#lines > 0) this.#timer ??= setTimeout(this.#onTimer, this.#options.flushMs)
  }
}

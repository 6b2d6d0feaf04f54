const HEAD_END = Buffer.from("\r\n\r\n")
const LF = 10

/**
 * Bytes looked at again, as a multiple of those held: lines that come one by one are judged one by one up to about
 * the thirtieth, and then less and less often. Without a bound, the cost would be the square of the head's size.
 */
const SCANNED_AGAIN = 16

/** The beginning of a head whose rest has not come yet. */
export class HeldHead {
  #bytes: Buffer | undefined
  /** Bytes that were scanned in vain, all scans of this head together. */
  #scanned = 0

  /** Whether some of a head is held. */
  get some(): boolean {
    return this.#bytes !== undefined
  }

  /** Keeps what follows `at`, which was scanned and is not complete, for the next read. */
  keep(bytes: Buffer, at: number): void {
    this.#bytes = at === 0 ? bytes : bytes.subarray(at)
    this.#scanned += bytes.length - at
  }

  /**
   * What was held, with the next read behind it, when it is worth a scan: the head may be complete, is over
   * `maxBytes`, or has a further line, which may be broken. `undefined`: it is not, and all is held.
   */
  join(received: Buffer, maxBytes: number): Buffer | undefined {
    const held = this.#bytes
    if (held === undefined) return received
    const bytes = Buffer.concat([held, received])
    const searched = Math.max(0, held.length - 3)
    if (bytes.length > maxBytes || bytes.indexOf(HEAD_END, searched) >= 0) this.#scanned = 0
    else if (this.#scanned >= SCANNED_AGAIN * bytes.length || received.indexOf(LF) < 0) {
      this.#bytes = bytes
      return undefined
    }
    this.#bytes = undefined
    return bytes
  }

  drop(): void {
    this.#bytes = undefined
    this.#scanned = 0
  }
}

const HEAD_END = Buffer.from("\r\n\r\n")

/** The beginning of a head whose rest has not come yet. */
export class HeldHead {
  #bytes: Buffer | undefined

  /** Whether some of a head is held. */
  get some(): boolean {
    return this.#bytes !== undefined
  }

  /** Keeps what follows `at` for the next read. */
  keep(bytes: Buffer, at: number): void {
    this.#bytes = at === 0 ? bytes : bytes.subarray(at)
  }

  /**
   * What was held, with the next read behind it. `undefined`: the head still cannot be complete, and all is held. It
   * is not to be scanned again before that: byte by byte, that would cost the square of its size. With more than
   * `maxBytes` it is given out in any case.
   */
  join(received: Buffer, maxBytes: number): Buffer | undefined {
    const held = this.#bytes
    if (held === undefined) return received
    const bytes = Buffer.concat([held, received])
    const searched = Math.max(0, held.length - 3)
    if (bytes.length <= maxBytes && bytes.indexOf(HEAD_END, searched) < 0) {
      this.#bytes = bytes
      return undefined
    }
    this.#bytes = undefined
    return bytes
  }

  drop(): void {
    this.#bytes = undefined
  }
}

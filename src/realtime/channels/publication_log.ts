import type { StoredPublication } from "./channel_store.ts"

interface Entry {
  readonly publication: StoredPublication
  readonly at: number
  readonly bytes: number
}

/** Publications of one channel, the newest of them kept; offsets have no gap. */
export class PublicationLog {
  #entries: Entry[] = []
  /** Entries before this index are gone already. */
  #head = 0
  #offset = 0

  /** Of the newest publication; 0: there was none. */
  get offset(): number {
    return this.#offset
  }

  /** Offset of the oldest one kept; one past the newest when there is none. */
  get first(): number {
    return this.#offset - this.size + 1
  }

  get size(): number {
    return this.#entries.length - this.#head
  }

  /** `publication.offset` must be the next one. Returns `bytes`. */
  append(publication: StoredPublication, at: number, bytes: number): number {
    this.#offset = publication.offset
    this.#entries.push({ publication, at, bytes })
    return bytes
  }

  /** At most `limit` with an offset above this one, ascending. */
  after(offset: number, limit: number): StoredPublication[] {
    const start = this.#head + Math.max(0, offset + 1 - this.first)
    return this.#entries.slice(start, start + limit).map(({ publication }) => publication)
  }

  /** Keeps the newest `size` of those appended after `since`; returns the bytes that went. */
  trim(size: number, since: number): number {
    let bytes = 0
    while (this.size > 0 && (this.size > size || this.#entries[this.#head]!.at <= since)) {
      bytes += this.#entries[this.#head]!.bytes
      this.#head++
    }
    // What is gone must not hold memory; moving the rest each time would make a long log slow.
    if (this.#head > 64 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    return bytes
  }
}

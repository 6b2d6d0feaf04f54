/**
 * The header section of a message, whatever holds it: the runtime's Headers (Serve door) or the bytes as
 * they came (lane, upstream). Names are lower case in every method.
 */
export interface Fields {
  /** The value; lines of one name joined with ", " (`cookie`: "; "); `undefined` when absent. */
  get(name: string): string | undefined
  /** name, value, name, value, … in wire order. `set-cookie` lines are never joined. */
  flat(): readonly string[]
  /**
   * Writes each line whose name is not in `dropped` as `name: value CRLF` into `out` at `at`, and returns
   * the position after the last byte. Throws `RangeError` when `out` is too small. `before`: Latin-1 text
   * that goes in front, e.g. a start line; "" when it is left out.
   */
  copy(out: Buffer, at: number, dropped: NameSet, before?: string): number
}

/** What a copy leaves out. `Set<string>` and `Edits` both fit. */
export interface NameSet {
  has(name: string): boolean
}

/** Edits to a header section that is not ours: lines to leave out and lines to add, in order. */
export class Edits implements NameSet {
  /** name, value, … to be written after the original lines. */
  readonly added: string[] = []
  #dropped: string[] | undefined
  readonly #always: NameSet

  /** `always`: names left out of every message, e.g. the hop-by-hop fields. */
  constructor(always: NameSet) {
    this.#always = always
  }

  /** Whether an original line of this name is left out. */
  has(name: string): boolean {
    return this.#always.has(name) || (this.#dropped?.includes(name) ?? false)
  }

  /** Replaces every line of this name by one. */
  set(name: string, value: string): void {
    this.drop(name)
    this.added.push(name, value)
  }

  /** Adds one more line, keeping those that are there. */
  add(name: string, value: string): void {
    this.added.push(name, value)
  }

  /** Leaves out every line of this name, original or added. */
  drop(name: string): void {
    this.#dropped ??= []
    if (!this.#dropped.includes(name)) this.#dropped.push(name)
    for (let i = this.added.length - 2; i >= 0; i -= 2) {
      if (this.added[i] === name) this.added.splice(i, 2)
    }
  }

  /** Takes every edit back, for a message that takes the place of the one they were meant for. */
  reset(): void {
    this.added.length = 0
    this.#dropped = undefined
  }

  /** The value this name has after the edits, given the original section. */
  get(name: string, original: Fields): string | undefined {
    let found = this.has(name) ? undefined : original.get(name)
    for (let i = 0; i < this.added.length; i += 2) {
      if (this.added[i] === name)
        found = found === undefined ? this.added[i + 1] : `${found}, ${this.added[i + 1]}`
    }
    return found
  }
}

/** Fields that concern one connection only and never pass the gateway (RFC 9110 section 7.6.1). */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
])

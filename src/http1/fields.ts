import { writeText } from "./text.ts"

/**
 * The header section of a message, whatever holds it: the runtime's Headers (Serve door) or the bytes as
 * they came (lane, upstream). Names are lower case in every method.
 */
export interface Fields {
  /** The value; lines of one name joined with ", " (`cookie`: "; "); `undefined` when absent. */
  get(name: string): string | undefined
  /** Whether there is a line of this name: cheaper than its value. */
  has(name: string): boolean
  /** name, value, name, value, … in wire order. `set-cookie` lines are never joined. */
  flat(): readonly string[]
  /**
   * Writes each line whose name is not in `dropped` as `name: value CRLF` into `out` at `at`, and returns
   * the position after the last byte. Throws `RangeError` when `out` is too small.
   */
  copy(out: Buffer, at: number, dropped: NameSet): number
}

/** What a copy leaves out. `Set<string>` and `Edits` both fit. */
export interface NameSet {
  has(name: string): boolean
}

/** Names of lines that go together into every message of a kind, for `Edits.put`. */
export class LineNames {
  readonly names: readonly string[]
  /** A bit for each name; others may have the same. */
  readonly bits: number

  /** `names`: in lower case. */
  constructor(names: readonly string[]) {
    this.names = names
    this.bits = names.reduce((bits, name) => bits | bitOf(name), 0)
  }
}

/** Tells most names apart for less than a comparison. */
function bitOf(name: string): number {
  return 1 << (name.length * 5 + name.charCodeAt(name.length - 1))
}

const NOTHING: readonly string[] = Object.freeze([])

const COLON = 58

/** Adds name, value, … of `lines` to `into`. `names`: most likely theirs, in this order. */
function readLines(lines: string, names: readonly string[], into: string[]): void {
  let next = 0
  let at = 0
  for (let end = lines.indexOf("\r\n"); end !== -1; end = lines.indexOf("\r\n", at)) {
    let name = names[next]
    if (name !== undefined && lines.startsWith(name, at) && lines.charCodeAt(at + name.length) === COLON)
      next++
    else name = lines.slice(at, lines.indexOf(":", at))
    into.push(name, lines.slice(at + name.length + 2, end))
    at = end + 2
  }
}

/** Edits to a header section that is not ours: lines to leave out and lines to add. */
export class Edits implements NameSet {
  /** name, value, …; what an earlier `put` wrote comes first. */
  #added: string[] | undefined
  #dropped: string[] | undefined
  /** Lines as they go on the wire and their names, one of each a `put`; both or neither. */
  #lines: string[] | undefined
  #names: LineNames[] | undefined
  /** Of all those names. */
  #bits = 0
  readonly #always: NameSet

  /** `always`: names left out of every message, e.g. the hop-by-hop fields. */
  constructor(always: NameSet) {
    this.#always = always
  }

  /** name, value, … of all lines to add, in order. May be changed. */
  get added(): string[] {
    if (this.#lines !== undefined) this.#readBack()
    this.#added ??= []
    return this.#added
  }

  /** Writes what was `put`, as `writeText` does. The rest is `unwritten`. */
  write(out: Buffer, at: number): number {
    const lines = this.#lines
    if (lines !== undefined) for (let i = 0; i < lines.length; i++) at = writeText(out, at, lines[i]!)
    return at
  }

  /** name, value, … of the lines to add that `write` does not write; they come after the original lines. */
  get unwritten(): readonly string[] {
    return this.#added ?? NOTHING
  }

  /** Whether an original line of this name is left out. */
  has(name: string): boolean {
    if (this.#always.has(name) || this.#dropped?.includes(name) === true) return true
    return this.#isPut(name)
  }

  /** Replaces every line of this name by one. */
  set(name: string, value: string): void {
    this.drop(name)
    this.#added ??= []
    this.#added.push(name, value)
  }

  /** Adds one more line, keeping those that are there. */
  add(name: string, value: string): void {
    this.#added ??= []
    this.#added.push(name, value)
  }

  /**
   * Replaces every line of these names by `lines`: `name: value CRLF`, …, as they go on the wire. Nobody looks at
   * them again, so every value must be known to be one that a field may have. The cheapest way for lines that
   * policies write into every message. `names`: made once, not for each message.
   */
  put(names: LineNames, lines: string): void {
    if (this.#added !== undefined || (this.#bits & names.bits) !== 0) this.#makeRoom(names)
    this.#bits |= names.bits
    if (this.#lines === undefined) {
      this.#lines = [lines]
      this.#names = [names]
    } else {
      this.#lines.push(lines)
      this.#names!.push(names)
    }
  }

  /** The lines that were last `put` for these names; `undefined`: none were, or they were looked at since. */
  linesOf(names: LineNames): string | undefined {
    const at = this.#names === undefined ? -1 : this.#names.lastIndexOf(names)
    return at === -1 ? undefined : this.#lines![at]
  }

  /** Leaves out every line of this name, original or added. */
  drop(name: string): void {
    if (this.#isPut(name)) this.#readBack()
    this.#dropped ??= []
    if (!this.#dropped.includes(name)) this.#dropped.push(name)
    const added = this.#added
    if (added === undefined) return
    for (let i = added.length - 2; i >= 0; i -= 2) if (added[i] === name) added.splice(i, 2)
  }

  /** Takes every edit back, for a message that takes the place of the one they were meant for. */
  reset(): void {
    this.#added = this.#dropped = this.#lines = this.#names = undefined
    this.#bits = 0
  }

  /** The value this name has after the edits, given the original section. */
  get(name: string, original: Fields): string | undefined {
    let found = this.has(name) ? undefined : original.get(name)
    const { added } = this
    for (let i = 0; i < added.length; i += 2) {
      if (added[i] === name) found = found === undefined ? added[i + 1] : `${found}, ${added[i + 1]}`
    }
    return found
  }

  #isPut(name: string): boolean {
    if ((this.#bits & bitOf(name)) === 0) return false
    const lists = this.#names!
    for (let i = 0; i < lists.length; i++) if (lists[i]!.names.includes(name)) return true
    return false
  }

  #makeRoom({ names }: LineNames): void {
    for (const name of names) if (this.#isPut(name) || this.#added?.includes(name)) this.drop(name)
  }

  /** From here on what was put is like any other line. */
  #readBack(): void {
    const added: string[] = []
    for (let i = 0; i < this.#lines!.length; i++) readLines(this.#lines![i]!, this.#names![i]!.names, added)
    this.#added = this.#added === undefined ? added : added.concat(this.#added)
    this.#dropped ??= []
    for (const { names } of this.#names!) this.#dropped.push(...names)
    this.#lines = this.#names = undefined
    this.#bits = 0
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

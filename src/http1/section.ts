import { isLarge } from "../lib/free_bytes.ts"
import type { Fields, NameSet } from "./fields.ts"

const NONE: readonly string[] = Object.freeze([])

/** Characters from which on decoding a value costs more than keeping it. */
const LONG = 64

/**
 * A scanned header section: fields over the bytes they came in, and what they say about framing. Values
 * are decoded (as latin1) only when somebody asks. `copy` splices whole lines, so the spelling of names
 * and the space around values stay as received. Made by `scanSection`, which has validated it all.
 */
export class Section implements Fields {
  readonly kind = "complete"
  /** Position after the empty line. */
  readonly end: number
  /** Bytes of the body as announced; `undefined` when there is no content-length. */
  readonly contentLength: number | undefined
  /** `transfer-encoding: chunked`. */
  readonly chunked: boolean
  /** `connection: close` and `connection: keep-alive`. */
  readonly close: boolean
  readonly keepAlive: boolean
  /** Other names in `connection`, in lower case: fields that must not be forwarded (RFC 9110 section 7.6.1). */
  readonly nominated: readonly string[]

  #bytes: Buffer
  readonly #names: readonly string[]
  /** Where each line starts. They follow each other without a gap. */
  readonly #starts: readonly number[]
  #flat: string[] | undefined
  /** A long value that was asked for, and its name: tokens and cookies are looked at several times. */
  #long = ""
  #longName = ""

  constructor(
    bytes: Buffer,
    names: readonly string[],
    starts: readonly number[],
    end: number,
    contentLength: number | undefined,
    chunked: boolean,
    connection: string | undefined,
  ) {
    this.#bytes = bytes
    this.#names = names
    this.#starts = starts
    this.end = end
    this.contentLength = contentLength
    this.chunked = chunked
    if (connection === undefined || connection === "keep-alive" || connection === "close") {
      this.close = connection === "close"
      this.keepAlive = connection === "keep-alive"
      this.nominated = NONE
    } else {
      const options = connection.split(",").map((option) => option.trim())
      this.close = options.includes("close")
      this.keepAlive = options.includes("keep-alive")
      this.nominated = options.filter((name) => name !== "" && name !== "close" && name !== "keep-alive")
    }
  }

  /**
   * Keeps a copy of the head where `body` is in one large piece of memory with it: that can then be given back when
   * the body is sent, and does not stay until the collector comes round. False: there is nothing to gain.
   */
  letGoOf(body: Uint8Array): boolean {
    // Its length first: an ArrayBuffer is only made when somebody asks for it, and that is dear.
    if (!isLarge(this.#bytes.length) || body.buffer !== this.#bytes.buffer) return false
    this.#bytes = Buffer.from(this.#bytes.subarray(0, this.end))
    return true
  }

  /** How many lines there are. */
  get size(): number {
    return this.#names.length
  }

  /** How many lines have this name. */
  count(name: string): number {
    let count = 0
    for (const known of this.#names) if (known === name) count++
    return count
  }

  has(name: string): boolean {
    return this.#names.includes(name)
  }

  /** Whether there is one line of this name, with this value: cheaper than to decode it, where it is known. */
  is(name: string, value: string): boolean {
    const names = this.#names
    const line = names.indexOf(name)
    if (line === -1 || names.indexOf(name, line + 1) !== -1) return false
    const bytes = this.#bytes
    const start = this.#valueStart(line)
    if (this.#valueEnd(line) - start !== value.length) return false
    for (let i = 0; i < value.length; i++) if (bytes[start + i] !== value.charCodeAt(i)) return false
    return true
  }

  get(name: string): string | undefined {
    if (name === this.#longName) return this.#long
    const names = this.#names
    let found: string | undefined
    for (let line = 0; line < names.length; line++) {
      if (names[line] !== name) continue
      const value = this.#value(line)
      // A joined cookie is read by the rules of cookies, not of lists (RFC 9113 section 8.2.3).
      found = found === undefined ? value : `${found}${name === "cookie" ? "; " : ", "}${value}`
    }
    if (found !== undefined && found.length > LONG) {
      this.#long = found
      this.#longName = name
    }
    return found
  }

  flat(): readonly string[] {
    if (this.#flat === undefined) {
      // One decoding and slices of it: a decoding for each value costs several times as much.
      const names = this.#names
      const flat: string[] = []
      const start = this.#starts[0] ?? 0
      const text = this.#bytes.latin1Slice(start, this.end)
      for (let line = 0; line < names.length; line++) {
        flat.push(names[line]!, text.slice(this.#valueStart(line) - start, this.#valueEnd(line) - start))
      }
      this.#flat = flat
    }
    return this.#flat
  }

  copy(out: Buffer, at: number, dropped: NameSet): number {
    return this.#copy(out, at, -1, dropped, "")
  }

  /**
   * Copies a request head: the start line, which begins at `start` of the bytes that were scanned, Host, and the lines
   * that `dropped` leaves in.
   */
  copyRequest(out: Buffer, at: number, start: number, dropped: NameSet): number {
    return this.#copy(out, at, start, dropped, "host")
  }

  /** `run`: where what is copied begins, -1: with the first line left in. `kept`: a name that is, whatever `dropped` has. */
  #copy(out: Buffer, at: number, run: number, dropped: NameSet, kept: string): number {
    const names = this.#names
    const starts = this.#starts
    for (let line = 0; line < names.length; line++) {
      const name = names[line]!
      if (name === kept || !dropped.has(name)) {
        if (run < 0) run = starts[line]!
      } else if (run >= 0) {
        at = this.#splice(out, at, run, starts[line]!)
        run = -1
      }
    }
    return run < 0 ? at : this.#splice(out, at, run, this.end - 2)
  }

  #splice(out: Buffer, at: number, start: number, end: number): number {
    if (at + end - start > out.length) throw new RangeError("header section does not fit the buffer")
    return at + this.#bytes.copy(out, at, start, end)
  }

  #value(line: number): string {
    return this.#bytes.latin1Slice(this.#valueStart(line), this.#valueEnd(line))
  }

  // Most values are never asked for: where they are is found out when one is.

  #valueStart(line: number): number {
    return afterBlanks(this.#bytes, this.#starts[line]! + this.#names[line]!.length + 1)
  }

  #valueEnd(line: number): number {
    // Before the CRLF of its line; after the last one comes that of the empty line.
    return beforeBlanks(this.#bytes, (this.#starts[line + 1] ?? this.end - 2) - 2)
  }
}

/** Position of the first byte from `i` on that is no space or tab; a line break ends every line. */
export function afterBlanks(bytes: Buffer, i: number): number {
  while (bytes[i] === 0x20 || bytes[i] === 0x09) i++
  return i
}

/** Position after the last byte before `i` that is no space or tab; a colon begins every value. */
export function beforeBlanks(bytes: Buffer, i: number): number {
  while (bytes[i - 1] === 0x20 || bytes[i - 1] === 0x09) i--
  return i
}

/** The section of an answer that came without fields of its own. */
export const NO_SECTION = new Section(Buffer.alloc(0), [], [], 0, undefined, false, undefined)

import { type ResponseHead, textByte, tokenByte } from "./head.ts"
import type { Section } from "./section.ts"

/**
 * Finds the body's bytes in what the connection delivers. After `decode`, `start` to `end` of the same
 * buffer is body. Bytes are never copied out; the chunked decoder moves them together inside the buffer,
 * so that one read from the socket is one write to the other side however small the chunks are.
 */
export interface BodyDecoder {
  /** Range of body bytes found by the last `decode`. */
  readonly start: number
  readonly end: number
  /** True once the message is complete. */
  readonly done: boolean
  /** Whether the connection's orderly end completes the message. */
  readonly endsWithConnection: boolean
  /**
   * Reads `bytes` from `at` and returns the position after the last byte that belongs to the message: less
   * than `bytes.length` when extra bytes follow. -1: the framing is broken.
   */
  decode(bytes: Uint8Array, at: number): number
}

/** A body of `content-length` bytes (RFC 9112 section 6.2). */
export class LengthDecoder implements BodyDecoder {
  readonly endsWithConnection = false
  start = 0
  end = 0
  #left: number

  constructor(length: number) {
    this.#left = length
  }

  get done(): boolean {
    return this.#left === 0
  }

  decode(bytes: Uint8Array, at: number): number {
    const taken = Math.min(this.#left, bytes.length - at)
    this.#left -= taken
    this.start = at
    this.end = at + taken
    return this.end
  }
}

/** A body that lasts as long as its connection (RFC 9112 section 6.3, rule 8). */
export class CloseDecoder implements BodyDecoder {
  readonly endsWithConnection = true
  readonly done = false
  start = 0
  end = 0

  decode(bytes: Uint8Array, at: number): number {
    this.start = at
    this.end = bytes.length
    return this.end
  }
}

/** Most bytes in a chunk-size line with its extensions, and in all trailers together. */
const MAX_SIZE_LINE = 1024
const MAX_TRAILERS = 8192
/** 12 digits: 256 TB, far below where adding up stops being exact. */
const MAX_SIZE_DIGITS = 12

const CR = 13
const LF = 10
const SEMICOLON = 59
const COLON = 58

const EQUALS = 61
const QUOTE = 34
const BACKSLASH = 92

const SIZE = 0
const SIZE_LF = 1
const DATA = 2
const DATA_CR = 3
const DATA_LF = 4
const TRAILER = 5
const TRAILER_NAME = 6
const TRAILER_VALUE = 7
const TRAILER_LF = 8
const FINAL_LF = 9
const DONE = 10
// From here on: inside an extension.
const NAME_START = 11
const NAME = 12
const VALUE_START = 13
const VALUE = 14
const QUOTED = 15
const ESCAPED = 16
const UNQUOTED = 17

/**
 * The chunked coding (RFC 9112 section 7.1), strictly: sizes of 1 to 12 hex digits with nothing before or
 * after them but an extension of at most 1 KB; CRLF and nothing else ends a line. Extensions and trailers
 * (at most 8 KB) are checked and dropped.
 */
export class ChunkedDecoder implements BodyDecoder {
  readonly endsWithConnection = false
  start = 0
  end = 0
  #state = SIZE
  /** Size of the chunk while its line is read, then what is left of it. */
  #left = 0
  /** Bytes of the size line so far, or of all trailers. */
  #line = 0

  get done(): boolean {
    return this.#state === DONE
  }

  decode(bytes: Uint8Array, at: number): number {
    this.start = at
    this.end = at
    let i = at
    while (i < bytes.length) {
      if (this.#state === DATA) {
        const taken = Math.min(this.#left, bytes.length - i)
        if (this.end === this.start) {
          this.start = i
          this.end = i
        } else bytes.copyWithin(this.end, i, i + taken)
        this.end += taken
        this.#left -= taken
        i += taken
        if (this.#left === 0) this.#state = DATA_CR
        continue
      }
      if (!this.#step(bytes[i]!)) return -1
      i++
      if (this.#state === DONE) break
    }
    return i
  }

  /** Takes one byte of framing; false when it may not stand here. */
  #step(byte: number): boolean {
    switch (this.#state) {
      case SIZE: {
        const digit = hexDigit(byte)
        if (digit >= 0) {
          this.#left = this.#left * 16 + digit
          return ++this.#line <= MAX_SIZE_DIGITS
        }
        if (this.#line === 0) return false
        this.#state = byte === CR ? SIZE_LF : NAME_START
        return byte === CR || byte === SEMICOLON
      }
      case SIZE_LF:
        this.#line = 0
        this.#state = this.#left === 0 ? TRAILER : DATA
        return byte === LF
      case DATA_CR:
        this.#state = DATA_LF
        return byte === CR
      case DATA_LF:
        this.#state = SIZE
        return byte === LF
      default:
        return this.#state >= NAME_START ? this.#extension(byte) : this.#trailer(byte)
    }
  }

  /** `;name`, `;name=token` or `;name="quoted"`, any number of them. */
  #extension(byte: number): boolean {
    if (++this.#line > MAX_SIZE_LINE) return false
    const token = tokenByte(byte) !== 0
    switch (this.#state) {
      case NAME_START:
        this.#state = NAME
        return token
      case VALUE_START:
        this.#state = byte === QUOTE ? QUOTED : VALUE
        return token || byte === QUOTE
      case QUOTED:
        if (byte === QUOTE) this.#state = UNQUOTED
        else if (byte === BACKSLASH) this.#state = ESCAPED
        return textByte(byte)
      case ESCAPED:
        this.#state = QUOTED
        return textByte(byte)
      default:
        if (token) return this.#state !== UNQUOTED
        if (byte === EQUALS && this.#state === NAME) this.#state = VALUE_START
        else if (byte === SEMICOLON) this.#state = NAME_START
        else if (byte === CR) this.#state = SIZE_LF
        else return false
        return true
    }
  }

  #trailer(byte: number): boolean {
    if (++this.#line > MAX_TRAILERS) return false
    switch (this.#state) {
      case TRAILER:
        this.#state = byte === CR ? FINAL_LF : TRAILER_NAME
        return byte === CR || tokenByte(byte) !== 0
      case TRAILER_NAME:
        if (byte === COLON) this.#state = TRAILER_VALUE
        return byte === COLON || tokenByte(byte) !== 0
      case TRAILER_VALUE:
        if (byte === CR) this.#state = TRAILER_LF
        return byte === CR || textByte(byte)
      case TRAILER_LF:
        this.#state = TRAILER
        return byte === LF
      default:
        this.#state = DONE
        return byte === LF
    }
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** How the response to `method` carries its body (RFC 9112 section 6.3); `undefined`: it has none. */
export function bodyDecoder(head: ResponseHead, method: string): BodyDecoder | undefined {
  if (method === "HEAD" || head.status === 204 || head.status === 304) return undefined
  if (head.fields.chunked) return new ChunkedDecoder()
  const length = head.fields.contentLength
  return length === undefined ? new CloseDecoder() : new LengthDecoder(length)
}

/** How a request carries its body; `undefined`: it has none, or an empty one. */
export function requestDecoder({ chunked, contentLength }: Section): BodyDecoder | undefined {
  if (chunked) return new ChunkedDecoder()
  return contentLength === undefined || contentLength === 0 ? undefined : new LengthDecoder(contentLength)
}

/** Ends the data of a chunk. */
export const CHUNK_END = Buffer.from("\r\n")

/** Ends a chunked body, without trailers. */
export const LAST_CHUNK = Buffer.from("0\r\n\r\n")

/**
 * Writes the size line of a chunk of `size` bytes (at least 1: a chunk of 0 would end the body) into `out`
 * at `at`, and returns the position after it.
 */
export function writeChunkSize(out: Buffer, at: number, size: number): number {
  return at + out.latin1Write(`${size.toString(16)}\r\n`, at)
}

import { afterBlanks, beforeBlanks, Section } from "./section.ts"

/** Why bytes are not a head: more are needed, or no more can mend it. */
export type HeadFault = Incomplete | BadHead
export interface Incomplete {
  readonly kind: "incomplete"
}
export interface BadHead {
  readonly kind: "bad"
  /** For the log; says what is wrong, never quotes what was received. */
  readonly reason: string
  /** There is more of it than is read. */
  readonly tooLarge: boolean
}

export const INCOMPLETE: Incomplete = Object.freeze({ kind: "incomplete" })
export const bad = (reason: string, tooLarge = false): BadHead =>
  Object.freeze({ kind: "bad", reason, tooLarge })

const FOLDED = bad("header line folded")
const BAD_NAME = bad("header name missing or with a byte that is not allowed")
const NO_COLON = bad("header name not followed by a colon")
const BAD_VALUE = bad("control byte in a header value")
const BARE_CR = bad("CR without LF")
const TOO_MANY = bad("too many header fields", true)
export const TOO_LARGE = bad("head too large", true)
const BAD_LENGTH = bad("content-length malformed")
const TWO_LENGTHS = bad("more than one content-length")
const BAD_CODING = bad("transfer-encoding other than chunked")
const OLD_CODING = bad("transfer-encoding in HTTP/1.0")
const OLD_INTERIM = bad("interim response in HTTP/1.0")
const BOTH = bad("content-length with transfer-encoding")
const NOT_HTTP = bad("not an HTTP/1.x status line")
const BAD_STATUS = bad("status code outside 100 to 599")
const BAD_PHRASE = bad("control byte in the reason phrase")

const CR = 13
const LF = 10
const SP = 32
const TAB = 9
const COLON = 58
const DEL = 127

/** Token bytes (RFC 9110 section 5.6.2) in lower case; 0 for every other byte. */
const LOWER = new Uint8Array(256)
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
  LOWER[char.charCodeAt(0)] = char.charCodeAt(0)
for (let byte = 65; byte <= 90; byte++) LOWER[byte] = byte + 32

/** 1 for bytes of a field value: HTAB, SP, visible and 8-bit bytes (RFC 9110 section 5.5). */
const TEXT = new Uint8Array(256)
TEXT[TAB] = 1
for (let byte = SP; byte < 256; byte++) if (byte !== DEL) TEXT[byte] = 1

/** Whether the byte may stand in a token; the lower-case form of it, or 0. */
export const tokenByte = (byte: number): number => LOWER[byte]!

/** Whether the byte may stand in a field value. */
export const textByte = (byte: number): boolean => TEXT[byte] === 1

/**
 * Position of the first byte from `i` on that is none of `TEXT`. The longest loop over a head: four bytes a turn, and
 * compared instead of looked up, is more than twice as fast as one.
 */
function endOfText(bytes: Buffer, i: number): number {
  const length = bytes.length
  while (i + 3 < length) {
    const a = bytes[i]!
    const b = bytes[i + 1]!
    const c = bytes[i + 2]!
    const d = bytes[i + 3]!
    // Below zero: one of them is a control byte, maybe a tab.
    if (((a - SP) | (b - SP) | (c - SP) | (d - SP)) < 0) break
    if (a === DEL || b === DEL || c === DEL || d === DEL) break
    i += 4
  }
  while (i < length && TEXT[bytes[i]!] === 1) i++
  return i
}

/** Whether the bytes are this lower-case token, in any case. */
function is(bytes: Buffer, start: number, end: number, token: string): boolean {
  if (token.length !== end - start) return false
  let i = start
  while (i < end && LOWER[bytes[i]!] === token.charCodeAt(i - start)) i++
  return i === end
}

/**
 * Names seen lately, by hash: most heads then need no new string for a name, and comparing two names is
 * comparing two pointers. A slot is overwritten on a clash, so hostile names cost time, never memory.
 */
const SLOTS = 1024
const LONGEST_SEEN = 64
const SEEN: string[] = new Array<string>(SLOTS).fill("")
/** Bytes of the names in `SEEN`: comparing with them is quicker than with the characters of a string. */
const SEEN_BYTES = new Uint8Array(SLOTS * LONGEST_SEEN)

function nameOf(bytes: Buffer, start: number, end: number, hash: number): string {
  const slot = (hash ^ (hash >>> 10)) & (SLOTS - 1)
  const seen = SEEN[slot]!
  const length = end - start
  if (seen.length === length) {
    const at = slot * LONGEST_SEEN
    let i = 0
    while (i < length && LOWER[bytes[start + i]!] === SEEN_BYTES[at + i]) i++
    if (i === length) return seen
  }
  const name = bytes.latin1Slice(start, end).toLowerCase()
  if (length <= LONGEST_SEEN) {
    SEEN[slot] = name
    SEEN_BYTES.set(Buffer.from(name, "latin1"), slot * LONGEST_SEEN)
  }
  return name
}

/**
 * Scans the header section at `at`, up to and with its empty line, for requests and responses alike
 * (RFC 9112 sections 5 and 6). Refused: folded lines, bare CR or LF, NUL and other controls, a name that is
 * no token or not followed at once by its colon, more than `maxFields` lines, a content-length that is not
 * 1 to 15 digits or comes twice, a transfer-encoding other than exactly `chunked`, both together, and a tab
 * beside either.
 */
export function scanSection(bytes: Buffer, at: number, maxFields: number): Section | HeadFault {
  const length = bytes.length
  const names: string[] = []
  const starts: number[] = []
  let contentLength: number | undefined
  let chunked = false
  let connection: string | undefined
  let i = at
  for (;;) {
    if (i >= length) return INCOMPLETE
    if (bytes[i] === CR) {
      if (i + 1 === length) return INCOMPLETE
      if (bytes[i + 1] !== LF) return BARE_CR
      if (chunked && contentLength !== undefined) return BOTH
      return new Section(bytes, names, starts, i + 2, contentLength, chunked, connection)
    }
    if (names.length === maxFields) return TOO_MANY
    const start = i
    let hash = 0
    let low = 0
    while (i < length && (low = LOWER[bytes[i]!]!) !== 0) {
      hash = (Math.imul(hash, 31) + low) | 0
      i++
    }
    if (i === length) return INCOMPLETE
    if (i === start) return bytes[i] === SP || bytes[i] === TAB ? FOLDED : BAD_NAME
    if (bytes[i] !== COLON) return NO_COLON
    const name = nameOf(bytes, start, i, hash)
    const colon = i
    i = endOfText(bytes, i + 1)
    if (i === length) return INCOMPLETE
    if (bytes[i] !== CR) return BAD_VALUE
    if (i + 1 === length) return INCOMPLETE
    if (bytes[i + 1] !== LF) return BARE_CR
    const end = i
    i += 2
    names.push(name)
    starts.push(start)
    if (name === "content-length") {
      if (!untabbed(bytes, start, i)) return BAD_LENGTH
      if (contentLength !== undefined) return TWO_LENGTHS
      contentLength = digits(bytes, afterBlanks(bytes, colon + 1), beforeBlanks(bytes, end))
      if (contentLength === undefined) return BAD_LENGTH
    } else if (name === "transfer-encoding") {
      const valueStart = afterBlanks(bytes, colon + 1)
      if (
        chunked ||
        !untabbed(bytes, start, i) ||
        !is(bytes, valueStart, beforeBlanks(bytes, end), "chunked")
      )
        return BAD_CODING
      chunked = true
    } else if (name === "connection") {
      const valueStart = afterBlanks(bytes, colon + 1)
      const valueEnd = beforeBlanks(bytes, end)
      const value = is(bytes, valueStart, valueEnd, "keep-alive")
        ? "keep-alive"
        : bytes.latin1Slice(valueStart, valueEnd).toLowerCase()
      connection = connection === undefined ? value : `${connection},${value}`
    }
  }
}

/** A tab beside a framing value is legal, but parsers in use disagree on what it means: better refused. */
function untabbed(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === TAB) return false
  return true
}

/** 1 to 15 decimal digits (always a safe integer), else `undefined`. */
function digits(bytes: Buffer, start: number, end: number): number | undefined {
  if (end <= start || end - start > 15) return undefined
  let value = 0
  for (let i = start; i < end; i++) {
    const digit = bytes[i]! - 48
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return value
}

/** A complete response head. */
export interface ResponseHead {
  readonly kind: "complete"
  /** 100 to 599. */
  readonly status: number
  /** Minor version of HTTP/1: 0 or 1. */
  readonly minor: number
  readonly fields: Section
  /** Position of the first byte after the head. */
  readonly headEnd: number
  /** Whether the connection may carry another exchange (RFC 9112 section 9.3). */
  readonly persistent: boolean
}

/** Most lines in one response head; beyond it the head is bad. */
export const MAX_RESPONSE_FIELDS = 512

const START = Buffer.from("HTTP/1.")

/**
 * Parses the response head that starts at `at` (RFC 9112 section 4). `maxBytes` bounds the head with its
 * empty line: a longer one is bad, also before it is complete. What can be refused early is: the first
 * byte that cannot begin a status line is enough.
 */
export function parseResponseHead(bytes: Buffer, maxBytes: number, at = 0): ResponseHead | HeadFault {
  const found = scanResponse(bytes, at)
  if (found.kind === "incomplete") return bytes.length - at > maxBytes ? TOO_LARGE : found
  return found.kind === "complete" && found.headEnd - at > maxBytes ? TOO_LARGE : found
}

function scanResponse(bytes: Buffer, at: number): ResponseHead | HeadFault {
  const length = bytes.length
  for (let k = 0; k < START.length; k++) {
    if (at + k === length) return INCOMPLETE
    if (bytes[at + k] !== START[k]) return NOT_HTTP
  }
  if (at + 12 >= length) return INCOMPLETE
  const minor = bytes[at + 7]! - 48
  if ((minor !== 0 && minor !== 1) || bytes[at + 8] !== SP) return NOT_HTTP
  const status = digits(bytes, at + 9, at + 12)
  if (status === undefined) return NOT_HTTP
  if (status < 100 || status > 599) return BAD_STATUS
  if (status < 200 && minor === 0) return OLD_INTERIM
  let i = at + 12
  // Servers leave out the space before an empty phrase; every client takes that.
  if (bytes[i] !== SP && bytes[i] !== CR) return NOT_HTTP
  while (i < length && TEXT[bytes[i]!] === 1) i++
  if (i + 1 >= length) return i === length || bytes[i] === CR ? INCOMPLETE : BAD_PHRASE
  if (bytes[i] !== CR) return BAD_PHRASE
  if (bytes[i + 1] !== LF) return BARE_CR
  const fields = scanSection(bytes, i + 2, MAX_RESPONSE_FIELDS)
  if (fields.kind !== "complete") return fields
  if (fields.chunked && minor === 0) return OLD_CODING
  const persistent = minor === 1 ? !fields.close : fields.keepAlive && !fields.close
  return { kind: "complete", status, minor, fields, headEnd: fields.end, persistent }
}

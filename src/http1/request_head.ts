import { bad, type HeadFault, INCOMPLETE, scanSection, TOO_LARGE, tokenByte } from "./head.ts"
import type { Section } from "./section.ts"

/** A complete request head of HTTP/1.1. */
export interface RequestHead {
  readonly kind: "complete"
  /** As sent; methods are case-sensitive. */
  readonly method: string
  /** The request target as sent: bytes of a URI, in whatever form (RFC 9112 section 3.2). */
  readonly target: string
  readonly fields: Section
  /** Position of the first byte of the head. */
  readonly start: number
  /** Position of the first byte after the head. */
  readonly headEnd: number
}

/**
 * Of another version than 1.1, or its target has bytes that no URI may have and that clients send all the same: for a
 * reader who knows what to make of it.
 */
export interface NotPlain {
  readonly kind: "not_plain"
}

/** Longest request head with its empty line. As `Bun.serve` has it, so that both doors agree. */
export const MAX_REQUEST_HEAD_BYTES = 16_384

/** Most lines in one request head; beyond it the head is bad. As `Bun.serve` has it, so that both doors agree. */
export const MAX_REQUEST_FIELDS = 198

/** Longest method token; those in use have at most 17 letters. */
const MAX_METHOD = 32

const NOT_PLAIN: NotPlain = Object.freeze({ kind: "not_plain" })
const NO_METHOD = bad("request line does not begin with a method")
const BAD_TARGET = bad("request target missing or with a byte that is not allowed")
const NO_VERSION = bad("request line does not end with an HTTP version")

const SP = 32
const DEL = 127

/** 1 for bytes that may stand in a URI (RFC 3986 section 2), and `|`, `[`, `]` and `#`, which are common or judged later. */
const URI = new Uint8Array(256)
for (const char of "!$&'()*+,-./:;=?@_~%|[]#") URI[char.charCodeAt(0)] = 1
for (const char of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
  URI[char.charCodeAt(0)] = 1

const VERSION = Buffer.from("HTTP/1.1\r\n")

/**
 * Parses the request head that starts at `at` (RFC 9112 sections 3 and 5), strictly: single spaces, no empty line
 * before it, no bytes beyond ASCII in the target. `maxBytes` bounds the head with its empty line: a longer one is
 * bad, also before it is complete. What can be refused early is.
 */
export function parseRequestHead(
  bytes: Buffer,
  maxBytes: number,
  at = 0,
): RequestHead | HeadFault | NotPlain {
  const found = scanRequest(bytes, at)
  if (found.kind === "incomplete") return bytes.length - at > maxBytes ? TOO_LARGE : found
  return found.kind === "complete" && found.headEnd - at > maxBytes ? TOO_LARGE : found
}

function scanRequest(bytes: Buffer, at: number): RequestHead | HeadFault | NotPlain {
  const length = bytes.length
  let i = at
  const methodEnd = Math.min(length, at + MAX_METHOD)
  while (i < methodEnd && tokenByte(bytes[i]!) !== 0) i++
  if (i === length) return INCOMPLETE
  if (i === at || bytes[i] !== SP) return NO_METHOD
  const targetStart = i + 1
  i = targetStart
  let byte = 0
  while (i < length && URI[(byte = bytes[i]!)] === 1) i++
  if (i === length) return INCOMPLETE
  if (byte !== SP || i === targetStart) return byte > SP && byte !== DEL ? NOT_PLAIN : BAD_TARGET
  const targetEnd = i++
  for (let k = 0; k < VERSION.length; k++) {
    if (i + k === length) return INCOMPLETE
    if (bytes[i + k] !== VERSION[k]) return anotherVersion(bytes, i)
  }
  const fields = scanSection(bytes, i + VERSION.length, MAX_REQUEST_FIELDS)
  if (fields.kind !== "complete") return fields
  return {
    kind: "complete",
    method: methodOf(bytes, at, targetStart - 1),
    target: bytes.latin1Slice(targetStart, targetEnd),
    fields,
    start: at,
    headEnd: fields.end,
  }
}

/** The minor version is the only thing that may differ from `HTTP/1.1`. */
function anotherVersion(bytes: Buffer, at: number): HeadFault | NotPlain {
  for (let k = 0; k < VERSION.length; k++) {
    if (at + k === bytes.length) return INCOMPLETE
    const byte = bytes[at + k]!
    const expected = VERSION[k]!
    if (k === 7 ? byte < 48 || byte > 57 : byte !== expected) return NO_VERSION
  }
  return NOT_PLAIN
}

const G = 71
const P = 80

/** The usual ones without a new string. */
function methodOf(bytes: Buffer, start: number, end: number): string {
  if (end - start === 3 && bytes[start] === G && bytes[start + 1] === 69 && bytes[start + 2] === 84)
    return "GET"
  if (
    end - start === 4 &&
    bytes[start] === P &&
    bytes[start + 1] === 79 &&
    bytes[start + 2] === 83 &&
    bytes[start + 3] === 84
  )
    return "POST"
  return bytes.latin1Slice(start, end)
}

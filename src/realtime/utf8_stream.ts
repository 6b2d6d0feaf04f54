import { late } from "../lib/late.ts"

/** State of a text of which nothing has come, or whose last character is complete. */
export const TEXT_START = 0
/** What has come can be no UTF-8, whatever follows. */
export const NOT_UTF8 = -1

/** Characters are looked at in pieces of this size. */
const PIECE_BYTES = 65_536
/** In front of a piece there is room for a character that began before it. */
const AT = 4
const scratch = Buffer.alloc(AT + PIECE_BYTES + 4)
const words = new Int32Array(scratch.buffer, scratch.byteOffset, scratch.length >> 2)
/** Shorter texts are looked through where they are: most have nothing but ASCII. */
const SHORT_BYTES = 256

/**
 * Checks the next bytes of a text, from `start` to `end`, of which no character may be held back. `key`: what they are
 * masked by, the first of them by its lowest byte; 0: they are not. `state`: of the text so far. Returns the state
 * after them; a text may end where that is `TEXT_START`.
 */
export function checkText(bytes: Buffer, start: number, end: number, key: number, state: number): number {
  if (state === TEXT_START && end - start <= SHORT_BYTES && isAscii(bytes, start, end, key)) return TEXT_START
  for (let at = start; at < end && state !== NOT_UTF8; at += PIECE_BYTES)
    state = checkPiece(bytes, at, Math.min(end, at + PIECE_BYTES), key, state)
  return state
}

/** The key for bytes that begin `bytes` after those which `key` is for. */
export function turnKey(key: number, bytes: number): number {
  const bits = (bytes & 3) * 8
  return bits === 0 ? key : (key >>> bits) | (key << (32 - bits))
}

function isAscii(bytes: Buffer, start: number, end: number, key: number): boolean {
  let seen = 0
  if (key === 0) for (let at = start; at < end; at++) seen |= bytes[at]!
  else for (let at = start, bits = 0; at < end; at++, bits += 8) seen |= bytes[at]! ^ (key >>> (bits & 31))
  return (seen & 0x80) === 0
}

/** `state`: bytes of the character that is cut off, the last one lowest, and above them how many there are. */
function checkPiece(bytes: Buffer, start: number, end: number, key: number, state: number): number {
  const cut = state >>> 24
  const stop = AT + bytes.copy(scratch, AT, start, end)
  if (key !== 0) unmask(stop, key)
  for (let i = 1, rest = state; i <= cut; i++, rest >>>= 8) scratch[AT - i] = rest & 0xff
  const open = openAt(AT - cut, stop)
  if (open > AT - cut && !late.buffer.isUtf8(scratch.subarray(AT - cut, open))) return NOT_UTF8
  if (open === stop) return TEXT_START
  if (!mayBegin(scratch[open]!, open + 1 < stop ? scratch[open + 1]! : undefined)) return NOT_UTF8
  let left = 0
  for (let i = open; i < stop; i++) left = (left << 8) | scratch[i]!
  return ((stop - open) << 24) | left
}

/** Whether a character of several bytes may begin so (RFC 3629 section 4); `second`: `undefined` when it has not come. */
function mayBegin(lead: number, second: number | undefined): boolean {
  if (lead < 0xc2 || lead > 0xf4) return false
  if (second === undefined) return true
  if (lead === 0xe0) return second >= 0xa0
  if (lead === 0xed) return second < 0xa0
  if (lead === 0xf0) return second >= 0x90
  return lead !== 0xf4 || second < 0x90
}

/** Also what is behind the end, up to a whole word. */
function unmask(stop: number, key: number): void {
  const last = (stop + 3) >> 2
  for (let i = AT >> 2; i < last; i++) words[i]! ^= key
}

/** Where the character begins that is cut off at `stop`; `stop`: none is. */
function openAt(start: number, stop: number): number {
  const first = Math.max(start, stop - 3)
  for (let at = stop - 1; at >= first; at--) {
    const byte = scratch[at]!
    if (byte < 0x80) return stop
    if (byte < 0xc0) continue
    const length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
    return stop - at < length ? at : stop
  }
  return stop
}

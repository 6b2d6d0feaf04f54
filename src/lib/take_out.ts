/** Up to this many bytes a copy is cheaper than a view, for which the runtime makes an ArrayBuffer of its own. */
const COPIED_BYTES = 1000

/** A part of what was read: a copy, or a view when it is large. Not by `subarray`, which for Buffer costs more than both. */
export function takeOut(bytes: Buffer, start: number, end: number): Uint8Array {
  const length = end - start
  if (length > COPIED_BYTES) return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length)
  const part = new Uint8Array(length)
  bytes.copy(part, 0, start, end)
  return part
}

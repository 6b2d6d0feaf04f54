/** Below this the collector is quick enough, and the call costs more than it saves. */
const MIN_BYTES = 16_384

/** Whether the memory of a buffer of this size is worth giving back. */
export const isLarge = (bytes: number): boolean => bytes >= MIN_BYTES

/**
 * Gives the memory of bytes back that nobody will look at again; they are empty afterwards. Left to the collector,
 * those of a fast stream are a hundred megabytes before it comes round. Parts of a buffer are left alone: the rest of
 * it may be in use.
 */
export function freeBytes(bytes: Uint8Array): void {
  if (bytes.byteOffset === 0 && bytes.buffer.byteLength === bytes.byteLength) freeAround(bytes)
}

/** The same of all the memory these bytes are a part of: nobody may look at any of it again. */
export function freeAround({ buffer }: Uint8Array): void {
  if (isLarge(buffer.byteLength) && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

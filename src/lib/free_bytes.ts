/** Below this the collector is quick enough, and the call costs more than it saves. */
const MIN_BYTES = 16_384

/**
 * Gives the memory of bytes back that nobody will look at again; they are empty afterwards. Left to the collector,
 * those of a fast stream are a hundred megabytes before it comes round. Parts of a buffer are left alone: the rest of
 * it may be in use.
 */
export function freeBytes(bytes: Uint8Array): void {
  if (bytes.byteLength < MIN_BYTES || bytes.byteOffset !== 0) return
  const { buffer } = bytes
  if (buffer.byteLength === bytes.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** Methods of Buffer that the runtime has and its types lack: the quickest way between bytes and latin1 text. */
interface Buffer<TArrayBuffer extends ArrayBufferLike = ArrayBufferLike> {
  /** Same as `toString("latin1", start, end)`. */
  latin1Slice(start?: number, end?: number): string
  /** Same as `write(text, at, "latin1")`: writes what fits and returns how many bytes that were. */
  latin1Write(text: string, at?: number): number
  /** The same two in UTF-8. */
  utf8Write(text: string, at?: number): number
  utf8Slice(start?: number, end?: number): string
}

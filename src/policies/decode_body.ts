import { promisify } from "node:util"
import zlib from "node:zlib"

const DECODERS = new Map([
  ["gzip", promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gunzip)],
  ["x-gzip", promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gunzip)],
  ["deflate", promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflate)],
  ["br", promisify<Uint8Array, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress)],
])

/** Content codings of request bodies the gateway can look into. */
export const DECODABLE = ["gzip", "deflate", "br"]

/** Whether the body is coded in a way the gateway cannot undo, such as twice. */
export function isDecodable(contentEncoding: string | undefined): boolean {
  return isPlain(contentEncoding) || DECODERS.has(contentEncoding!.trim().toLowerCase())
}

/** Whether the body is not coded at all. */
export function isPlain(contentEncoding: string | undefined): boolean {
  return contentEncoding === undefined || /^\s*(?:identity)?\s*$/i.test(contentEncoding)
}

/**
 * Undoes one content coding, off the main thread. Stops at `maxBytes` of result, however little was sent
 * ("too_large"): that is how a compression bomb ends. "malformed": the bytes are not of that coding.
 */
export async function decodeBody(
  bytes: Uint8Array,
  contentEncoding: string,
  maxBytes: number,
): Promise<Uint8Array | "too_large" | "malformed"> {
  const decoder = DECODERS.get(contentEncoding.trim().toLowerCase())
  if (decoder === undefined) return "malformed"
  try {
    return await decoder(bytes, { maxOutputLength: Math.max(1, maxBytes) })
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE" ? "too_large" : "malformed"
  }
}

import { late } from "../lib/late.ts"

const DECODERS: ReadonlyMap<string, "gunzip" | "inflate" | "brotliDecompress"> = new Map([
  ["gzip", "gunzip"],
  ["x-gzip", "gunzip"],
  ["deflate", "inflate"],
  ["br", "brotliDecompress"],
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
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const done = (error: Error | null, decoded: Uint8Array): void =>
      error === null ? resolve(decoded) : reject(error)
    const options = { maxOutputLength: Math.max(1, maxBytes) }
    const { zlib } = late
    if (decoder === "brotliDecompress") zlib.brotliDecompress(bytes, options, done)
    else zlib[decoder](bytes, options, done)
    return await promise
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE" ? "too_large" : "malformed"
  }
}

import type { Body } from "./body.ts"

/**
 * The whole body in one piece; empty for a message without one. "too_large": it has more than `maxBytes`;
 * the rest is not read, and the connection is left to the door, which has yet to answer. "aborted": the
 * sender broke off. Must be the only reader of the body.
 */
export function readBody(body: Body, maxBytes: number): Promise<Uint8Array | "too_large" | "aborted"> {
  if (body === undefined) return Promise.resolve(new Uint8Array(0))
  if (body instanceof Uint8Array) return Promise.resolve(body.byteLength > maxBytes ? "too_large" : body)
  if (body.length !== undefined) {
    if (body.length > maxBytes) return Promise.resolve("too_large")
    if (body.bytes !== undefined) return body.bytes().catch(() => "aborted" as const)
  }
  return new Promise((resolve) => {
    const chunks: Uint8Array[] = []
    let bytes = 0
    body.flow({
      write(chunk) {
        bytes += chunk.byteLength
        if (bytes > maxBytes) {
          chunks.length = 0
          resolve("too_large")
          return false
        }
        chunks.push(chunk)
        return true
      },
      end: () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes)),
      abort: () => resolve("aborted"),
    })
  })
}

import type { Transform } from "node:stream"
import type { BodySink, BodySource } from "../http1/body.ts"
import { late } from "../lib/late.ts"

/** Content codings the gateway writes, the preferred one first. */
export const CODINGS = ["zstd", "br", "gzip", "deflate"] as const
export type Coding = (typeof CODINGS)[number]

const GZIP_LEVEL = 4
/** Below this, zlib at its fastest beats libdeflate's start-up cost. */
const TINY_BYTES = 8192
const brotli = () => {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = late.zlib.constants
  return { [BROTLI_PARAM_QUALITY]: 4, [BROTLI_PARAM_LGWIN]: 19 }
}

/** Encodes a small body at once, on the calling thread: for bodies up to 64 KB, some 0.2 ms. */
export function encode(coding: Coding, body: Uint8Array): Uint8Array {
  switch (coding) {
    case "zstd":
      return Bun.zstdCompressSync(body as Uint8Array<ArrayBuffer>, { level: 3 })
    case "br":
      return late.zlib.brotliCompressSync(body, { params: brotli() })
    case "gzip":
      return body.byteLength < TINY_BYTES
        ? late.zlib.gzipSync(body, { level: 1 })
        : Bun.gzipSync(body as Uint8Array<ArrayBuffer>, { level: 1, library: "libdeflate" })
    case "deflate":
      // HTTP's "deflate" is the zlib format (RFC 9110 section 8.4.1.2); Bun.deflateSync writes the raw one.
      return late.zlib.deflateSync(body, { level: 1 })
  }
}

/** `flushing`: whatever was written can be decoded at once, for bodies made while they are sent. */
function createEncoder(coding: Coding, flushing: boolean): Transform {
  const { zlib } = late
  const C = zlib.constants
  switch (coding) {
    case "zstd":
      return zlib.createZstdCompress({
        params: { [C.ZSTD_c_compressionLevel]: 3 },
        flush: flushing ? C.ZSTD_e_flush : C.ZSTD_e_continue,
      })
    case "br":
      return zlib.createBrotliCompress({
        params: brotli(),
        flush: flushing ? C.BROTLI_OPERATION_FLUSH : C.BROTLI_OPERATION_PROCESS,
      })
    case "gzip":
      return zlib.createGzip({ level: GZIP_LEVEL, flush: flushing ? C.Z_SYNC_FLUSH : C.Z_NO_FLUSH })
    case "deflate":
      return zlib.createDeflate({ level: GZIP_LEVEL, flush: flushing ? C.Z_SYNC_FLUSH : C.Z_NO_FLUSH })
  }
}

/**
 * A body encoded while it flows, off the main thread, with backpressure from the client through the encoder
 * to the sender. A sender that breaks off breaks the encoded body off too: it never looks complete.
 */
export class EncodedSource implements BodySource {
  readonly length = undefined
  readonly #from: Uint8Array | BodySource
  readonly #encoder: Transform
  #over = false

  constructor(coding: Coding, from: Uint8Array | BodySource) {
    this.#from = from
    this.#encoder = createEncoder(coding, !(from instanceof Uint8Array) && from.length === undefined)
  }

  flow(sink: BodySink): void {
    const from = this.#from
    const encoder = this.#encoder
    encoder.on("data", (chunk: Uint8Array) => {
      if (!this.#over && !sink.write(chunk)) encoder.pause()
    })
    encoder.on("end", () => {
      if (this.#over) return
      this.#over = true
      sink.end()
    })
    encoder.on("error", (error) => {
      if (this.#over) return
      this.#stop()
      sink.abort(`encoding the body: ${error.message}`)
    })
    if (from instanceof Uint8Array) {
      encoder.end(from)
      return
    }
    encoder.on("drain", () => {
      if (!this.#over) from.resume()
    })
    from.flow({
      write: (chunk) => !this.#over && encoder.write(chunk),
      end: () => {
        if (!this.#over) encoder.end()
      },
      abort: (reason) => {
        if (this.#over) return
        this.#over = true
        encoder.destroy()
        sink.abort(reason)
      },
    })
  }

  resume(): void {
    if (!this.#over) this.#encoder.resume()
  }

  cancel(): void {
    if (!this.#over) this.#stop()
  }

  #stop(): void {
    this.#over = true
    this.#encoder.destroy()
    if (!(this.#from instanceof Uint8Array)) this.#from.cancel()
  }
}

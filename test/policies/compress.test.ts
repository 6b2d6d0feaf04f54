import { expect, test } from "bun:test"
import zlib from "node:zlib"
import type { Body } from "../../src/http1/body.ts"
import { compress } from "../../src/policies/compress.ts"
import { ChunkSource, collectBody } from "../support/body.ts"
import { makeAnswer, makeExchange } from "../support/exchange.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"

const DECODERS: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  gzip: zlib.gunzipSync,
  deflate: zlib.inflateSync,
  br: zlib.brotliDecompressSync,
  zstd: zlib.zstdDecompressSync,
}
const TEXT = Buffer.from("The quick brown fox jumps over the lazy dog. ".repeat(100))

interface Case {
  accept?: string
  headers?: Record<string, string>
  status?: number
  method?: string
  body?: Body
  options?: object
}

/** Sends one answer through the policy. */
async function send({ accept, headers = {}, status = 200, method = "GET", body = TEXT, options }: Case) {
  const exchange = makeExchange({
    method,
    headers: accept === undefined ? {} : { "accept-encoding": accept },
  })
  exchange.answer = makeAnswer(status, { "content-type": "application/json", ...headers }, body)
  await compilePolicy(compress, options).response!(exchange)
  return {
    exchange,
    body: exchange.answer.body,
    header: (name: string) => exchange.responseHeader(name),
  }
}

/** 6 MB that compress only a little, in chunks of odd sizes. */
function bigChunks(): Uint8Array[] {
  const chunks: Uint8Array[] = []
  let state = 1
  for (let i = 0; i < 97; i++) {
    const chunk = new Uint8Array(60_000 + i * 31)
    for (let j = 0; j < chunk.length; j++) {
      state = (state * 1103515245 + 12345) & 0x7fffffff
      chunk[j] = j % 3 === 0 ? state >> 16 : 97 + (j % 7)
    }
    chunks.push(chunk)
  }
  return chunks
}
const CHUNKS = bigChunks()
const BIG = Buffer.concat(CHUNKS)

for (const [coding, decode] of Object.entries(DECODERS)) {
  test(`[C-1.7] a small answer comes back whole from ${coding}`, async () => {
    const { body, header } = await send({ accept: coding })
    expect(header("content-encoding")).toBe(coding)
    expect(body).toBeInstanceOf(Uint8Array)
    expect(Buffer.from(decode(body as Uint8Array)).equals(TEXT)).toBe(true)
  })

  test(`[C-1.7] a big stream of unknown length comes back whole from ${coding} with a slow client`, async () => {
    const { body } = await send({ accept: coding, body: new ChunkSource(CHUNKS) })
    const { bytes, aborted } = await collectBody(body)
    expect(aborted).toBeUndefined()
    expect(bytes.byteLength).toBeLessThan(BIG.byteLength)
    expect(Buffer.from(decode(bytes)).equals(BIG)).toBe(true)
  })

  test(`[C-1.7] a big complete body comes back whole from ${coding}`, async () => {
    const { body } = await send({ accept: coding, body: new Uint8Array(BIG) })
    expect(body).not.toBeInstanceOf(Uint8Array)
    const { bytes } = await collectBody(body)
    expect(Buffer.from(decode(bytes)).equals(BIG)).toBe(true)
  })

  test(`[C-1.7] what a service has sent of an unfinished ${coding} stream can be read at once`, async () => {
    const source = new ChunkSource([Buffer.from("first line\n")], { abort: "unfinished" })
    const stalled = {
      length: undefined,
      resume() {},
      cancel() {},
      flow: (sink: never) => source.flow(hold(sink)),
    }
    const { body } = await send({ accept: coding, body: stalled as Body })
    const first = await new Promise<Uint8Array>((resolve) => {
      const chunks: Uint8Array[] = []
      ;(body as ChunkSource).flow({
        write(chunk) {
          chunks.push(chunk)
          // The head of a coding may come in a chunk of its own, before the text.
          if (decodePart(coding, Buffer.concat(chunks)) !== "") resolve(Buffer.concat(chunks))
          return true
        },
        end() {},
        abort() {},
      })
    })
    expect(decodePart(coding, first)).toBe("first line\n")
  })
}

/** A sink that never hears of the end. */
function hold(sink: { write(chunk: Uint8Array): boolean }) {
  return { write: (chunk: Uint8Array) => sink.write(chunk), end() {}, abort() {} }
}

function decodePart(coding: string, bytes: Uint8Array): string {
  const C = zlib.constants
  try {
    if (coding === "gzip") return zlib.gunzipSync(bytes, { finishFlush: C.Z_SYNC_FLUSH }).toString()
    if (coding === "deflate") return zlib.inflateSync(bytes, { finishFlush: C.Z_SYNC_FLUSH }).toString()
    if (coding === "br")
      return zlib.brotliDecompressSync(bytes, { finishFlush: C.BROTLI_OPERATION_FLUSH }).toString()
    return zlib.zstdDecompressSync(bytes, { finishFlush: C.ZSTD_e_flush }).toString()
  } catch {
    // Not enough has come to decode anything.
    return ""
  }
}

test("[C-1.7] the client's weights decide, and the gateway's order among equals", async () => {
  expect((await send({ accept: "gzip, deflate, br, zstd" })).header("content-encoding")).toBe("zstd")
  expect((await send({ accept: "gzip;q=1, br;q=0.5" })).header("content-encoding")).toBe("gzip")
  const options = { encodings: ["deflate", "gzip"] }
  expect((await send({ accept: "*", options })).header("content-encoding")).toBe("deflate")
})

test("[C-1.7] a client that accepts no coding gets plain bytes, and caches learn what it depended on", async () => {
  for (const accept of [undefined, "", "identity", "gzip;q=0, br;q=0", "identity, gzip;q=0.1", "snappy"]) {
    const { body, header } = await send(accept === undefined ? {} : { accept })
    expect(body).toBe(TEXT)
    expect(header("content-encoding")).toBeUndefined()
    expect(header("vary")).toBe("Accept-Encoding")
  }
})

test("[C-1.7] Vary keeps what the service put there", async () => {
  expect((await send({ accept: "gzip", headers: { vary: "Origin" } })).header("vary")).toBe(
    "Origin, Accept-Encoding",
  )
  expect((await send({ accept: "gzip", headers: { vary: "accept-encoding" } })).header("vary")).toBe(
    "accept-encoding",
  )
  expect((await send({ accept: "gzip", headers: { vary: "*" } })).header("vary")).toBe("*")
})

test("[C-1.7] a strong ETag becomes weak and ranges are no longer offered", async () => {
  const headers = { etag: '"v1"', "accept-ranges": "bytes", "content-length": String(TEXT.length) }
  const { header } = await send({ accept: "gzip", headers })
  expect(header("etag")).toBe('W/"v1"')
  expect(header("accept-ranges")).toBeUndefined()
  expect(header("content-length")).toBeUndefined()
  expect((await send({ accept: "gzip", headers: { etag: 'W/"v1"' } })).header("etag")).toBe('W/"v1"')
})

test("[C-1.7] what must not be changed is left alone", async () => {
  const cases: Case[] = [
    { headers: { "content-encoding": "br" } },
    { headers: { "cache-control": "public, no-transform" } },
    { headers: { "content-type": "text/event-stream; charset=utf-8" } },
    { headers: { "content-type": "image/png" } },
    { headers: { "content-digest": "sha-256=:x:" } },
    { status: 206 },
    { status: 204 },
    { status: 304 },
    { method: "HEAD" },
    { body: Buffer.alloc(1023, "a") },
  ]
  for (const each of cases) {
    const { exchange, header } = await send({ accept: "gzip", ...each })
    expect(exchange.answer?.body).toBe(each.body ?? TEXT)
    expect(header("content-encoding")).toBe(each.headers?.["content-encoding"])
  }
})

test("[C-1.7] types are matched by family, by suffix and without their parameters", async () => {
  for (const type of ["text/plain; charset=utf-8", "application/vnd.api+json", "image/svg+xml", "TEXT/HTML"])
    expect(
      (await send({ accept: "gzip", headers: { "content-type": type } })).header("content-encoding"),
    ).toBe("gzip")
})

test("a body that grows by compressing is sent as it is", async () => {
  const random = crypto.getRandomValues(new Uint8Array(2000))
  const { body, header } = await send({ accept: "gzip", body: random })
  expect(body).toBe(random)
  expect(header("content-encoding")).toBeUndefined()
})

test("[F-31] a stream cut short by the service never looks complete when compressed", async () => {
  const { body } = await send({
    accept: "gzip",
    body: new ChunkSource(CHUNKS.slice(0, 3), { abort: "reset" }),
  })
  expect((await collectBody(body)).aborted).toBe("reset")
})

test("[C-1.7] a client that leaves stops the service's stream, and nothing more is written", async () => {
  const source = new ChunkSource(CHUNKS)
  const { body } = await send({ accept: "gzip", body: source })
  const stream = body as ChunkSource
  let writes = 0
  await new Promise<void>((resolve) => {
    stream.flow({
      write() {
        writes++
        stream.cancel()
        // Nothing to wait for: this is time for a write that must not come.
        setTimeout(resolve, 20)
        return false
      },
      end: () => expect.unreachable(),
      abort: () => expect.unreachable(),
    })
  })
  expect(source.cancelled).toBe(true)
  expect(writes).toBe(1)
})

test("[C-1.7] a client that does not read holds the service back", async () => {
  const source = new ChunkSource(CHUNKS)
  const { body } = await send({ accept: "gzip", body: source })
  const stream = body as ChunkSource
  await new Promise<void>((resolve) => {
    stream.flow({
      write() {
        // Nothing to wait for: this is time for more to be read, which must not happen.
        setTimeout(resolve, 100)
        return false
      },
      end: () => expect.unreachable(),
      abort: () => expect.unreachable(),
    })
  })
  expect(source.given).toBeLessThan(20)
  stream.cancel()
})

test("a type pattern that can match nothing is a config problem", () => {
  expect(checkPolicy(compress, { types: ["text/*", "*+json", "application/json"] })).toEqual([])
  expect(checkPolicy(compress, { types: ["json"] })).toHaveLength(1)
})

import { bodyLength } from "../http1/body.ts"
import { negotiateEncoding } from "../lib/accept.ts"
import { remember } from "../lib/remember.ts"
import { Type } from "../lib/type.ts"
import { Size } from "../lib/units.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { CODINGS, type Coding, EncodedSource, encode } from "./coding.ts"
import { definePolicy } from "./policy.ts"
import { addVary } from "./vary.ts"

/** Complete bodies up to this size are encoded at once; a task for another thread would cost more. */
const SYNC_BYTES = 65_536
/** Header values whose verdict is kept: services and clients send a handful of different ones. */
const MAX_KNOWN = 256

const DEFAULT_TYPES = [
  "text/*",
  "*+json",
  "*+xml",
  "application/json",
  "application/javascript",
  "application/xml",
  "application/x-ndjson",
  "application/wasm",
  "image/svg+xml",
  "font/ttf",
]
const TYPE_PATTERN = /^(?:\*\+[a-z0-9.-]+|[a-z0-9!#$&^_.+-]+\/(?:\*|[a-z0-9!#$&^_.+-]+))$/

/** Answers once for each content type whether it is worth encoding. */
function compileTypes(patterns: readonly string[]): (contentType: string) => boolean {
  return remember((contentType) => {
    const semicolon = contentType.indexOf(";")
    const essence = (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase()
    // Its events must reach the client one by one, whatever the list says.
    if (essence === "text/event-stream") return false
    return patterns.some((pattern) => {
      if (pattern.startsWith("*")) return essence.endsWith(pattern.slice(1))
      return pattern.endsWith("/*") ? essence.startsWith(pattern.slice(0, -1)) : essence === pattern
    })
  }, MAX_KNOWN)
}

/** Whether another representation may take the place of this one: not of a part, nor of a sealed one. */
function mayTransform(exchange: Exchange): boolean {
  const encoding = exchange.responseHeader("content-encoding")
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") return false
  if (exchange.responseHeader("cache-control")?.toLowerCase().includes("no-transform")) return false
  // RFC 9530: a digest over the bytes as the service wrote them would no longer fit.
  return (
    exchange.responseHeader("content-digest") === undefined &&
    exchange.responseHeader("repr-digest") === undefined
  )
}

function markEncoded(exchange: Exchange, coding: string): void {
  const edits = exchange.responseEdits
  edits.set("content-encoding", coding)
  edits.drop("content-length")
  // Ranges are cut out of the plain bytes: a client must not join them with encoded ones.
  edits.drop("accept-ranges")
  const etag = exchange.responseHeader("etag")
  if (etag?.startsWith('"')) edits.set("etag", `W/${etag}`)
}

export const compress = definePolicy({
  name: "compress",
  doc: "Compresses answers with the best coding the client accepts: zstd, br, gzip or deflate.",
  failsClosed: false,
  schema: Type.Object(
    {
      encodings: Type.Array(Type.Union(CODINGS.map((coding) => Type.Literal(coding))), {
        default: [...CODINGS],
        minItems: 1,
        uniqueItems: true,
        description: "Codings offered; among those a client likes equally, the first one wins.",
      }),
      min_size: Size({
        default: "1KB",
        description: "Smaller bodies are sent as they are. Bodies of unknown length are always compressed.",
      }),
      types: Type.Array(Type.String(), {
        default: DEFAULT_TYPES,
        description: "Media types compressed: `text/*`, `*+json` or exact. Never text/event-stream.",
      }),
    },
    { additionalProperties: false },
  ),
  check(options) {
    return options.types
      .filter((type) => !TYPE_PATTERN.test(type))
      .map((type) => `types: "${type}" is not a media type in lower case, "type/*" or "*+suffix"`)
  },
  compile({ encodings, min_size: minBytes, types }) {
    const isWorthwhile = compileTypes(types)
    const choose = remember<Coding | "identity">(
      (accepted) => negotiateEncoding(accepted, encodings) ?? "identity",
      MAX_KNOWN,
    )
    return {
      response(exchange) {
        const { answer } = exchange
        if (answer === undefined || answer.status === 204 || answer.status === 206) return
        // 304 and HEAD have no body, but say what the answer to GET depends on (RFC 9110 section 15.4.5).
        if (answer.status === 304) return addVary(exchange, "Accept-Encoding")
        const contentType = exchange.responseHeader("content-type")
        if (contentType === undefined || !isWorthwhile(contentType) || !mayTransform(exchange)) return
        addVary(exchange, "Accept-Encoding")

        const { body } = answer
        const length = bodyLength(body)
        if (body === undefined || exchange.method === "HEAD") return
        if (length !== undefined && length < minBytes) return
        const coding = choose(exchange.header("accept-encoding") ?? "")
        if (coding === "identity") return

        if (body instanceof Uint8Array && body.byteLength <= SYNC_BYTES) {
          const encoded = encode(coding, body)
          if (encoded.byteLength >= body.byteLength) return
          exchange.answer = { status: answer.status, fields: answer.fields, body: encoded }
        } else {
          exchange.answer = {
            status: answer.status,
            fields: answer.fields,
            body: new EncodedSource(coding, body),
          }
        }
        markEncoded(exchange, coding)
      },
    }
  },
})

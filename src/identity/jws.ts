import { decodeBase64url } from "../lib/base64url.ts"
import { type JsonObject, parseJsonObject } from "../lib/json_object.ts"
import { type Algorithm, isAlgorithm } from "./algorithms.ts"
import { MAX_KID_LENGTH, type VerifyKey } from "./keys.ts"
import { type TokenFault, tokenFault } from "./token_fault.ts"

/** Longest token, in characters. */
export const MAX_TOKEN_LENGTH = 16 * 1024
const MAX_DEPTH = 16

/** A compact JWS (RFC 7515 section 3.1), taken apart; its signature is not yet checked. */
export interface CompactJws {
  readonly kind: "jws"
  readonly alg: Algorithm
  /** Whatever the sender wrote: only ever a key of a map. `undefined`: the token names no key. */
  readonly kid: string | undefined
  readonly typ: string | undefined
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  /** What is signed: header and payload as they were sent, ASCII. */
  readonly signingInput: string
}

/** A JSON Web Token (RFC 7519). Nothing in it may be trusted before `verifyJws` and `checkClaims`. */
export interface ParsedJws extends CompactJws {
  readonly claims: JsonObject
}

const TOO_LARGE = tokenFault("too_large", "the token is too large")
const NOT_COMPACT = tokenFault("malformed", "the token is not a signed JSON Web Token")
const BAD_HEADER = tokenFault("malformed", "the header of the token cannot be read")
const BAD_PAYLOAD = tokenFault("malformed", "the claims of the token cannot be read")
const BAD_SIGNATURE = tokenFault("malformed", "the signature of the token cannot be read")
const EXTENSION = tokenFault("malformed", "the token uses an extension that is not supported")
const BAD_ALGORITHM = tokenFault("algorithm", "the algorithm of the token is not supported")

/** Takes a token apart: strictly, for what two readers understand differently is a way in. */
export function parseJws(token: string): ParsedJws | TokenFault {
  const jws = parseCompactJws(token)
  if (jws.kind === "fault") return jws
  const claims = parseJsonObject(jws.payload, MAX_DEPTH)
  if (claims === undefined) return BAD_PAYLOAD
  const { alg, kid, typ, payload, signature, signingInput } = jws
  return { kind: "jws", alg, kid, typ, payload, signature, signingInput, claims }
}

/** What matters of a header. */
type Header = Pick<CompactJws, "alg" | "kid" | "typ">

/** All tokens of an issuer have the same few headers; at the cap it starts afresh. */
const headers = new Map<string, Header>()
const MAX_HEADERS = 64
const MAX_REMEMBERED_LENGTH = 256

/**
 * Takes a compact JWS with any payload apart. Keys in the header (`jwk`, `jku`, `x5c`, `x5u`) are never looked
 * at; `crit`, `b64` (RFC 7797) and `zip` change what the rest means and are refused.
 */
export function parseCompactJws(token: string): CompactJws | TokenFault {
  if (token.length > MAX_TOKEN_LENGTH) return TOO_LARGE
  const first = token.indexOf(".")
  const second = token.indexOf(".", first + 1)
  if (first <= 0 || second === -1 || token.indexOf(".", second + 1) !== -1) return NOT_COMPACT
  const encodedHeader = token.slice(0, first)
  const header = headers.get(encodedHeader) ?? parseHeader(encodedHeader)
  if ("kind" in header) return header
  const payload = decodeBase64url(token.slice(first + 1, second))
  if (payload === undefined) return BAD_PAYLOAD
  const signature = decodeBase64url(token.slice(second + 1))
  if (signature === undefined || signature.length === 0) return BAD_SIGNATURE
  const { alg, kid, typ } = header
  return { kind: "jws", alg, kid, typ, payload, signature, signingInput: token.slice(0, second) }
}

function parseHeader(encoded: string): Header | TokenFault {
  const bytes = decodeBase64url(encoded)
  const header = bytes === undefined ? undefined : parseJsonObject(bytes, MAX_DEPTH)
  if (header === undefined) return BAD_HEADER
  const { alg, kid, typ } = header
  if (header.crit !== undefined || header.b64 !== undefined || header.zip !== undefined) return EXTENSION
  if (!isAlgorithm(alg)) return BAD_ALGORITHM
  if (kid !== undefined && (typeof kid !== "string" || kid.length > MAX_KID_LENGTH)) return BAD_HEADER
  if (typ !== undefined && typeof typ !== "string") return BAD_HEADER
  const parsed = { alg, kid, typ }
  if (encoded.length <= MAX_REMEMBERED_LENGTH) {
    if (headers.size >= MAX_HEADERS) headers.clear()
    // A copy: a slice would keep the whole token in memory.
    headers.set(Buffer.from(encoded, "latin1").toString("latin1"), parsed)
  }
  return parsed
}

/** Whether the key signed it: with the key's own algorithm, whatever the token says (RFC 8725 section 3.1). */
export function verifyJws(jws: CompactJws, key: VerifyKey): boolean {
  return jws.alg === key.alg && key.verify(jws.signingInput, jws.signature)
}

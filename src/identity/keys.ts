import type { KeyObject } from "node:crypto"
import type { JWK } from "jose"
import { late } from "../lib/late.ts"
import { ALGORITHMS, type Algorithm, type Sign, type Verify } from "./algorithms.ts"
import type { PlainKey } from "./messages.ts"

/** A key for one algorithm only (RFC 8725 section 3.1). Neither printing nor JSON shows its secret. */
export interface VerifyKey {
  /** `undefined`: it has no name; tokens may name any key or none. */
  readonly kid: string | undefined
  readonly alg: Algorithm
  /** Public, or the secret of an HS algorithm. */
  readonly key: KeyObject
  readonly verify: Verify
}

export interface SigningKey {
  readonly kid: string | undefined
  readonly alg: Algorithm
  /** Private, or the secret of an HS algorithm. */
  readonly key: KeyObject
  readonly sign: Sign
}

/** `sign` is `undefined` for a public key. `message`: what is wrong, as the end of a sentence about the key. */
export type ImportedKey =
  | { readonly ok: true; readonly verify: VerifyKey; readonly sign: SigningKey | undefined }
  | { readonly ok: false; readonly message: string }

/** Longest key id, in characters. */
export const MAX_KID_LENGTH = 256
/** Fewer different bytes than this in a secret are no secret. */
const MIN_DISTINCT_BYTES = 8
/** Texts of examples and defaults that were meant to be replaced. */
const PLACEHOLDER = /change.?(?:me|this|it|in.?prod)|your.{0,12}secret|replace.?(?:me|this)/i

const refused = (message: string) => ({ ok: false, message }) as const

export function verifyKey(key: KeyObject, alg: Algorithm, kid: string | undefined): VerifyKey {
  return { kid, alg, key, verify: ALGORITHMS[alg].verifier(key) }
}

function keyPair(key: KeyObject, alg: Algorithm, kid: string | undefined): ImportedKey {
  const secret = key.type === "secret"
  const open = key.type === "private" ? late.crypto.createPublicKey(key) : key
  const unfit = ALGORITHMS[alg].unfit(open)
  if (unfit !== undefined) return refused(`${unfit}, which ${alg} needs`)
  const name = kid ?? (secret ? undefined : thumbprint(open))
  const sign = key.type === "public" ? undefined : { kid: name, alg, key, sign: ALGORITHMS[alg].signer(key) }
  return { ok: true, verify: verifyKey(open, alg, name), sign }
}

/**
 * The secret of an HS algorithm; text counts as UTF-8. Refused: shorter than the hash (RFC 7518 section 3.2),
 * without variety, a known placeholder, or a key in PEM, which is meant for another algorithm.
 */
export function importSecret(
  secret: string | Uint8Array,
  alg: Algorithm,
  kid: string | undefined,
): ImportedKey {
  if (ALGORITHMS[alg].kty !== "oct") return refused(`is a secret; ${alg} needs a PEM key`)
  const bytes = Buffer.from(secret)
  if (typeof secret === "string") {
    if (secret.trim() === "") return refused("is blank")
    if (secret.includes("-----BEGIN ")) return refused(`is a PEM key; ${alg} needs a secret`)
    if (PLACEHOLDER.test(secret)) return refused("is a placeholder that everybody knows")
  }
  const key = late.crypto.createSecretKey(bytes)
  if (ALGORITHMS[alg].unfit(key) === undefined && new Set(bytes).size < MIN_DISTINCT_BYTES)
    return refused("repeats a few characters: it can be guessed")
  return keyPair(key, alg, kid)
}

/** A private key (PKCS #8, PKCS #1, SEC 1) or a public one (SPKI, PKCS #1). Without `kid` it is the thumbprint. */
export function importPem(pem: string, alg: Algorithm, kid: string | undefined): ImportedKey {
  if (ALGORITHMS[alg].kty === "oct") return refused(`is a PEM key; ${alg} needs a secret`)
  const create = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)
    ? late.crypto.createPrivateKey
    : late.crypto.createPublicKey
  let key: KeyObject
  try {
    key = create(pem)
  } catch {
    // The library's message tells nothing an operator could use.
    return refused("is not a key in PEM, or one of a kind that is not supported, or needs a passphrase")
  }
  return keyPair(key, alg, kid)
}

/** A key as plain data that can be posted to a thread: with its secret if it has one. */
export function toPlain(key: VerifyKey | SigningKey): PlainKey {
  return { kid: key.kid, alg: key.alg, jwk: key.key.export({ format: "jwk" }) as JWK }
}

/** What `toPlain` took apart. Throws on anything else: it was checked when it was first imported. */
export function fromPlain(plain: PlainKey): {
  readonly verify: VerifyKey
  readonly sign: SigningKey | undefined
} {
  const { jwk, alg, kid } = plain
  const imported = keyPair(keyOfJwk(jwk), alg, kid)
  if (!imported.ok) throw new Error(`key of another thread: ${imported.message}`)
  return imported
}

function keyOfJwk(jwk: JWK): KeyObject {
  if (jwk.kty === "oct") return late.crypto.createSecretKey(Buffer.from(jwk.k ?? "", "base64url"))
  const key = jwk as JsonWebKey
  return jwk.d === undefined
    ? late.crypto.createPublicKey({ key, format: "jwk" })
    : late.crypto.createPrivateKey({ key, format: "jwk" })
}

/** RFC 7638 thumbprint of a public key: SHA-256 of its members in one spelling, as base64url. */
export function thumbprint(key: KeyObject): string {
  const { crv, e, kty, n, x, y } = key.export({ format: "jwk" })
  // The order is that of the RFC, and members the kind of key does not have are left out.
  return late.crypto.createHash("sha256").update(JSON.stringify({ crv, e, kty, n, x, y })).digest("base64url")
}

/** A JSON Web Key Set (RFC 7517 section 5) to publish: public parts only, never a secret; each key id once. */
export function publicJwks(keys: readonly VerifyKey[]): { readonly keys: readonly JWK[] } {
  const published = new Map<string, JWK>()
  for (const { key, alg, kid } of keys) {
    if (key.type !== "public") continue
    const name = kid ?? thumbprint(key)
    published.set(name, { ...(key.export({ format: "jwk" }) as JWK), kid: name, alg, use: "sig" })
  }
  return { keys: [...published.values()] }
}

/** A new private key in PEM (PKCS #8), or for an HS algorithm a secret of as many random bytes as its hash has. */
export function generateKey(alg: Algorithm): string {
  const { kty, crv } = ALGORITHMS[alg]
  const pem = (key: KeyObject) => key.export({ type: "pkcs8", format: "pem" }).toString()
  switch (kty) {
    case "oct":
      return late.crypto.randomBytes(Number(alg.slice(2)) / 8).toString("base64url")
    case "RSA":
      return pem(late.crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey)
    case "EC":
      return pem(late.crypto.generateKeyPairSync("ec", { namedCurve: crv! }).privateKey)
    case "OKP":
      return pem(late.crypto.generateKeyPairSync("ed25519").privateKey)
  }
}

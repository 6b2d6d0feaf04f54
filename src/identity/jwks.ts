import type { KeyObject } from "node:crypto"
import { late } from "../lib/late.ts"
import { ALGORITHMS, type Algorithm } from "./algorithms.ts"
import { MAX_KID_LENGTH, type VerifyKey, verifyKey } from "./keys.ts"

/** Keys of a set beyond this are not looked at. */
export const MAX_JWKS_KEYS = 100

export interface SkippedKey {
  /** Place in the set. */
  readonly index: number
  readonly reason: string
}

/** What a fetched document holds. `message`: why it is not a key set at all, as the end of a sentence. */
export type ImportedJwks =
  | { readonly ok: true; readonly keys: readonly VerifyKey[]; readonly skipped: readonly SkippedKey[] }
  | { readonly ok: false; readonly message: string }

/** A key that names no algorithm becomes one key for each of the allowed ones it fits. */
export type ImportedJwk =
  | { readonly ok: true; readonly keys: readonly VerifyKey[] }
  | { readonly ok: false; readonly reason: string }

type Fields = Readonly<Record<string, unknown>>

const refused = (reason: string) => ({ ok: false, reason }) as const
const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A public key of somebody else's set (RFC 7517). Secrets are refused there: everybody could sign with them. */
export function importJwk(jwk: unknown, allowed: readonly Algorithm[]): ImportedJwk {
  if (!isObject(jwk)) return refused("is not an object")
  const { kty, use, key_ops: operations, alg, kid } = jwk
  if (kty === "oct") return refused("is a secret, which a public key set must not hold")
  if (typeof jwk.d === "string") return refused("is a private key, which is no longer private")
  if (kty !== "RSA" && kty !== "EC" && kty !== "OKP") return refused("has an unknown kty")
  if (use !== undefined && use !== "sig") return refused("is not for signatures")
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify")))
    return refused("is not for verification")
  if (kid !== undefined && (typeof kid !== "string" || kid.length > MAX_KID_LENGTH))
    return refused(`has a kid that is not text of at most ${MAX_KID_LENGTH} characters`)
  const named = alg === undefined ? allowed : allowed.filter((name) => name === alg)
  if (named.length === 0) return refused("is for an algorithm that is not allowed")
  const candidates = named.filter((name) => ALGORITHMS[name].kty === kty)
  if (candidates.length === 0) return refused("is of a kind no allowed algorithm uses")
  const key = publicKey(jwk)
  if (key === undefined) return refused("cannot be read")
  const fit = candidates.filter((name) => ALGORITHMS[name].unfit(key) === undefined)
  if (fit.length === 0) return refused(ALGORITHMS[candidates[0]!].unfit(key)!)
  return { ok: true, keys: fit.map((name) => verifyKey(key, name, kid)) }
}

/** Only the members that make the public key are handed to the library. */
function publicKey({ kty, n, e, crv, x, y }: Fields): KeyObject | undefined {
  const members = kty === "RSA" ? { kty, n, e } : kty === "EC" ? { kty, crv, x, y } : { kty, crv, x }
  for (const member of Object.values(members)) if (typeof member !== "string") return undefined
  try {
    return late.crypto.createPublicKey({ key: members as { kty: string }, format: "jwk" })
  } catch {
    // Not a point of the curve, an unknown curve, no number: all the same to the caller.
    return undefined
  }
}

/** A JSON Web Key Set (RFC 7517 section 5) as it was fetched: keys that cannot be used are left out, not errors. */
export function importJwks(document: unknown, allowed: readonly Algorithm[]): ImportedJwks {
  if (!isObject(document) || !Array.isArray(document.keys))
    return { ok: false, message: "is not a JSON Web Key Set: it has no list `keys`" }
  const keys: VerifyKey[] = []
  const skipped: SkippedKey[] = []
  for (const [index, jwk] of document.keys.entries()) {
    if (index === MAX_JWKS_KEYS) {
      skipped.push({ index, reason: `this and the following are beyond ${MAX_JWKS_KEYS} keys` })
      break
    }
    const imported = importJwk(jwk, allowed)
    if (imported.ok) keys.push(...imported.keys)
    else skipped.push({ index, reason: imported.reason })
  }
  return { ok: true, keys, skipped }
}

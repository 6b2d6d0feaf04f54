import { createPublicKey } from "node:crypto"
import { toAccessClaims } from "../src/identity/access_claims.ts"
import { generateKey, importPem, importSecret, type SigningKey } from "../src/identity/keys.ts"
import { signJwt } from "../src/identity/sign.ts"
import { makePrincipal } from "../test/support/principal.ts"

const USERS = 200
const LIFE_MS = 6 * 3_600_000
const SECRET = "bench-secret-0123456789-abcdefghijklmnop"

export const ISSUER = "gatehouse"
export const AUDIENCE = "api"

/** Callers of the whole job. */
export interface Tokens {
  readonly algorithm: "HS256" | "RS256"
  /** What verifies them: the secret, or the public key in PEM. */
  readonly verifyKey: string
  /** One token a user, by turns asked with. */
  readonly valid: readonly string[]
  /** Tokens that must be refused, by what is wrong with them. */
  readonly wrong: Readonly<Record<string, string>>
}

/** New tokens of 200 users, as Gatehouse issues them (RFC 9068), and some that are wrong in one thing each. */
export function createTokens(algorithm: Tokens["algorithm"]): Tokens {
  const text = algorithm === "HS256" ? SECRET : generateKey(algorithm)
  const key = signingKey(text, algorithm)
  const other = signingKey(algorithm === "HS256" ? `${SECRET}-other` : generateKey(algorithm), algorithm)
  const verifyKey =
    algorithm === "HS256" ? text : createPublicKey(text).export({ type: "spki", format: "pem" }).toString()
  const token = (
    user: string,
    by: SigningKey,
    changes: { issuer?: string; audience?: string } = {},
    at = Date.now(),
  ) => {
    const grant = { issuer: ISSUER, audience: AUDIENCE, issuedAt: at, expiresAt: at + LIFE_MS, ...changes }
    return signJwt(toAccessClaims(makePrincipal({ id: user, tokenId: `token-${user}` }), grant), by, "at+jwt")
  }
  return {
    algorithm,
    verifyKey,
    valid: Array.from({ length: USERS }, (_, i) => token(`user_${1000 + i}`, key)),
    wrong: {
      "signed by another key": token("mallory", other),
      expired: token("mallory", key, {}, Date.now() - 2 * LIFE_MS),
      "of another issuer": token("mallory", key, { issuer: "elsewhere" }),
      "for another audience": token("mallory", key, { audience: "elsewhere" }),
    },
  }
}

function signingKey(text: string, algorithm: Tokens["algorithm"]): SigningKey {
  const imported =
    algorithm === "HS256" ? importSecret(text, algorithm, undefined) : importPem(text, algorithm, undefined)
  if (!imported.ok || imported.sign === undefined) throw new Error(`no ${algorithm} key of its own`)
  return imported.sign
}

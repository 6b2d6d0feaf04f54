import { toAccessClaims } from "../../src/identity/access_claims.ts"
import { importSecret, type SigningKey } from "../../src/identity/keys.ts"
import type { Principal } from "../../src/identity/principal.ts"
import { signJwt } from "../../src/identity/sign.ts"
import { SECRET } from "./authenticator.ts"
import { makePrincipal } from "./principal.ts"

function signingKey(): SigningKey {
  const imported = importSecret(SECRET, "HS256", undefined)
  if (!imported.ok || imported.sign === undefined) throw new Error("no signing key")
  return imported.sign
}
const key = signingKey()

/** An access token of this caller, as a gateway with `auth: { secret: SECRET }` issues it; it lasts a minute. */
export function accessToken(changes: Partial<Principal> = {}): string {
  const at = Date.now()
  const grant = { issuer: "gatehouse", audience: "api", issuedAt: at, expiresAt: at + 60_000 }
  return signJwt(toAccessClaims(makePrincipal({ tokenId: "t-1", ...changes }), grant), key, "at+jwt")
}

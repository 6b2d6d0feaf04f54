import { ACCESS_TOKEN_TYPE, type AccessSubject, toAccessClaims } from "./access_claims.ts"
import type { IdentityContext } from "./context.ts"
import { compileGrants } from "./roles.ts"
import { signJwt } from "./sign.ts"
import type { User } from "./users.ts"

export interface AccessToken {
  readonly token: string
  /** `jti`. */
  readonly id: string
  readonly expiresInS: number
  /** Scopes it carries, separated by spaces. */
  readonly scope: string
}

const ID_BYTES = 16

/** Signs a JWT of `auth.access_token_ttl` (RFC 9068). Throws `Error` when no key of the config can sign. */
export function issueAccessToken(
  { settings, keys, wallClock, randomBytes }: IdentityContext,
  subject: Omit<AccessSubject, "tokenId">,
): AccessToken {
  const { sign } = keys()
  if (sign === undefined) throw new Error("issuing a token: no key of `auth` can sign")
  const { issuer, audience, access_token_ttl } = settings()
  const id = Buffer.from(randomBytes(ID_BYTES)).toString("base64url")
  const issuedAt = wallClock()
  const grant = { issuer, audience, issuedAt, expiresAt: issuedAt + access_token_ttl }
  const token = signJwt(toAccessClaims({ ...subject, tokenId: id }, grant), sign, ACCESS_TOKEN_TYPE)
  return { token, id, expiresInS: Math.floor(access_token_ttl / 1000), scope: subject.scopes.join(" ") }
}

/** A person as tokens tell of one: with the roles of now, and of their scopes those asked for; "" asks for all. */
export function subjectOf(
  { settings }: Pick<IdentityContext, "settings">,
  user: User,
  { sessionId, scope }: { readonly sessionId: string; readonly scope: string },
): Omit<AccessSubject, "tokenId"> {
  return {
    id: user.id,
    kind: "user",
    roles: user.roles,
    scopes: narrowScopes(compileGrants(settings())(user.roles).scopes, scope),
    tier: user.tier,
    sessionId,
    parentId: user.parentId ?? "",
    ageLimit: user.ageLimit,
    blockedContent: user.blockedContent,
  }
}

/** Of the scopes granted those asked for (RFC 6749 section 3.3); "" asks for all. */
export function narrowScopes(granted: readonly string[], asked: string): readonly string[] {
  if (asked === "") return granted
  const wanted = new Set(asked.split(" "))
  return granted.filter((scope) => wanted.has(scope))
}

/** Whether every scope asked for is granted. */
export function scopesGranted(granted: readonly string[], asked: string): boolean {
  return asked === "" || asked.split(" ").every((scope) => granted.includes(scope))
}

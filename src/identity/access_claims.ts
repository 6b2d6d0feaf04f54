import type { JsonObject } from "../lib/json_object.ts"
import { late } from "../lib/late.ts"
import type { Principal } from "./principal.ts"
import type { Grants } from "./roles.ts"
import type { AuthSettings } from "./settings.ts"
import { type TokenFault, tokenFault } from "./token_fault.ts"

/** `typ` of an access token the gateway issues (RFC 9068). */
export const ACCESS_TOKEN_TYPE = "at+jwt"

/** Whom an access token is for. A principal is one; `tokenId` becomes `jti`. */
export type AccessSubject = Pick<
  Principal,
  | "id"
  | "kind"
  | "roles"
  | "scopes"
  | "tier"
  | "sessionId"
  | "tokenId"
  | "parentId"
  | "ageLimit"
  | "blockedContent"
>

/** Where an access token holds, and how long. */
export interface AccessGrant {
  readonly issuer: string
  readonly audience: string
  /** Wall clock in ms; rounded down to seconds. */
  readonly issuedAt: number
  readonly expiresAt: number
}

/** Claims of an access token of the gateway itself; `principalFromClaims` reads them. What is empty is left out. */
export function toAccessClaims(subject: AccessSubject, grant: AccessGrant): JsonObject {
  const { id, kind, roles, scopes, tier, sessionId, tokenId, parentId, ageLimit, blockedContent } = subject
  return {
    iss: grant.issuer,
    aud: grant.audience,
    sub: id,
    iat: Math.floor(grant.issuedAt / 1000),
    exp: Math.floor(grant.expiresAt / 1000),
    jti: tokenId,
    ...(sessionId !== "" && { sid: sessionId }),
    ...(kind === "service" && { kind }),
    ...(roles.length > 0 && { roles }),
    ...(scopes.length > 0 && { scope: scopes.join(" ") }),
    tier,
    ...(parentId !== "" && { parent: parentId }),
    ...(ageLimit !== undefined && { age_limit: ageLimit }),
    ...(blockedContent.length > 0 && { blocked: blockedContent }),
  }
}

/** How claims of one issuer become a principal. */
export interface ClaimMapping {
  /** Whether the gateway issued it: only then sign-in, parent, age and content are taken from it. */
  readonly own: boolean
  readonly names: AuthSettings["issuers"][number]["claims"]
  /** Put before the id. */
  readonly idPrefix: string
  readonly grants: Grants
  /** The first stands for a tier that is not one of these. */
  readonly tiers: readonly string[]
  /** How long past `exp` the token is taken. */
  readonly leewayMs: number
}

/** Names of the claims in the gateway's own tokens. */
export const OWN_CLAIM_NAMES: ClaimMapping["names"] = Object.freeze({
  id: "sub",
  roles: "roles",
  scopes: "scope",
  tier: "tier",
})

const MAX_ID_LENGTH = 256
const MAX_ITEMS = 256
const MAX_ITEM_LENGTH = 256
/** Would end a header or a line of the log, or is none of Unicode's characters. */
const UNFIT_ID = /[\p{Cc}\p{Cs}]/u
/** Lists travel in one header: an item with a comma would be read as two. */
const UNFIT_ROLE = /[\p{Cc}\p{Cs},]/u
/** RFC 6749 section 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const NONE: readonly string[] = Object.freeze([])

const NO_ID = tokenFault("claims", "the claim with the id of the caller is missing or unfit")
const BAD_AGE = tokenFault("claims", "the age limit of the token cannot be read")

/** Who is calling by the claims of a verified and checked token (claims.ts). Unfit roles and scopes are left out. */
export function principalFromClaims(claims: JsonObject, mapping: ClaimMapping): Principal | TokenFault {
  const { own, names, grants } = mapping
  const id = claimOf(claims, names.id)
  if (!isId(id)) return NO_ID
  // An age limit that cannot be read must not become no limit.
  const ageLimit = own ? claims.age_limit : undefined
  if (ageLimit !== undefined && !Number.isInteger(ageLimit)) return BAD_AGE
  const { roles, permissions } = grants(itemsOf(claimOf(claims, names.roles)).filter(isRole))
  const scopes = claimOf(claims, names.scopes) ?? (names.scopes === "scope" ? claims.scp : undefined)
  return {
    id: mapping.idPrefix + id,
    kind: own && claims.kind === "service" ? "service" : "user",
    method: "jwt",
    issuer: claims.iss as string,
    roles,
    scopes: itemsOf(scopes).filter(isScope),
    permissions,
    tier: tierOf(claimOf(claims, names.tier), mapping.tiers),
    sessionId: own && typeof claims.sid === "string" ? claims.sid : "",
    tokenId: typeof claims.jti !== "string" ? "" : own ? claims.jti : foreignTokenId(claims),
    expiresAt: (claims.exp as number) * 1000 + mapping.leewayMs,
    parentId: own && typeof claims.parent === "string" ? claims.parent : "",
    ageLimit: ageLimit as number | undefined,
    blockedContent: own ? itemsOf(claims.blocked) : NONE,
    claims,
  }
}

/**
 * What stands for the id of a token of another issuer: two issuers may give the same id, and none of them knows how
 * long an id may be here. What comes before the dot is the same for all tokens of one subject.
 */
function foreignTokenId({ iss, sub, jti }: JsonObject): string {
  return `${shortHash(iss, typeof sub === "string" ? sub : "")}.${shortHash(iss, jti)}`
}

/** 132 bits of it. */
const shortHash = (...parts: readonly unknown[]): string =>
  late.crypto.createHash("sha256").update(JSON.stringify(parts)).digest("base64url").slice(0, 22)

/** One of the tiers; the first for anything else. */
export function tierOf(tier: unknown, tiers: readonly string[]): string {
  return typeof tier === "string" && tiers.includes(tier) ? tier : tiers[0]!
}

/** A claim by its whole name ("https://acme.example/roles"), else by its dots as a path ("realm_access.roles"). */
function claimOf(claims: JsonObject, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  if (!name.includes(".")) return undefined
  let value: unknown = claims
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as JsonObject)[part]
  }
  return value
}

const isId = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && value.length <= MAX_ID_LENGTH && !UNFIT_ID.test(value)

const isRole = (role: string): boolean => !UNFIT_ROLE.test(role)
const isScope = (scope: string): boolean => SCOPE.test(scope)

/** A list of texts, or one text of them with spaces between; anything else is none. */
function itemsOf(value: unknown): readonly string[] {
  const items = typeof value === "string" ? value.split(" ") : Array.isArray(value) ? value : NONE
  return items
    .slice(0, MAX_ITEMS)
    .filter(
      (item): item is string => typeof item === "string" && item !== "" && item.length <= MAX_ITEM_LENGTH,
    )
}

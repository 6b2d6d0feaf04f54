import type { CompactJws, ParsedJws } from "./jws.ts"
import { type TokenFault, tokenFault } from "./token_fault.ts"

/** What the claims of one issuer's tokens must be. */
export interface ClaimRules {
  /** `iss`, exactly. */
  readonly issuer: string
  /** The token must be for one of these. `undefined`: only tokens without `aud` (RFC 7519 section 4.1.3). */
  readonly audience: string | readonly string[] | undefined
  /** Accepted `typ` in lower case without "application/", such as "at+jwt"; "" stands for none at all. */
  readonly types: readonly string[]
  /** Allowance for clocks that differ, in seconds, 0 to 60. */
  readonly leewayS: number
  /** Oldest `iat`, in seconds; it is required then. `undefined`: `exp` alone decides. */
  readonly maxAgeS?: number
  /** Claims that must be there, besides `exp` and `iss`. */
  readonly require: readonly string[]
}

const MAX_ID_LENGTH = 256
/** End of the year 9999: a later date is a mistake or an attempt, and no date elsewhere. */
const MAX_DATE_S = 253_402_300_799

const WRONG_TYPE = tokenFault("type", "the token is of another type")
const WRONG_ISSUER = tokenFault("issuer", "the token is not of an issuer that is accepted")
const WRONG_AUDIENCE = tokenFault("audience", "the token is for another audience")
const EXPIRED = tokenFault("expired", "the token has expired")
const TOO_OLD = tokenFault("expired", "the token is too old")
const NOT_YET_VALID = tokenFault("not_yet_valid", "the token is not yet valid")
const FROM_THE_FUTURE = tokenFault("not_yet_valid", "the token was issued in the future")
const BAD_DATE = tokenFault("claims", "exp, nbf and iat must be numbers of seconds, and exp must be there")
const BAD_ID = tokenFault("claims", "sub and jti must be text of 1 to 256 characters")
const MISSING = tokenFault("claims", "a required claim is missing")

/**
 * Checks `typ` and claims of a token whose signature was verified (RFC 8725 sections 3.8 to 3.11). `nowS`:
 * wall clock in seconds. `undefined`: all is well.
 */
export function checkClaims(
  { typ, claims }: Pick<ParsedJws, "typ" | "claims">,
  rules: ClaimRules,
  nowS: number,
): TokenFault | undefined {
  if (!isAcceptedType(typ, rules.types)) return WRONG_TYPE
  if (claims.iss !== rules.issuer) return WRONG_ISSUER
  const { exp, nbf, iat } = claims
  if (!isDate(exp) || !(nbf === undefined || isDate(nbf)) || !(iat === undefined || isDate(iat)))
    return BAD_DATE
  if (!isFor(claims.aud, rules.audience)) return WRONG_AUDIENCE
  if (exp <= nowS - rules.leewayS) return EXPIRED
  if (nbf !== undefined && nbf > nowS + rules.leewayS) return NOT_YET_VALID
  if (iat !== undefined && iat > nowS + rules.leewayS) return FROM_THE_FUTURE
  if (rules.maxAgeS !== undefined) {
    if (iat === undefined) return MISSING
    if (iat < nowS - rules.leewayS - rules.maxAgeS) return TOO_OLD
  }
  if (!isId(claims.sub) || !isId(claims.jti)) return BAD_ID
  for (const name of rules.require) if (!Object.hasOwn(claims, name) || claims[name] === null) return MISSING
  return undefined
}

function isAcceptedType(typ: CompactJws["typ"], accepted: readonly string[]): boolean {
  if (typ === undefined) return accepted.includes("")
  // In the usual spelling it needs no more.
  if (typ !== "" && accepted.includes(typ)) return true
  const lower = typ.toLowerCase()
  const bare = lower.startsWith("application/") ? lower.slice(12) : lower
  return bare !== "" && accepted.includes(bare)
}

/** Negative dates are before 1970: no token is that old. */
const isDate = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= MAX_DATE_S

const isId = (value: unknown): boolean =>
  value === undefined || (typeof value === "string" && value !== "" && value.length <= MAX_ID_LENGTH)

function isFor(aud: unknown, audience: ClaimRules["audience"]): boolean {
  if (audience === undefined) return aud === undefined
  if (typeof aud === "string") return isOneOf(aud, audience)
  if (!Array.isArray(aud)) return false
  let found = false
  for (const one of aud) {
    if (typeof one !== "string") return false
    found ||= isOneOf(one, audience)
  }
  return found
}

const isOneOf = (aud: string, audience: string | readonly string[]): boolean =>
  typeof audience === "string" ? aud === audience : audience.includes(aud)

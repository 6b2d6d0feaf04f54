/** Why a token is refused: a closed list, for metrics. */
export const TOKEN_FAULT_REASONS = [
  /** Not a compact JWS with a header and claims that can be read, or with an extension that is not supported. */
  "malformed",
  "too_large",
  /** Not an algorithm that is supported, or not the one of the key it names. */
  "algorithm",
  /** No key with this id or for this algorithm; perhaps the keys were rotated. */
  "unknown_key",
  "signature",
  "expired",
  "not_yet_valid",
  "issuer",
  "audience",
  /** `typ`: a token made for another use. */
  "type",
  /** A claim is missing or not of its kind. */
  "claims",
  "revoked",
  /** An API key or session that was never there, or no longer is. */
  "unknown",
  /** Shown from an address it may not be used from. */
  "address",
] as const
export type TokenFaultReason = (typeof TOKEN_FAULT_REASONS)[number]

export interface TokenFault {
  readonly kind: "fault"
  readonly reason: TokenFaultReason
  /**
   * For people, and fit for `error_description` of WWW-Authenticate (RFC 6750 section 3): ASCII without quotes
   * and backslashes, at most 128 characters, nothing out of the token.
   */
  readonly message: string
}

/** A fault to be made once and returned often. */
export function tokenFault(reason: TokenFaultReason, message: string): TokenFault {
  return Object.freeze({ kind: "fault", reason, message })
}

import type { AuthenticationResult } from "../observe/catalogue.ts"

/** Why a token, or another proof, is refused: what the metric of authentications tells apart. */
export type TokenFaultReason = Exclude<AuthenticationResult, "ok" | "unavailable">

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

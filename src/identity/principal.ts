/** How a caller proved who it is. */
export type AuthMethod = "jwt" | "session" | "api_key" | "certificate"

/** Who is calling, as far as it was proved. Immutable plain data: cached by the workers and posted between threads. */
export interface Principal {
  /** User id, client id, owner of the API key, or the id config gives a certificate. Not empty. */
  readonly id: string
  readonly kind: "user" | "service"
  readonly method: AuthMethod
  /** Who vouches for it: `iss` of the token; the gateway's own issuer for sessions, API keys and certificates. */
  readonly issuer: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  /** What the roles allow by `auth.roles` of the config in force. "*" is everything. */
  readonly permissions: readonly string[]
  /** One of `auth.tiers`. */
  readonly tier: string
  /** Sign-in this belongs to; "" when there is none. */
  readonly sessionId: string
  /** `jti` of a token, id of an API key; "" when there is none. */
  readonly tokenId: string
  /** Wall clock in ms from which the proof no longer holds; Infinity: never. */
  readonly expiresAt: number
  /** Account of the parent; "" for accounts that are nobody's child. */
  readonly parentId: string
  /** Content is suitable up to this age; `undefined`: no restriction. */
  readonly ageLimit: number | undefined
  /** Content tags this account must not be shown. */
  readonly blockedContent: readonly string[]
  /** Verified claims of the token; empty for other methods. For expressions and limits, never forwarded as a whole. */
  readonly claims: Readonly<Record<string, unknown>>
}

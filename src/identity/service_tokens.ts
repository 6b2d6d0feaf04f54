import { toAccessClaims } from "./access_claims.ts"
import type { SigningKey } from "./keys.ts"
import type { Principal } from "./principal.ts"
import { signJwt } from "./sign.ts"

/** Life of a token for a service, in ms. After half of it a new one is signed. */
const LIFE_MS = 60_000
/** Not "at+jwt": the gateway itself never takes such a token as proof. */
const TYPE = "JWT"

interface Signed {
  readonly token: string
  readonly renewAt: number
}

/** Short tokens that tell one service who calls, each signed once in half a minute at most. */
export class ServiceTokens {
  readonly #issuer: string
  readonly #key: SigningKey | undefined
  readonly #wallClock: () => number
  /** Lives as long as the caches know the principal; one entry a service. */
  readonly #signed = new WeakMap<Principal, Map<string, Signed>>()

  constructor(issuer: string, key: SigningKey | undefined, wallClock: () => number) {
    this.#issuer = issuer
    this.#key = key
    this.#wallClock = wallClock
  }

  /** "" when the gateway has no key that signs. */
  tokenFor(principal: Principal, service: string): string {
    if (this.#key === undefined) return ""
    const now = this.#wallClock()
    let services = this.#signed.get(principal)
    if (services === undefined) this.#signed.set(principal, (services = new Map()))
    const known = services.get(service)
    // A clock set back makes it look new for too long; the sign that it happened is a token of the future.
    if (known !== undefined && now < known.renewAt && now >= known.renewAt - LIFE_MS / 2) return known.token
    const token = this.#sign(principal, service, this.#key, now)
    services.set(service, { token, renewAt: now + LIFE_MS / 2 })
    return token
  }

  #sign(principal: Principal, service: string, key: SigningKey, issuedAt: number): string {
    const { id, kind, roles, scopes, tier, sessionId, parentId, ageLimit, blockedContent } = principal
    const claims = toAccessClaims(
      {
        id,
        kind,
        roles,
        scopes,
        tier,
        sessionId,
        tokenId: crypto.randomUUID(),
        parentId,
        ageLimit,
        blockedContent,
      },
      { issuer: this.#issuer, audience: service, issuedAt, expiresAt: issuedAt + LIFE_MS },
    )
    return signJwt({ ...claims, kind, amr: [principal.method] }, key, TYPE)
  }
}

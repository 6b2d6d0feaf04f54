import type { AuthenticationResult } from "../observe/catalogue.ts"
import { isApiKey, looksLikeApiKey } from "./api_key_format.ts"
import type { Authenticated, Credentials, Identity } from "./authenticated.ts"
import { compileCertificates, type HolderOf } from "./certificates.ts"
import { FailureBatch } from "./failure_batch.ts"
import type { AuthFailure, IdentityState } from "./messages.ts"
import { type Ask, OpaqueCredentials } from "./opaque_credentials.ts"
import { loadOwnKeys } from "./own_keys.ts"
import type { AuthMethod, Principal } from "./principal.ts"
import { RevocationSet } from "./revocation_set.ts"
import { compileGrants } from "./roles.ts"
import { ServiceTokens } from "./service_tokens.ts"
import { isSessionText, readSessionCookie, sessionCookieName } from "./session_cookie.ts"
import type { AuthSettings } from "./settings.ts"
import { tokenFault } from "./token_fault.ts"
import { BEARER, TokenVerifier } from "./token_verifier.ts"

export interface AuthenticatorDeps {
  /** Asks the control plane; never rejects. */
  readonly ask: Ask
  readonly now: () => number
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number
  readonly count: (method: AuthMethod, result: AuthenticationResult) => void
  /** Takes refusals for the audit record, about once a second. */
  readonly report: (failures: readonly AuthFailure[]) => void
  /** Revocations had to be dropped before their time. */
  readonly onRevocationsDropped: (count: number) => void
}

/** What the section `auth` comes to. */
interface Compiled {
  readonly settings: AuthSettings
  readonly holderOf: HolderOf
  readonly tokens: ServiceTokens
  /** Of the session cookie, over each scheme. */
  readonly cookies: { readonly http: string; readonly https: string }
}

/** Seconds between looks for revocations that can be forgotten. */
const SWEEP_S = 60

const ANONYMOUS: Authenticated = Object.freeze({ kind: "anonymous" })
const TWO_PROOFS = tokenFault("malformed", "Authorization and X-API-Key were both sent")
const WRONG_SCHEME = tokenFault("malformed", "Authorization is not of the scheme Bearer")
const BAD_API_KEY = tokenFault("malformed", "the API key cannot be one of this gateway")
const TWO_COOKIES = tokenFault("malformed", "the session cookie was sent more than once")
const BAD_COOKIE = tokenFault("malformed", "the session cookie cannot be read")
const EXPIRED = tokenFault("expired", "the certificate has expired")

/**
 * Who is calling, for one worker. What it has verified it keeps; what it cannot know it asks the control plane,
 * which tells it of new keys and of revocations.
 */
export class Authenticator implements Identity {
  readonly #deps: AuthenticatorDeps
  readonly #revocations: RevocationSet
  readonly #verifier: TokenVerifier
  readonly #sessions: OpaqueCredentials
  readonly #apiKeys: OpaqueCredentials
  readonly #failures = new FailureBatch()
  #compiled: Compiled | undefined
  #seconds = 0

  constructor(deps: AuthenticatorDeps) {
    this.#deps = deps
    const { ask, now, wallClock } = deps
    const revocations = new RevocationSet({ wallClock, onDropped: deps.onRevocationsDropped })
    this.#revocations = revocations
    this.#verifier = new TokenVerifier({ ask, revocations, now, wallClock })
    const opaque = { ask, revocations, now, wallClock }
    this.#sessions = new OpaqueCredentials("session", opaque)
    this.#apiKeys = new OpaqueCredentials("api_key", opaque)
  }

  get settings(): AuthSettings | undefined {
    return this.#compiled?.settings
  }

  /** Takes the section of a new config. Throws `Error` for keys that cannot be used; then the old one stays. */
  apply(settings: AuthSettings | undefined): void {
    if (settings === undefined) {
      this.#compiled = undefined
      return
    }
    const own = loadOwnKeys(settings)
    const grants = compileGrants(settings)
    this.#compiled = {
      settings,
      holderOf: compileCertificates(settings, grants),
      tokens: new ServiceTokens(settings.issuer, own.sign, this.#deps.wallClock),
      cookies: { http: sessionCookieName(settings, "http"), https: sessionCookieName(settings, "https") },
    }
    this.#verifier.apply(settings, own, grants)
    this.#sessions.apply(grants, settings.tiers)
    this.#apiKeys.apply(grants, settings.tiers)
  }

  /** Takes what the control plane tells: new keys of issuers, new revocations. */
  update(change: IdentityState): void {
    this.#revocations.update(change)
    this.#verifier.update(change.issuers)
  }

  /** The first proof there is, in this order: Authorization, X-API-Key, session cookie, client certificate. */
  authenticate(credentials: Credentials): Authenticated | Promise<Authenticated> {
    const compiled = this.#compiled
    if (compiled === undefined) return ANONYMOUS
    const authorization = credentials.header("authorization")
    const apiKey = credentials.header("x-api-key")
    if (authorization !== undefined) {
      if (apiKey !== undefined) return this.#counted("jwt", TWO_PROOFS)
      return this.#bearer(authorization, credentials.client)
    }
    if (apiKey !== undefined) return this.#apiKey(apiKey, credentials.client)
    const cookies = credentials.header("cookie")
    if (cookies !== undefined) {
      const session = readSessionCookie(cookies, compiled.cookies[credentials.scheme])
      if (session !== undefined) return this.#counted("session", this.#session(session, credentials.client))
    }
    const { certificate } = credentials
    const found = certificate === undefined ? undefined : compiled.holderOf(certificate)
    if (found === undefined) return ANONYMOUS
    const expired = this.#deps.wallClock() > found.principal.expiresAt
    return this.#counted("certificate", expired ? EXPIRED : found)
  }

  /** Whose a bearer token or an API key is that came otherwise than in a header. `client`: address. */
  verify(token: string, client: string): Authenticated | Promise<Authenticated> {
    return this.#compiled === undefined ? ANONYMOUS : this.#bearer(BEARER + token, client)
  }

  /** Whether what proved a caller no longer does, for who lets it stay. */
  isRevoked(principal: Principal): boolean {
    return this.#revocations.isRevoked(principal)
  }

  tokenFor(principal: Principal, service: string): string {
    return this.#compiled === undefined ? "" : this.#compiled.tokens.tokenFor(principal, service)
  }

  failed(failure: Omit<AuthFailure, "count">): void {
    this.#failures.add(failure)
  }

  /** Call once a second. */
  tick(): void {
    const failures = this.#failures.take()
    if (failures.length > 0) this.#deps.report(failures)
    if (++this.#seconds % SWEEP_S === 0) this.#revocations.sweep()
  }

  /** RFC 6750 section 2.1; the scheme is case-insensitive. */
  #bearer(authorization: string, client: string): Authenticated | Promise<Authenticated> {
    let shown = authorization
    if (!shown.startsWith(BEARER)) {
      if (shown.slice(0, BEARER.length).toLowerCase() !== BEARER.toLowerCase())
        return this.#counted("jwt", WRONG_SCHEME)
      shown = BEARER + shown.slice(BEARER.length)
    }
    if (looksLikeApiKey(shown, BEARER.length)) return this.#apiKey(shown.slice(BEARER.length), client)
    return this.#counted("jwt", this.#verifier.authenticate(shown))
  }

  #session(session: string, client: string): Authenticated | Promise<Authenticated> {
    if (session === "several") return TWO_COOKIES
    return isSessionText(session) ? this.#sessions.authenticate(session, client) : BAD_COOKIE
  }

  #apiKey(key: string, client: string): Authenticated | Promise<Authenticated> {
    return this.#counted("api_key", isApiKey(key) ? this.#apiKeys.authenticate(key, client) : BAD_API_KEY)
  }

  #counted(
    method: AuthMethod,
    result: Authenticated | Promise<Authenticated>,
  ): Authenticated | Promise<Authenticated> {
    if (result instanceof Promise) return this.#countLater(method, result)
    this.#count(method, result)
    return result
  }

  async #countLater(method: AuthMethod, later: Promise<Authenticated>): Promise<Authenticated> {
    const result = await later
    this.#count(method, result)
    return result
  }

  #count(method: AuthMethod, result: Authenticated): void {
    if (result.kind === "principal") this.#deps.count(method, "ok")
    else if (result.kind === "fault") this.#deps.count(method, result.reason)
    else if (result.kind === "unavailable") this.#deps.count(method, "unavailable")
  }
}

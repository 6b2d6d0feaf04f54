import type { Asking, IdentityContext } from "./context.ts"
import { federatedAccount, isLinked } from "./federated_account.ts"
import { authorizationUrl, type Exchanged, exchangeCode } from "./provider_exchange.ts"
import { type ProviderDeps, ProviderSource } from "./provider_source.ts"
import { type SignedIn, signIn } from "./sessions.ts"
import { newSignInState, type SignInState, StateSeal, spendState } from "./sign_in_state.ts"

/** Sign-ins that come back at once; each may hold a request to a provider for some seconds. */
const MAX_EXCHANGES = 100

export type Begun =
  /** `location`: where the browser signs in. `sealed`: value of the cookie it must come back with. */
  | {
      readonly kind: "begun"
      readonly location: string
      readonly state: string
      readonly sealed: string
    }
  | { readonly kind: "unknown_provider" | "away" }

export type Finished =
  | {
      readonly kind: "signed_in"
      readonly signedIn: Extract<SignedIn, { kind: "cookie" }>
      readonly returnTo: string
    }
  /** Somebody did not want to, or the provider did not let them. `error`: the code of the provider. */
  | { readonly kind: "declined"; readonly error: string; readonly returnTo: string }
  /** `reason`: "state" (nothing this browser began), "replayed", "no_account", "disabled", or what is wrong. */
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unknown_provider" | "away" | "busy" }

/** The answer of a provider as a browser brings it. */
export interface Callback {
  readonly provider: string
  /** Where it was sent, without query. */
  readonly redirectUri: string
  readonly query: string
  /** The `state` in the query. */
  readonly state: string
  /** Value of the cookie that belongs to it; `undefined`: it has none. */
  readonly sealed: string | undefined
}

/** Sign-in with OpenID providers (`auth.providers`), by cookie. */
export class Providers {
  readonly #context: IdentityContext
  readonly #deps: ProviderDeps
  readonly #seal: StateSeal
  readonly #sources = new Map<string, ProviderSource>()
  #exchanges = 0

  constructor(context: IdentityContext, deps: ProviderDeps) {
    this.#context = context
    this.#deps = deps
    this.#seal = new StateSeal(context)
  }

  names(): readonly string[] {
    return Object.keys(this.#context.settings().providers)
  }

  /** Begins a sign-in. `returnTo`: as `parseReturnTo` gave it. */
  async begin(name: string, redirectUri: string, returnTo: string): Promise<Begun> {
    const source = this.#source(name)
    if (source === undefined) return { kind: "unknown_provider" }
    const metadata = await source.metadata()
    if (metadata === undefined) return { kind: "away" }
    const state = newSignInState(this.#context, name, returnTo)
    const location = await authorizationUrl(source, metadata, redirectUri, state)
    return { kind: "begun", location, state: state.state, sealed: await this.#seal.seal(state) }
  }

  /** Ends it: at most once, and only in the browser that began it. */
  async finish(callback: Callback, asking: Asking): Promise<Finished> {
    const source = this.#source(callback.provider)
    if (source === undefined) return { kind: "unknown_provider" }
    if (this.#exchanges >= MAX_EXCHANGES) return { kind: "busy" }
    this.#exchanges++
    try {
      const finished = await this.#finish(source, callback, asking)
      this.#context.count("provider_login", finished.kind === "signed_in" ? "success" : "failure")
      if (finished.kind !== "signed_in") await this.#recordFailure(source, finished, asking)
      return finished
    } finally {
      this.#exchanges--
    }
  }

  async #finish(source: ProviderSource, callback: Callback, asking: Asking): Promise<Finished> {
    const state = callback.sealed === undefined ? undefined : await this.#seal.open(callback.sealed)
    if (state === undefined || state.state !== callback.state || state.provider !== source.name)
      return { kind: "refused", reason: "state" }
    // First: the same answer brought twice at once must not be redeemed twice.
    if (!(await spendState(this.#context, state))) return { kind: "refused", reason: "replayed" }
    const metadata = await source.metadata()
    if (metadata === undefined) return { kind: "away" }
    const { store, settings } = this.#context
    const exchanged = await exchangeCode(source, metadata, callback, state, {
      leewayMs: settings().leeway,
      wantsProfile: async (subject) => !(await isLinked(store, source, subject)),
    })
    if (exchanged.kind === "proved") return this.#signIn(source, exchanged, state, asking)
    if (exchanged.kind === "declined") return { ...exchanged, returnTo: state.returnTo }
    this.#deps.log.warn("provider.refused", { provider: source.name, reason: exchanged.reason })
    return exchanged
  }

  #signIn(
    source: ProviderSource,
    { claims }: Extract<Exchanged, { kind: "proved" }>,
    { returnTo }: SignInState,
    asking: Asking,
  ): Promise<Finished> {
    const context = this.#context
    return context.store.transaction(async (sql) => {
      const actor = { id: "", client: asking.client, requestId: asking.requestId }
      const account = await federatedAccount(context, sql, source, claims, actor)
      if (account.kind === "none") return { kind: "refused", reason: account.reason }
      const signedIn = await signIn(context, sql, account.user, { asking, kind: "cookie", method: "oidc" })
      // Asked for a cookie, it gives one.
      return { kind: "signed_in", signedIn: signedIn as Extract<SignedIn, { kind: "cookie" }>, returnTo }
    })
  }

  async #recordFailure(source: ProviderSource, finished: Finished, asking: Asking): Promise<void> {
    const { store, audit } = this.#context
    const reason = finished.kind === "refused" ? finished.reason : finished.kind
    await audit(store, {
      action: "session.start",
      outcome: "failure",
      actor: "",
      subject: "",
      client: asking.client,
      requestId: asking.requestId,
      details: { method: "oidc", provider: source.name, reason },
    })
  }

  /** The provider as config has it now; what is known of one whose settings have changed is dropped. */
  #source(name: string): ProviderSource | undefined {
    const { providers } = this.#context.settings()
    if (!Object.hasOwn(providers, name)) {
      this.#sources.delete(name)
      return undefined
    }
    const settings = providers[name]!
    const known = this.#sources.get(name)
    if (known !== undefined && JSON.stringify(known.settings) === JSON.stringify(settings)) return known
    const source = new ProviderSource(name, settings, this.#deps)
    this.#sources.set(name, source)
    return source
  }
}

import { AddressList } from "../lib/address_list.ts"
import { BoundedMap } from "../lib/bounded_map.ts"
import { tierOf } from "./access_claims.ts"
import type { Authenticated } from "./authenticated.ts"
import type { CredentialAnswer, Question, Replies } from "./messages.ts"
import { hashOfToken } from "./opaque_token.ts"
import type { RevocationSet } from "./revocation_set.ts"
import type { Grants } from "./roles.ts"
import { tokenFault } from "./token_fault.ts"

export type Ask = <Q extends Question>(question: Q) => Promise<Replies[Q["kind"]] | undefined>

export interface OpaqueDeps {
  readonly ask: Ask
  readonly revocations: RevocationSet
  readonly now: () => number
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number
}

/** How long an answer is believed, in ms: what changes an account tells more than this by revocations. */
const KNOWN_MS = 30_000
const UNKNOWN_MS = 2000
const MAX_KNOWN = 10_000
const MAX_UNKNOWN = 1000

const UNKNOWN = tokenFault("unknown", "the credential is not known, or no longer")
const EXPIRED = tokenFault("expired", "the credential has expired")
const REVOKED = tokenFault("revoked", "the credential was revoked")
const WRONG_ADDRESS = tokenFault("address", "the credential may not be used from this address")
const UNAVAILABLE: Authenticated = Object.freeze({ kind: "unavailable" })

interface Known {
  readonly found: Extract<Authenticated, { kind: "principal" }>
  /** `undefined`: it may be used from anywhere. */
  readonly allowed: AddressList | undefined
  /** On the scale of `now`. */
  readonly until: number
}

/**
 * Credentials of one kind that say nothing by themselves: the control plane is asked whose they are, once for all
 * requests that wait for the same answer, and its answer is kept for a short time.
 */
export class OpaqueCredentials {
  readonly #kind: "session" | "api_key"
  readonly #deps: OpaqueDeps
  readonly #known = new BoundedMap<Known>(MAX_KNOWN)
  readonly #unknown = new BoundedMap<number>(MAX_UNKNOWN)
  /** Bounded by the questions a worker may have under way. */
  readonly #asked = new Map<string, Promise<CredentialAnswer | undefined>>()
  /** `undefined` until the first `apply`. */
  #rules: { readonly grants: Grants; readonly tiers: readonly string[] } | undefined

  constructor(kind: "session" | "api_key", deps: OpaqueDeps) {
    this.#kind = kind
    this.#deps = deps
  }

  authenticate(credential: string, client: string): Authenticated | Promise<Authenticated> {
    const hash = hashOfToken(credential)
    const now = this.#deps.now()
    const known = this.#known.get(hash)
    if (known !== undefined && now < known.until) return this.#judge(known, client)
    if (now < (this.#unknown.get(hash) ?? 0)) return UNKNOWN
    return this.#askFor(hash, client)
  }

  /** What they allow has changed. */
  apply(grants: Grants, tiers: readonly string[]): void {
    this.#rules = { grants, tiers }
    this.#known.clear()
  }

  async #askFor(hash: string, client: string): Promise<Authenticated> {
    let asked = this.#asked.get(hash)
    if (asked === undefined) {
      asked = this.#deps.ask({ kind: "credential", credential: this.#kind, hash, client })
      this.#asked.set(hash, asked)
      void asked.finally(() => this.#asked.delete(hash))
    }
    const answer = await asked
    if (answer === undefined) return UNAVAILABLE
    const now = this.#deps.now()
    if (answer.kind === "unknown") {
      this.#unknown.set(hash, now + UNKNOWN_MS)
      return UNKNOWN
    }
    const known = this.#toKnown(answer, now + KNOWN_MS)
    this.#known.set(hash, known)
    return this.#judge(known, client)
  }

  #toKnown(answer: Extract<CredentialAnswer, { kind: "principal" }>, until: number): Known {
    const { grants, tiers } = this.#rules!
    const { roles, permissions } = grants(answer.principal.roles)
    const tier = tierOf(answer.principal.tier, tiers)
    return {
      found: { kind: "principal", principal: { ...answer.principal, roles, permissions, tier } },
      allowed: answer.allowedIps.length === 0 ? undefined : new AddressList(answer.allowedIps),
      until,
    }
  }

  #judge({ found, allowed }: Known, client: string): Authenticated {
    const { principal } = found
    if (this.#deps.revocations.isRevoked(principal)) return REVOKED
    if (this.#deps.wallClock() >= principal.expiresAt) return EXPIRED
    return allowed === undefined || allowed.has(client) ? found : WRONG_ADDRESS
  }
}

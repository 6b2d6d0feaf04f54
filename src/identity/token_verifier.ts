import { BoundedMap } from "../lib/bounded_map.ts"
import {
  ACCESS_TOKEN_TYPE,
  type ClaimMapping,
  OWN_CLAIM_NAMES,
  principalFromClaims,
} from "./access_claims.ts"
import type { Authenticated } from "./authenticated.ts"
import { type ClaimRules, checkClaims } from "./claims.ts"
import { IssuerKeyRing } from "./issuer_keys.ts"
import { type ParsedJws, parseJws } from "./jws.ts"
import { type KeySet, verifyWithSet } from "./key_set.ts"
import type { IssuerKeys } from "./messages.ts"
import type { Ask } from "./opaque_credentials.ts"
import type { OwnKeys } from "./own_keys.ts"
import type { RevocationSet } from "./revocation_set.ts"
import type { Grants } from "./roles.ts"
import type { AlgorithmName, AuthSettings } from "./settings.ts"
import { type TokenFault, tokenFault } from "./token_fault.ts"

export interface VerifierDeps {
  readonly ask: Ask
  readonly revocations: RevocationSet
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number
}

/** The scheme as most clients write it, and the space behind it (RFC 6750 section 2.1). */
export const BEARER = "Bearer "

/** Verified tokens kept, and characters of them all together. At either the oldest go. */
const MAX_TOKENS = 10_000
const MAX_CHARACTERS = 32 * 1024 * 1024
/**
 * How long it is believed that the control plane has no other keys of an issuer than those known, in ms: it tells of
 * new ones by itself. So a flood of tokens that name unknown keys, or none, is a question a second.
 */
const NO_NEWS_MS = 1000
/** Questions for keys of one issuer under way; further tokens wait for the answer to the last of them. */
const MAX_ASKED = 16

const NO_ISSUER = tokenFault("issuer", "the token is not of an issuer that is accepted")
const WRONG_ALGORITHM = tokenFault("algorithm", "the algorithm of the token is not accepted from its issuer")
const EXPIRED = tokenFault("expired", "the token has expired")
const REVOKED = tokenFault("revoked", "the token was revoked")
const UNAVAILABLE: Authenticated = Object.freeze({ kind: "unavailable" })

type Found = Extract<Authenticated, { kind: "principal" }>
type AskedKeys = Promise<readonly IssuerKeys[] | undefined>

/** Whose tokens are accepted, and how. */
interface Trusted {
  readonly rules: ClaimRules
  readonly mapping: ClaimMapping
  /** `undefined`: those of the keys. */
  readonly algorithms: ReadonlySet<AlgorithmName> | undefined
  /** Of the gateway itself; `undefined`: what the control plane has told of the issuer. */
  readonly set: KeySet | undefined
  /** Questions under way, by key id. */
  readonly asked: Map<string, AskedKeys>
  /** The keys there were when the control plane had no others, and until when that is believed. */
  noNews: { readonly set: KeySet; readonly until: number } | undefined
}

/** A token, the keys none of which has signed it, and what came of them. */
interface Tried {
  readonly token: string
  readonly tried: KeySet
  readonly result: TokenFault
}

/** Who is calling, by a JSON Web Token of the gateway or of another issuer. */
export class TokenVerifier {
  readonly #deps: VerifierDeps
  readonly #ring = new IssuerKeyRing()
  /** By what `authenticate` was shown. */
  readonly #verified = new BoundedMap<Found>(MAX_TOKENS, MAX_CHARACTERS)
  #trusted: ReadonlyMap<string, Trusted> = new Map()

  constructor(deps: VerifierDeps) {
    this.#deps = deps
  }

  /** Forgets all that was verified by older settings. */
  apply(settings: AuthSettings, own: OwnKeys, grants: Grants): void {
    this.#trusted = compileTrusted(settings, own, grants)
    this.#ring.retain(this.#trusted)
    this.#verified.clear()
  }

  update(issuers: readonly IssuerKeys[]): void {
    if (this.#ring.update(issuers)) this.#verified.clear()
  }

  /** `shown`: the token behind `BEARER`, as most headers have it: to cut it out would cost more than to find it. */
  authenticate(shown: string): Authenticated | Promise<Authenticated> {
    const found = this.#verified.get(shown)
    if (found === undefined) return this.#verifyNew(shown.slice(BEARER.length))
    if (this.#deps.revocations.isRevoked(found.principal)) return REVOKED
    if (this.#deps.wallClock() < found.principal.expiresAt) return found
    this.#verified.delete(shown)
    return EXPIRED
  }

  #verifyNew(token: string): Authenticated | Promise<Authenticated> {
    const jws = parseJws(token)
    if (jws.kind === "fault") return jws
    const trusted = this.#issuerOf(jws)
    const result = this.#verify(jws, trusted, token)
    if (trusted === undefined || trusted.set !== undefined || result.kind !== "fault") return result
    if (!mayBeRotated(result, jws)) return result
    const tried = this.#ring.of(trusted.rules.issuer)
    const { noNews } = trusted
    if (noNews?.set === tried && this.#deps.now() < noNews.until) return verdict(result, tried)
    return this.#askAndVerify(jws, trusted, { token, tried, result })
  }

  #verify(jws: ParsedJws, trusted: Trusted | undefined, token: string): Authenticated {
    if (trusted === undefined) return NO_ISSUER
    if (trusted.algorithms?.has(jws.alg) === false) return WRONG_ALGORITHM
    const key = verifyWithSet(jws, trusted.set ?? this.#ring.of(trusted.rules.issuer))
    if ("kind" in key) return key
    const fault = checkClaims(jws, trusted.rules, this.#deps.wallClock() / 1000)
    if (fault !== undefined) return fault
    const principal = principalFromClaims(jws.claims, trusted.mapping)
    if ("reason" in principal) return principal
    if (this.#deps.revocations.isRevoked(principal)) return REVOKED
    const found: Found = { kind: "principal", principal }
    // A copy: what was cut out of a request head would keep all of it.
    const shown = Buffer.from(BEARER + token, "latin1").toString("latin1")
    this.#verified.set(shown, found, shown.length)
    return found
  }

  async #askAndVerify(jws: ParsedJws, trusted: Trusted, before: Tried): Promise<Authenticated> {
    const keys = await this.#askKeys(trusted, jws.kid)
    if (keys !== undefined) this.update(keys)
    // By the settings of now, which may have changed meanwhile.
    const current = this.#issuerOf(jws)
    const set = this.#ring.of(trusted.rules.issuer)
    const isSame = current === trusted && set === before.tried
    if (isSame && keys !== undefined) trusted.noNews = { set, until: this.#deps.now() + NO_NEWS_MS }
    // The same keys are not tried twice.
    const result = isSame ? before.result : this.#verify(jws, current, before.token)
    if (result.kind !== "fault" || result.reason !== "unknown_key") return result
    // Nobody answered: whether the token is right cannot be told.
    return keys === undefined ? UNAVAILABLE : verdict(result, set)
  }

  #askKeys({ asked, rules }: Trusted, kid: string | undefined): AskedKeys {
    const name = kid ?? ""
    const underWay = asked.get(name)
    if (underWay !== undefined) return underWay
    if (asked.size >= MAX_ASKED) return [...asked.values()].at(-1)!
    const question = this.#deps
      .ask({ kind: "keys", issuer: rules.issuer, kid })
      .then((reply) => reply && [reply.keys])
      .finally(() => asked.delete(name))
    asked.set(name, question)
    return question
  }

  #issuerOf({ claims }: ParsedJws): Trusted | undefined {
    return typeof claims.iss === "string" ? this.#trusted.get(claims.iss) : undefined
  }
}

/** What is made of a token whose key is not among these: of an issuer that never told its keys it cannot be said. */
function verdict(fault: TokenFault, { keys }: KeySet): Authenticated {
  return keys.length === 0 && fault.reason === "unknown_key" ? UNAVAILABLE : fault
}

/** Whether a key that was not fetched yet could have signed it. */
function mayBeRotated({ reason }: TokenFault, { kid }: ParsedJws): boolean {
  return reason === "unknown_key" || (reason === "signature" && kid === undefined)
}

function compileTrusted(settings: AuthSettings, own: OwnKeys, grants: Grants): ReadonlyMap<string, Trusted> {
  const { leeway, tiers } = settings
  const trusted = new Map<string, Trusted>()
  for (const { issuer, audience, algorithms, claims, id_prefix } of settings.issuers)
    trusted.set(issuer, {
      rules: {
        issuer,
        audience,
        types: [ACCESS_TOKEN_TYPE, "jwt", ""],
        leewayS: leeway / 1000,
        require: [],
      },
      mapping: { own: false, names: claims, idPrefix: id_prefix, grants, tiers, leewayMs: leeway },
      algorithms: new Set(algorithms),
      set: undefined,
      asked: new Map(),
      noNews: undefined,
    })
  // Last, so that nobody else can be taken for the gateway itself.
  trusted.set(settings.issuer, {
    rules: {
      issuer: settings.issuer,
      audience: settings.audience,
      types: [ACCESS_TOKEN_TYPE],
      leewayS: leeway / 1000,
      require: ["sub", "jti"],
    },
    mapping: { own: true, names: OWN_CLAIM_NAMES, idPrefix: "", grants, tiers, leewayMs: leeway },
    algorithms: undefined,
    set: own.set,
    asked: new Map(),
    noNews: undefined,
  })
  return trusted
}

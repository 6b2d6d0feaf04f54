import { createKeySet, type KeySet } from "./key_set.ts"
import { fromPlain } from "./keys.ts"
import type { IssuerKeys, PlainKey } from "./messages.ts"

/** Issuers whose keys are kept beyond those in use: a new config may need them in a moment. */
const MAX_ISSUERS = 64

interface Kept {
  readonly set: KeySet
  readonly names: ReadonlySet<string>
}

const EMPTY = createKeySet([])

/** The keys of other issuers as the control plane told them last. */
export class IssuerKeyRing {
  readonly #kept = new Map<string, Kept>()

  /** Without keys for an issuer that never had any. */
  of(issuer: string): KeySet {
    return this.#kept.get(issuer)?.set ?? EMPTY
  }

  /** Forgets the keys of all others. */
  retain(issuers: ReadonlyMap<string, unknown>): void {
    for (const issuer of this.#kept.keys()) if (!issuers.has(issuer)) this.#kept.delete(issuer)
  }

  /** Takes all keys of each issuer named; none at all are no news. Tells whether one that was known is not among them any more. */
  update(issuers: readonly IssuerKeys[]): boolean {
    let vanished = false
    for (const { issuer, keys } of issuers) {
      if (keys.length === 0) continue
      const names = new Set(keys.map(nameOf))
      const old = this.#kept.get(issuer)
      if (old !== undefined && old.names.size === names.size && names.isSubsetOf(old.names)) continue
      vanished ||= old !== undefined && !old.names.isSubsetOf(names)
      if (old === undefined && this.#kept.size >= MAX_ISSUERS)
        this.#kept.delete(this.#kept.keys().next().value!)
      this.#kept.set(issuer, { set: createKeySet(keys.map((key) => fromPlain(key).verify)), names })
    }
    return vanished
  }
}

/** Different for any two keys: a key may come back under the name of another. */
const nameOf = ({ kid, alg, jwk }: PlainKey): string =>
  JSON.stringify([kid, alg, jwk.kty, jwk.n, jwk.e, jwk.crv, jwk.x, jwk.y])

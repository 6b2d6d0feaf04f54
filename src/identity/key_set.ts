import type { Algorithm } from "./algorithms.ts"
import { type CompactJws, verifyJws } from "./jws.ts"
import type { VerifyKey } from "./keys.ts"
import { type TokenFault, tokenFault } from "./token_fault.ts"

/** Keys tried for one token at most; more of one algorithm and id are not used. */
const MAX_TRIED = 8

const UNKNOWN_KEY = tokenFault("unknown_key", "the key of the token is not known")
const WRONG_ALGORITHM = tokenFault("algorithm", "the key of the token is for another algorithm")
const WRONG_SIGNATURE = tokenFault("signature", "the signature of the token is wrong")

/** Keys of one algorithm. */
interface Keys {
  readonly all: VerifyKey[]
  readonly named: Map<string, VerifyKey[]>
  readonly unnamed: VerifyKey[]
}

/** The keys of one issuer, to be replaced as a whole when they change. */
export interface KeySet {
  readonly keys: readonly VerifyKey[]
  readonly kids: ReadonlySet<string>
  readonly byAlgorithm: ReadonlyMap<Algorithm, Keys>
}

function add(list: VerifyKey[], key: VerifyKey): void {
  if (list.length < MAX_TRIED) list.push(key)
}

export function createKeySet(keys: readonly VerifyKey[]): KeySet {
  const kids = new Set<string>()
  const byAlgorithm = new Map<Algorithm, Keys>()
  for (const key of keys) {
    let group = byAlgorithm.get(key.alg)
    if (group === undefined) byAlgorithm.set(key.alg, (group = { all: [], named: new Map(), unnamed: [] }))
    add(group.all, key)
    if (key.kid === undefined) add(group.unnamed, key)
    else {
      kids.add(key.kid)
      let same = group.named.get(key.kid)
      if (same === undefined) group.named.set(key.kid, (same = []))
      add(same, key)
    }
  }
  return { keys, kids, byAlgorithm }
}

/**
 * Keys a token with this key id and algorithm may be signed with, at most 8: those of this name, else those
 * without a name; for a token that names none all of the algorithm. A key known for another algorithm is a
 * fault of its own: fetching the keys again would not help.
 */
export function candidateKeys(
  set: KeySet,
  kid: string | undefined,
  alg: Algorithm,
): readonly VerifyKey[] | TokenFault {
  const group = set.byAlgorithm.get(alg)
  if (kid === undefined) return group?.all ?? UNKNOWN_KEY
  const named = group?.named.get(kid)
  if (named !== undefined) return named
  if (set.kids.has(kid)) return WRONG_ALGORITHM
  return group === undefined || group.unnamed.length === 0 ? UNKNOWN_KEY : group.unnamed
}

/** The key that signed it, or why none did. */
export function verifyWithSet(jws: CompactJws, set: KeySet): VerifyKey | TokenFault {
  const candidates = candidateKeys(set, jws.kid, jws.alg)
  if ("kind" in candidates) return candidates
  for (const key of candidates) if (verifyJws(jws, key)) return key
  // No key has the name the token gives: a key that was not fetched yet may have signed it.
  return jws.kid === undefined || set.kids.has(jws.kid) ? WRONG_SIGNATURE : UNKNOWN_KEY
}

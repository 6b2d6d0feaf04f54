import type { Algorithm } from "../../src/identity/algorithms.ts"
import {
  generateKey,
  importPem,
  importSecret,
  type SigningKey,
  type VerifyKey,
} from "../../src/identity/keys.ts"

/** A new key, as an operator would make and configure it. */
export function keyPair(
  alg: Algorithm,
  kid?: string,
): { readonly verify: VerifyKey; readonly sign: SigningKey } {
  const text = generateKey(alg)
  const imported = alg.startsWith("HS") ? importSecret(text, alg, kid) : importPem(text, alg, kid)
  if (!imported.ok || imported.sign === undefined) throw new Error(`no new ${alg} key`)
  return { verify: imported.verify, sign: imported.sign }
}

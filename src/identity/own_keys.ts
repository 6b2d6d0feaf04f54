import { late } from "../lib/late.ts"
import { createKeySet, type KeySet } from "./key_set.ts"
import { importPem, importSecret, type SigningKey, type VerifyKey } from "./keys.ts"
import type { AuthSettings } from "./settings.ts"

/** Keys of the gateway's own tokens. */
export interface OwnKeys {
  /** `undefined`: tokens are verified, never issued. */
  readonly sign: SigningKey | undefined
  readonly verify: readonly VerifyKey[]
  readonly set: KeySet
}

/**
 * Reads the keys `auth.keys` names, and after them `auth.secret`. Throws `Error` that names the setting and what
 * is wrong with it, never the key.
 */
export function loadOwnKeys({ keys, secret }: Pick<AuthSettings, "keys" | "secret">): OwnKeys {
  const imported = keys.map((key, i) => {
    const found =
      key.secret === undefined
        ? importPem(readKeyFile(key.file, i), key.alg, key.kid)
        : importSecret(key.secret, key.alg, key.kid)
    if (!found.ok) throw new Error(`auth.keys[${i}]: ${found.message}`)
    return found
  })
  if (secret !== undefined) {
    const found = importSecret(secret, "HS256", undefined)
    if (!found.ok) throw new Error(`auth.secret: ${found.message}`)
    imported.push(found)
  }
  const verify = imported.map((key) => key.verify)
  return { sign: imported.find((key) => key.sign !== undefined)?.sign, verify, set: createKeySet(verify) }
}

function readKeyFile(file: string | undefined, index: number): string {
  if (file === undefined) throw new Error(`auth.keys[${index}]: needs \`file\` or \`secret\``)
  try {
    return late.fs.readFileSync(file, "utf8")
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Error(`auth.keys[${index}].file: cannot be read: ${code ?? "unknown"}`, { cause: error })
  }
}

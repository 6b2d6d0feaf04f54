import { jwt } from "@elysiajs/jwt"
import { late } from "../lib/late.ts"
import type { IdentityContext } from "./context.ts"
import type { SigningKey } from "./keys.ts"
import { hashOfToken, newOpaqueToken } from "./opaque_token.ts"

/** How long somebody may take to sign in at a provider, in ms. */
export const SIGN_IN_MS = 600_000

/** A sign-in with a provider that has begun. It is kept by the browser that began it, in a signed cookie. */
export interface SignInState {
  readonly provider: string
  /** Comes back with the answer of the provider, which so is known to be for this browser. */
  readonly state: string
  /** Comes back in the ID token, which so is known to be for this sign-in. */
  readonly nonce: string
  /** PKCE (RFC 7636): shows that who redeems the code is who asked for it. */
  readonly verifier: string
  /** Where the browser goes afterwards, as `parseReturnTo` gave it. */
  readonly returnTo: string
}

export function newSignInState(
  { randomBytes }: Pick<IdentityContext, "randomBytes">,
  provider: string,
  returnTo: string,
): SignInState {
  const random = () => newOpaqueToken("", randomBytes)
  return { provider, returnTo, state: random(), nonce: random(), verifier: random() }
}

const TYP = "gatehouse-sign-in+jwt"
const LABEL = "gatehouse sign-in state 1"

/**
 * Seals states so that any VM with the same signing key can finish what another began. The key is derived from
 * that key (RFC 5869), so that neither can stand in for the other; a new signing key ends what is under way.
 */
export class StateSeal {
  readonly #context: Pick<IdentityContext, "keys" | "wallClock">
  #of: SigningKey | undefined
  #plugin: ReturnType<typeof pluginOf> | undefined

  constructor(context: Pick<IdentityContext, "keys" | "wallClock">) {
    this.#context = context
  }

  /** The value of the cookie. Throws `Error` when no key can sign; config is checked for that. */
  seal(state: SignInState): Promise<string> {
    const exp = Math.floor((this.#context.wallClock() + SIGN_IN_MS) / 1000)
    return this.#jwt().sign({ ...state, exp, iat: false })
  }

  /** `undefined`: it was not sealed here, was changed, or is too old. */
  async open(sealed: string): Promise<SignInState | undefined> {
    const claims = await this.#jwt().verify(sealed, {
      algorithms: ["HS256"],
      typ: TYP,
      currentDate: new Date(this.#context.wallClock()),
      requiredClaims: ["exp"],
    })
    if (claims === false) return undefined
    const { provider, state, nonce, verifier, returnTo } = claims as unknown as SignInState
    return { provider, state, nonce, verifier, returnTo }
  }

  #jwt() {
    const { sign } = this.#context.keys()
    if (sign === undefined) throw new Error("sign-in with a provider: no key of `auth` can sign")
    if (this.#plugin === undefined || this.#of !== sign) {
      this.#of = sign
      this.#plugin = pluginOf(sign)
    }
    return this.#plugin.decorator.signIn
  }
}

function pluginOf({ key }: SigningKey) {
  const material = key.type === "secret" ? key.export() : key.export({ type: "pkcs8", format: "der" })
  const secret = new Uint8Array(late.crypto.hkdfSync("sha256", material, "", LABEL, 32))
  return jwt({ name: "signIn", secret, alg: "HS256", typ: TYP })
}

/**
 * Uses a state up, on whichever VM it comes back to. False: it was used before. Only what has come back sealed
 * takes a row of the store, until it would have been too old anyway.
 */
export async function spendState(
  { store, wallClock }: IdentityContext,
  { state }: SignInState,
): Promise<boolean> {
  const at = wallClock()
  const used = await store.run(
    `INSERT INTO one_time_tokens (token_hash, purpose, user_id, payload, created_at, expires_at, used_at)
     VALUES ($1, 'provider_sign_in', NULL, '{}', $2, $3, $2) ON CONFLICT (token_hash) DO NOTHING`,
    [hashOfToken(state), at, at + SIGN_IN_MS],
  )
  return used === 1
}

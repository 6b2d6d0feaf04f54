import type { Authenticated, Identity } from "../../src/identity/authenticated.ts"
import type { AuthFailure } from "../../src/identity/messages.ts"
import type { Principal } from "../../src/identity/principal.ts"
import { authSettings } from "./authenticator.ts"
import { makePrincipal } from "./principal.ts"

export interface FixedIdentity extends Identity {
  readonly failures: Omit<AuthFailure, "count">[]
}

/** An identity that has made up its mind; its tokens say for whom and for which service they are. */
export function fixedIdentity(
  found: Authenticated | Promise<Authenticated>,
  auth: object = {},
): FixedIdentity {
  const failures: Omit<AuthFailure, "count">[] = []
  return {
    settings: authSettings(auth),
    authenticate: () => found,
    tokenFor: (principal, service) => `token.of.${principal.id}.for.${service}`,
    failed: (failure) => void failures.push(failure),
    failures,
  }
}

/** The same for a caller who proved to be this one. */
export const identityOf = (changes: Partial<Principal> = {}, auth: object = {}): FixedIdentity =>
  fixedIdentity({ kind: "principal", principal: makePrincipal(changes) }, auth)

import type { Actor } from "../../identity/accounts.ts"
import type { IdentityContext } from "../../identity/context.ts"
import type { IdentityRequest } from "../../identity/messages.ts"
import type { Principal } from "../../identity/principal.ts"
import { compileGrants } from "../../identity/roles.ts"
import { findUser, type User } from "../../identity/users.ts"
import { type Failure, fail } from "../../policies/failure.ts"

/** The account somebody is signed in to. */
export interface OwnAccount {
  readonly kind: "account"
  readonly user: User
  readonly principal: Principal
  readonly actor: Actor
}

/**
 * The caller's own account, as it is in the store. Only for sign-ins of this gateway: the id of another issuer's
 * token may happen to be one of ours, and an API key does not manage the account of its owner. To change anything
 * with a token of narrower scope than the account's roles give, it needs `write` where they give it.
 */
export async function ownAccount(
  { store, settings }: IdentityContext,
  asked: IdentityRequest,
): Promise<OwnAccount | Failure> {
  const { principal, method, client, requestId } = asked
  if (principal === undefined) return fail("AUTH_ERROR", { headers: { "www-authenticate": "Bearer" } })
  if (principal.sessionId === "")
    return fail("FORBIDDEN", { message: "This needs a sign-in, not a key or a token of another issuer." })
  const user = await findUser(store, principal.id)
  if (user?.status !== "active") return fail("AUTH_ERROR", { headers: { "www-authenticate": "Bearer" } })
  if (method !== "GET" && method !== "HEAD" && !principal.scopes.includes("write")) {
    const { scopes } = compileGrants(settings())(user.roles)
    if (scopes.includes("write")) return fail("FORBIDDEN", { details: { missing: { scopes: ["write"] } } })
  }
  return { kind: "account", user, principal, actor: { id: user.id, client, requestId } }
}

import { type Actor, recordOf } from "./accounts.ts"
import { suspendApiKeysOf } from "./api_keys.ts"
import type { IdentityContext } from "./context.ts"
import { issueOneTimeToken } from "./one_time.ts"
import { deleteUser } from "./removal.ts"
import { endSession, endSessionsOf } from "./sessions.ts"
import { findUser, insertUser, newUser, normaliseLogin, type User, updateUser } from "./users.ts"

export interface NewUser {
  /** Must look like an address (`isEmail`) once it is normalised. */
  readonly email: string
  readonly displayName: string
  readonly roles: readonly string[]
  readonly tier: string
}

/** Keys that are absent stay as they are. */
export interface ManagedChanges {
  readonly displayName?: string
  readonly roles?: readonly string[]
  readonly tier?: string
  readonly status?: "active" | "disabled"
}

/** `token`: sets the first password, within the time of a password reset; for the one who asked. */
export interface MadeUser {
  readonly kind: "made"
  readonly user: User
  readonly token: string
  readonly tokenExpiresAt: number
}

type NoSuchUser = { readonly kind: "not_found" }

/**
 * An account made by an operator, who vouches for the address once its owner has set a password with the token.
 * No mail goes out. Names of roles and tier must be checked before. Rejects with a `StoreError`.
 */
export function createUser(
  context: IdentityContext,
  { email, displayName, roles, tier }: NewUser,
  actor: Actor,
): Promise<MadeUser | { readonly kind: "login_taken" }> {
  const at = context.wallClock()
  const login = normaliseLogin(email)
  const user = newUser(at, { login, email: login, displayName, roles, tier })
  return context.store.transaction(async (sql) => {
    if (!(await insertUser(sql, user))) return { kind: "login_taken" }
    const issued = await issueOneTimeToken(context, sql, "password_reset", { userId: user.id, email: login })
    const details = { roles: roles.join(" "), tier }
    await context.audit(sql, recordOf(actor, "account.create", "success", user.id, details))
    return { kind: "made", user, token: issued.token, tokenExpiresAt: issued.expiresAt }
  })
}

/**
 * New roles and an account that is disabled end its sessions, on all workers of all VMs within a second; a
 * disabled account's API keys are refused as long as it is. A new tier holds from the next access token on.
 */
export function changeUser(
  context: IdentityContext,
  id: string,
  changes: ManagedChanges,
  actor: Actor,
): Promise<{ readonly kind: "changed"; readonly user: User } | NoSuchUser> {
  return context.store.transaction(async (sql) => {
    const at = context.wallClock()
    // Locks it: what it was is what this changes.
    if (!(await updateUser(sql, id, {}, at))) return { kind: "not_found" }
    const before = (await findUser(sql, id))!
    await updateUser(sql, id, changes, at)
    const user = (await findUser(sql, id))!
    if (user.status === "disabled" || !isSame(before.roles, user.roles)) {
      const by = { actor: actor.id, client: actor.client, requestId: actor.requestId }
      await endSessionsOf(context, sql, id, "account_changed", "", by)
    }
    if (user.status === "disabled") await suspendApiKeysOf(context, sql, id)
    const { roles, tier, status } = user
    const details = { changed: Object.keys(changes).join(" "), roles: roles.join(" "), tier, status }
    await context.audit(sql, recordOf(actor, "account.change", "success", id, details))
    return { kind: "changed", user }
  })
}

/** With the accounts of its children. False: there is none, or it is deleted already. */
export function removeUser(context: IdentityContext, id: string, actor: Actor): Promise<boolean> {
  return context.store.transaction(async (sql) => {
    const user = await findUser(sql, id)
    return user !== undefined && deleteUser(context, sql, user, actor)
  })
}

/** Ends one sign-in of an account, or all; resolves with how many. A sign-in of somebody else is none of its. */
export function endSessionsByOperator(
  context: IdentityContext,
  userId: string,
  sessionId: string | undefined,
  { id: actor, client, requestId }: Actor,
): Promise<number> {
  const by = { actor, client, requestId }
  return context.store.transaction(async (sql) => {
    if (sessionId === undefined) return endSessionsOf(context, sql, userId, "ended_by_admin", "", by)
    const text = "SELECT id FROM sessions WHERE id = $1 AND user_id = $2"
    if ((await sql.get(text, [sessionId, userId])) === undefined) return 0
    return (await endSession(context, sql, sessionId, "ended_by_admin", by)) ? 1 : 0
  })
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return [...some].sort().join(" ") === [...others].sort().join(" ")
}

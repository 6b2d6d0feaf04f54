import type { Sql } from "../store/sql.ts"
import { type Actor, recordOf } from "./accounts.ts"
import { revokeApiKeysOf } from "./api_keys.ts"
import type { IdentityContext } from "./context.ts"
import { endSessionsOf } from "./sessions.ts"
import { findChildren, type User, updateUser } from "./users.ts"

/**
 * Deletes an account and the accounts of its children, within the transaction of `sql`: sessions and API keys end,
 * everything about the person is blanked, the login is free again. The id stays, for the records that name it. What
 * was said about it in the audit record stays too. False: it was deleted already.
 */
export async function deleteUser(
  context: IdentityContext,
  sql: Sql,
  user: User,
  actor: Actor,
): Promise<boolean> {
  // The account first: a child made meanwhile is then either found below or refused.
  const deleted = await updateUser(
    sql,
    user.id,
    {
      // No login has a colon.
      login: `deleted:${user.id}`,
      email: undefined,
      emailVerifiedAt: undefined,
      passwordHash: undefined,
      displayName: "",
      roles: [],
      status: "deleted",
      ageLimit: undefined,
      blockedContent: [],
    },
    context.wallClock(),
  )
  if (!deleted) return false
  for (const child of await findChildren(sql, user.id)) await deleteUser(context, sql, child, actor)
  const by = { actor: actor.id, client: actor.client, requestId: actor.requestId }
  await endSessionsOf(context, sql, user.id, "account_changed", "", by)
  await revokeApiKeysOf(context, sql, user.id, actor)
  await sql.run("DELETE FROM federated_identities WHERE user_id = $1", [user.id])
  await sql.run("DELETE FROM one_time_tokens WHERE user_id = $1", [user.id])
  await context.audit(sql, recordOf(actor, "account.delete", "success", user.id))
  return true
}

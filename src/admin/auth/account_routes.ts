import { Elysia } from "elysia"
import { recordOf } from "../../identity/accounts.ts"
import type { IdentityContext } from "../../identity/context.ts"
import { deleteUser } from "../../identity/removal.ts"
import { findUser, publicUser, updateUser } from "../../identity/users.ts"
import { strictObject } from "../../lib/strict_object.ts"
import { fail } from "../../policies/failure.ts"
import { askedOf, ok, RAW, refuse } from "./app.ts"
import { DisplayName, displayNameOf } from "./body_types.ts"
import { compileBody } from "./json_body.ts"
import { ownAccount } from "./own_account.ts"
import { clearedCookies, withCookies } from "./set_cookie.ts"

/** The one thing people change about themselves: roles, tier and address are not theirs to set. */
const changeBody = compileBody(strictObject({ display_name: DisplayName }))

/** What people do with their own account. */
export function accountRoutes(context: IdentityContext) {
  const { store, wallClock, audit, settings } = context
  return new Elysia()
    .patch(
      "/users/me",
      async ({ request }) => {
        const asked = askedOf(request)
        const own = await ownAccount(context, asked)
        if (own.kind === "failure") return refuse(request, own)
        const read = changeBody(asked)
        if (read.kind === "failure") return refuse(request, read)
        const displayName = displayNameOf(read.body.display_name)
        if (typeof displayName !== "string") return refuse(request, displayName)
        const changed = await store.transaction(async (sql) => {
          await updateUser(sql, own.user.id, { displayName }, wallClock())
          await audit(sql, recordOf(own.actor, "account.change", "success", own.user.id))
          return findUser(sql, own.user.id)
        })
        return ok(publicUser(changed!))
      },
      RAW,
    )
    .delete(
      "/users/me",
      async ({ request }) => {
        const asked = askedOf(request)
        const own = await ownAccount(context, asked)
        if (own.kind === "failure") return refuse(request, own)
        // What a parent decides about must not be undone by making the account anew.
        if (own.user.parentId !== undefined)
          return refuse(
            request,
            fail("FORBIDDEN", { message: "The account of a child is deleted by its parent." }),
          )
        await store.transaction((sql) => deleteUser(context, sql, own.user, own.actor))
        const gone = new Response(null, { status: 204, headers: { "cache-control": "no-store" } })
        return own.principal.method === "session"
          ? withCookies(gone, clearedCookies(settings(), asked.scheme))
          : gone
      },
      RAW,
    )
}

import { Elysia } from "elysia"
import { changeUser, createUser, endSessionsByOperator, removeUser } from "../../identity/manage_users.ts"
import { isEmail } from "../../identity/registration.ts"
import { listSessions } from "../../identity/sessions.ts"
import { findUser, listUsers, normaliseLogin, publicUser, type User } from "../../identity/users.ts"
import { isoDate } from "../../lib/iso_date.ts"
import { Type } from "../../lib/type.ts"
import { ok, operatorOf, refuse } from "../answer.ts"
import { sessionView } from "../session_view.ts"
import type { People } from "./people.ts"
import { compileBody, compileQuery, fields, NO_NUL, PAGE, readPage, unfitFields } from "./read.ts"
import { Name, Roles, Tier, unknownRights } from "./rights.ts"

const readList = compileQuery(
  fields({ ...PAGE, search: Type.Optional(Type.String({ maxLength: 100, pattern: NO_NUL })) }),
)
const readNew = compileBody(
  fields({
    email: Type.String({ maxLength: 320 }),
    display_name: Type.Optional(Name),
    roles: Type.Optional(Roles),
    tier: Type.Optional(Tier),
  }),
)
const readChanges = compileBody(
  Type.Object(
    {
      display_name: Type.Optional(Name),
      roles: Type.Optional(Roles),
      tier: Type.Optional(Tier),
      status: Type.Optional(Type.Enum(["active", "disabled"])),
    },
    { additionalProperties: false, minProperties: 1 },
  ),
)

/** Accounts of people as operators manage them. Passwords are none of their business. */
export function userRoutes({ context, config }: People) {
  const { store } = context
  return new Elysia({ prefix: "/admin/v1/users" })
    .get("/", async ({ request }) => {
      const query = readList(request)
      if (query instanceof Response) return query
      const { search } = query
      const { items, next } = await readPage(query, (page) => listUsers(store, { ...page, search }))
      return ok({ users: items.map(publicUser), next_cursor: next })
    })
    .post(
      "/",
      async ({ request }) => {
        const body = await readNew(request)
        if (body instanceof Response) return body
        const { registration, tiers } = context.settings()
        const { email, display_name = "", roles = [registration.role], tier = tiers[0]! } = body
        const errors = [...unknownRights({ roles, tier }, config())]
        if (!isEmail(normaliseLogin(email)))
          errors.push({ field: "/email", message: "is no address accounts may have" })
        if (errors.length > 0) return unfitFields(request, errors)
        const wanted = { email, displayName: display_name, roles, tier }
        const made = await createUser(context, wanted, operatorOf(request))
        if (made.kind === "login_taken")
          return refuse(request, 409, "LOGIN_TAKEN", "There is an account with this address.")
        const password_token = { token: made.token, expires_at: isoDate(made.tokenExpiresAt) }
        return ok({ ...publicUser(made.user), password_token }, 201)
      },
      { parse: "none" },
    )
    .get("/:id", async ({ request, params: { id } }) => {
      const user = await findUser(store, id)
      return isThere(user) ? ok(publicUser(user)) : noUser(request)
    })
    .patch(
      "/:id",
      async ({ request, params: { id } }) => {
        const body = await readChanges(request)
        if (body instanceof Response) return body
        const errors = unknownRights(body, config())
        if (errors.length > 0) return unfitFields(request, errors)
        const { display_name, ...rest } = body
        const changes = { ...rest, ...(display_name !== undefined && { displayName: display_name }) }
        const changed = await changeUser(context, id, changes, operatorOf(request))
        return changed.kind === "not_found" ? noUser(request) : ok(publicUser(changed.user))
      },
      { parse: "none" },
    )
    .delete("/:id", async ({ request, params: { id } }) =>
      (await removeUser(context, id, operatorOf(request))) ? ok({ id, deleted: true }) : noUser(request),
    )
    .get("/:id/sessions", async ({ request, params: { id } }) => {
      if (!isThere(await findUser(store, id))) return noUser(request)
      const sessions = await listSessions(context, store, id)
      return ok({ sessions: sessions.map(sessionView) })
    })
    .delete("/:id/sessions", async ({ request, params: { id } }) => {
      if (!isThere(await findUser(store, id))) return noUser(request)
      return ok({ ended: await endSessionsByOperator(context, id, undefined, operatorOf(request)) })
    })
    .delete("/:id/sessions/:session", async ({ request, params: { id, session } }) => {
      const ended = await endSessionsByOperator(context, id, session, operatorOf(request))
      if (ended > 0) return ok({ ended })
      return refuse(request, 404, "NOT_FOUND", "The account has no such sign-in that goes on.")
    })
}

const isThere = (user: User | undefined): user is User => user !== undefined && user.status !== "deleted"

const noUser = (request: Request): Response =>
  refuse(request, 404, "NOT_FOUND", "There is no account with this id.")

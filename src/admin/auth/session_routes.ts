import { Elysia } from "elysia"
import type { IdentityContext } from "../../identity/context.ts"
import { logOut, signInOf } from "../../identity/log_out.ts"
import type { IdentityRequest } from "../../identity/messages.ts"
import type { Principal } from "../../identity/principal.ts"
import { endSession, listSessions } from "../../identity/sessions.ts"
import { findUser, publicUser } from "../../identity/users.ts"
import { parseJsonObject } from "../../lib/json_object.ts"
import { fail } from "../../policies/failure.ts"
import { sessionView } from "../session_view.ts"
import { askedOf, ok, RAW, refuse } from "./app.ts"
import { clearedCookies, withCookies } from "./set_cookie.ts"

/** The caller's own sign-ins, and who the caller is. */
export function sessionRoutes(context: IdentityContext) {
  return new Elysia()
    .post("/auth/logout", ({ request }) => answerLogout(context, request), RAW)
    .get("/auth/sessions", ({ request }) => answerList(context, request))
    .delete("/auth/sessions/:id", ({ request, params }) => answerEnd(context, request, params.id))
    .get("/users/me", ({ request }) => answerMe(context, request))
}

/** The worker has made sure that there is one. */
const callerOf = (asked: IdentityRequest): Principal => asked.principal!

/** The account of the caller; "" for whoever has none here: services, and people of other issuers. */
function accountOf({ settings }: IdentityContext, { kind, issuer, id }: Principal): string {
  return kind === "user" && issuer === settings().issuer ? id : ""
}

/** The account whose sign-ins the caller may see and end: not by an API key, which is no sign-in of a person. */
function signedInAccount(context: IdentityContext, principal: Principal): string {
  const { method } = principal
  return method === "jwt" || method === "session" ? accountOf(context, principal) : ""
}

async function answerLogout(context: IdentityContext, request: Request): Promise<Response> {
  const asked = askedOf(request)
  const principal = callerOf(asked)
  const all = readAll(asked.body)
  if (all === undefined)
    return refuse(
      request,
      fail("INVALID_REQUEST", { message: 'The body must be {"all": true}, {"all": false} or nothing.' }),
    )
  const { client, requestId, scheme } = asked
  const by = { actor: principal.id, client, requestId }
  const account = all ? signedInAccount(context, principal) : ""
  const done = await logOut(context, principal, account, by)
  if (done.kind === "nothing")
    return refuse(request, fail("INVALID_REQUEST", { message: "There is no sign-in that could end." }))
  if (done.kind === "too_many")
    return refuse(request, fail("TOO_MANY_ATTEMPTS", { retryAfterS: done.retryAfterS }))
  return withCookies(ok({ status: "logged_out" }), clearedCookies(context.settings(), scheme))
}

/** `undefined`: the body is something else. */
function readAll(body: Uint8Array | undefined): boolean | undefined {
  if (body === undefined || body.length === 0) return false
  const { all = false, ...rest } = parseJsonObject(body, 2) ?? { all: "" }
  return typeof all === "boolean" && Object.keys(rest).length === 0 ? all : undefined
}

async function answerList(context: IdentityContext, request: Request): Promise<Response> {
  const principal = callerOf(askedOf(request))
  const sessions = await listSessions(context, context.store, signedInAccount(context, principal))
  return ok({
    sessions: sessions.map((each) => ({ ...sessionView(each), current: each.id === principal.sessionId })),
  })
}

async function answerEnd(context: IdentityContext, request: Request, id: string): Promise<Response> {
  const { client, requestId, scheme, principal: found } = askedOf(request)
  const principal = found!
  const ended = await context.store.transaction(async (sql) => {
    // Of others it is as if there were none.
    const own = await sql.get("SELECT 1 AS own FROM sessions WHERE id = $1 AND user_id = $2", [
      id,
      signedInAccount(context, principal),
    ])
    const by = { actor: principal.id, client, requestId }
    return own !== undefined && (await endSession(context, sql, id, "ended_by_user", by))
  })
  if (!ended) return refuse(request, fail("NOT_FOUND", { message: "You have no such sign-in." }))
  const cookies = id === principal.sessionId ? clearedCookies(context.settings(), scheme) : []
  return withCookies(ok({ status: "ended" }), cookies)
}

async function answerMe(context: IdentityContext, request: Request): Promise<Response> {
  const principal = callerOf(askedOf(request))
  const account = accountOf(context, principal)
  const user = account === "" ? undefined : await findUser(context.store, account)
  const { id, kind, method, issuer, roles, scopes, permissions, tier } = principal
  const sessionId = signInOf(principal)
  return ok({
    ...(user !== undefined && publicUser(user)),
    ...{ id, kind, method, issuer, roles, scopes, permissions, tier },
    session_id: sessionId === "" ? null : sessionId,
  })
}

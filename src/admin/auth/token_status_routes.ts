import { Elysia } from "elysia"
import type { IdentityContext } from "../../identity/context.ts"
import { introspect, revokeToken } from "../../identity/introspect.ts"
import type { IdentityRequest } from "../../identity/messages.ts"
import { liveOwnClaims } from "../../identity/own_token.ts"
import type { Throttle } from "../../identity/throttle.ts"
import { ok, RAW } from "./app.ts"
import { askingOf, fieldOf } from "./asking.ts"
import { type ClientOutcome, clientOf, refuseClient } from "./client_credentials.ts"
import { refuseOAuth } from "./oauth_error.ts"
import { type OAuthRequest, oauth } from "./oauth_request.ts"

/** Scopes by which a service may ask about tokens. */
const INTROSPECT_SCOPES = ["introspect", "admin"]

/** Whether a token holds (RFC 7662), and the end of one (RFC 7009). */
export function tokenStatusRoutes(context: IdentityContext, throttle: Throttle) {
  return new Elysia()
    .post(
      "/auth/introspect",
      oauth((given) => answerIntrospect(context, throttle, given)),
      RAW,
    )
    .post(
      "/auth/revoke",
      oauth((given) => answerRevoke(context, throttle, given)),
      RAW,
    )
}

const NO_TOKEN = "`token` is missing."

async function answerIntrospect(
  context: IdentityContext,
  throttle: Throttle,
  { request, asked, form, values }: OAuthRequest,
): Promise<Response> {
  const asker = await askerOf(context, throttle, asked, values)
  const record = (outcome: "success" | "failure", actor: string, subject: string, active: number) =>
    context.audit(context.store, {
      action: "token.introspect",
      outcome,
      actor,
      subject,
      client: asked.client,
      requestId: asked.requestId,
      details: { active },
    })
  if (typeof asker === "object") {
    await record("failure", "", "", 0)
    context.count("introspect", "failure")
    return refuseClient(request, form, asker)
  }
  const token = values.get("token")
  if (token === undefined) return refuseOAuth(request, form, "invalid_request", NO_TOKEN)
  const told = await introspect(context, token)
  const subject = told.active && typeof told.jti === "string" ? told.jti : ""
  await record("success", asker, subject, told.active ? 1 : 0)
  context.count("introspect", "success")
  return ok(told)
}

/** Id of who asks: a client, or a service with a token for it. */
async function askerOf(
  context: IdentityContext,
  throttle: Throttle,
  asked: IdentityRequest,
  values: ReadonlyMap<string, string>,
): Promise<string | Exclude<ClientOutcome, { kind: "client" }>> {
  const outcome = await clientOf(context, throttle, asked, values)
  if (outcome.kind === "client") return outcome.client.id
  if (outcome.kind !== "none") return outcome
  const bearer = /^bearer +(\S+)$/i.exec(fieldOf(asked, "authorization") ?? "")?.[1]
  const claims = bearer === undefined ? undefined : await liveOwnClaims(context, context.store, bearer)
  const scopes = typeof claims?.scope === "string" ? claims.scope.split(" ") : []
  const mayAsk = INTROSPECT_SCOPES.some((scope) => scopes.includes(scope))
  return mayAsk && typeof claims?.sub === "string" ? claims.sub : outcome
}

async function answerRevoke(
  context: IdentityContext,
  throttle: Throttle,
  { request, asked, form, values }: OAuthRequest,
): Promise<Response> {
  const token = values.get("token")
  if (token === undefined) return refuseOAuth(request, form, "invalid_request", NO_TOKEN)
  const outcome = await clientOf(context, throttle, asked, values)
  if (outcome.kind !== "client" && outcome.kind !== "none") return refuseClient(request, form, outcome)
  const clientId = outcome.kind === "client" ? outcome.client.id : undefined
  const { client, requestId } = askingOf(asked)
  await revokeToken(context, token, clientId, { client, requestId })
  return ok({})
}

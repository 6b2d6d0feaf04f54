import { Elysia } from "elysia"
import { scopesGranted } from "../../identity/access_token.ts"
import type { Accounts } from "../../identity/accounts.ts"
import { issueClientToken } from "../../identity/client_token.ts"
import { loginWithPassword } from "../../identity/password_login.ts"
import { type Refreshed, refresh } from "../../identity/refresh.ts"
import { endSession, type SignedIn } from "../../identity/sessions.ts"
import { challenge } from "../../policies/challenge.ts"
import { fail } from "../../policies/failure.ts"
import { askedOf, ok, RAW, refuse } from "./app.ts"
import { askingOf } from "./asking.ts"
import { clientOf, refuseClient } from "./client_credentials.ts"
import { refuseForNow, refuseOAuth } from "./oauth_error.ts"
import { type OAuthRequest, oauth } from "./oauth_request.ts"
import { isScopeList, readParameters } from "./parameters.ts"

/** What a grant is given. */
interface Grant extends OAuthRequest {
  readonly accounts: Accounts
  readonly scope: string
}

/** The token endpoint (RFC 6749 section 3.2) and the refreshing of tokens for pages. */
export function tokenRoutes(accounts: Accounts) {
  return new Elysia()
    .post(
      "/auth/token",
      oauth((given) => answerToken(accounts, given)),
      RAW,
    )
    .post("/auth/refresh", ({ request }) => answerRefresh(accounts, request), RAW)
}

async function answerToken(accounts: Accounts, given: OAuthRequest): Promise<Response> {
  const { request, form, values } = given
  const scope = values.get("scope") ?? ""
  if (!isScopeList(scope)) return refuseOAuth(request, form, "invalid_scope", "The scope cannot be read.")
  const grant: Grant = { ...given, accounts, scope }
  switch (values.get("grant_type") ?? (values.has("username") ? "password" : "")) {
    case "password":
      return byPassword(grant)
    case "client_credentials":
      return byClientCredentials(grant)
    case "refresh_token":
      return byRefreshToken(grant)
    case "":
      return refuseOAuth(request, form, "invalid_request", "`grant_type` is missing.")
    default:
      return refuseOAuth(request, form, "unsupported_grant_type", "The grant type is not supported.")
  }
}

const SCOPE_REFUSED = "A scope was asked for that is not granted."

async function byPassword({ accounts, request, asked, form, values, scope }: Grant): Promise<Response> {
  const { context } = accounts
  const login = values.get("username")
  const password = values.get("password")
  if (login === undefined || password === undefined)
    return refuseOAuth(request, form, "invalid_request", "`username` and `password` are needed.")
  const asking = askingOf(asked)
  const outcome = await loginWithPassword(accounts, { login, password, kind: "token", scope }, asking)
  switch (outcome.kind) {
    case "signed_in": {
      const { signedIn, user } = outcome
      if (signedIn.kind !== "token") throw new Error("signing in: no token came of it")
      if (scopesGranted(signedIn.scope.split(" "), scope)) return ok(tokenBody(signedIn))
      // Told only now: before the password was right it would have told who has an account.
      const by = { actor: user.id, client: asking.client, requestId: asking.requestId }
      await context.store.transaction((sql) => endSession(context, sql, signedIn.sessionId, "revoked", by))
      return refuseOAuth(request, form, "invalid_scope", SCOPE_REFUSED)
    }
    case "wrong":
      return refuseOAuth(request, form, "invalid_grant", "The user name or password is wrong.")
    case "throttled":
      return refuseForNow(request, form, fail("TOO_MANY_ATTEMPTS", { retryAfterS: outcome.retryAfterS }))
    case "busy":
      return refuseForNow(request, form, fail("OVERLOADED", { retryAfterS: 1 }))
  }
}

async function byClientCredentials({
  accounts,
  request,
  asked,
  form,
  values,
  scope,
}: Grant): Promise<Response> {
  const { context, throttle } = accounts
  const outcome = await clientOf(context, throttle, asked, values)
  if (outcome.kind !== "client") return refuseClient(request, form, outcome)
  const token = await issueClientToken(context, outcome.client, scope, askingOf(asked))
  if (token === undefined) return refuseOAuth(request, form, "invalid_scope", SCOPE_REFUSED)
  const { token: access_token, expiresInS } = token
  return ok({ access_token, token_type: "Bearer", expires_in: expiresInS, scope: token.scope })
}

async function byRefreshToken({ accounts, request, asked, form, values, scope }: Grant): Promise<Response> {
  const token = values.get("refresh_token")
  if (token === undefined) return refuseOAuth(request, form, "invalid_request", "`refresh_token` is missing.")
  const outcome = await refresh(accounts, { token, scope, asking: askingOf(asked) })
  switch (outcome.kind) {
    case "refreshed":
      return ok(tokenBody(outcome))
    case "refused":
      return refuseOAuth(request, form, "invalid_grant", "The refresh token is not valid.")
    case "scope":
      return refuseOAuth(request, form, "invalid_scope", SCOPE_REFUSED)
  }
}

async function answerRefresh(accounts: Accounts, request: Request): Promise<Response> {
  const asked = askedOf(request)
  const parameters = readParameters(asked)
  if (!parameters.ok) return refuse(request, fail("INVALID_REQUEST", { message: parameters.message }))
  const token = parameters.values.get("refresh_token")
  if (token === undefined)
    return refuse(request, fail("INVALID_REQUEST", { message: "`refresh_token` is missing." }))
  const outcome = await refresh(accounts, { token, scope: "", asking: askingOf(asked) })
  if (outcome.kind === "refreshed") return ok(tokenBody(outcome))
  const header = challenge(accounts.context.settings().issuer, "invalid_token")
  return refuse(request, fail("AUTH_ERROR", { headers: { "www-authenticate": header } }))
}

type Issued = Extract<SignedIn, { kind: "token" }> | Extract<Refreshed, { kind: "refreshed" }>

/** The answer of RFC 6749 section 5.1. */
export function tokenBody({ accessToken, expiresInS, refreshToken, scope }: Issued): object {
  return {
    access_token: accessToken,
    token_type: "Bearer",
    expires_in: expiresInS,
    refresh_token: refreshToken,
    scope,
  }
}

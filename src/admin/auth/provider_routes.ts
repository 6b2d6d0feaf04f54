import { Elysia } from "elysia"
import type { IdentityContext } from "../../identity/context.ts"
import type { IdentityRequest } from "../../identity/messages.ts"
import type { Providers } from "../../identity/providers.ts"
import { parseReturnTo, withError } from "../../identity/return_to.ts"
import { readSessionCookie } from "../../identity/session_cookie.ts"
import type { AuthSettings } from "../../identity/settings.ts"
import { SIGN_IN_MS } from "../../identity/sign_in_state.ts"
import { fail } from "../../policies/failure.ts"
import { askedOf, ok, refuse } from "./app.ts"
import { askingOf, fieldOf } from "./asking.ts"
import { sessionCookies, withCookies } from "./set_cookie.ts"

/** Sign-ins one browser may have under way; the next one ends the others. */
const MAX_UNDER_WAY = 5
/** Codes a page may be told (RFC 6749 section 4.1.2.1, OpenID Connect Core 1.0 section 3.1.2.6). */
const ERRORS: ReadonlySet<string> = new Set([
  "access_denied",
  "account_selection_required",
  "consent_required",
  "interaction_required",
  "login_required",
  "server_error",
  "temporarily_unavailable",
])

const challenge = { "www-authenticate": "Bearer" }
const UNKNOWN = fail("NOT_FOUND", { message: "There is no such provider." })
const AWAY = fail("SERVICE_UNAVAILABLE", {
  retryAfterS: 5,
  message: "The provider does not answer just now; sign in again later.",
})
const BUSY = fail("OVERLOADED", { retryAfterS: 2, message: "Too many people sign in at the moment." })
const NOWHERE = fail("INVALID_REQUEST", {
  message: "`return_to` must be a path of this host, or begin with an origin in `auth.session.return_to`.",
})
const NOT_SIGNED_IN = fail("AUTH_ERROR", {
  message: "The sign-in did not succeed; begin it again.",
  headers: challenge,
})
const NO_ACCOUNT = fail("FORBIDDEN", { message: "This account of the provider may not sign in here." })

/** Sign-in with OpenID providers. */
export function providerRoutes(context: IdentityContext, providers: Providers) {
  return new Elysia()
    .get("/auth/providers", ({ request }) => {
      const { path } = askedOf(request)
      return ok({ providers: providers.names().map((name) => ({ name, start: `${path}/${name}/start` })) })
    })
    .get("/auth/providers/:provider/start", ({ request, params }) =>
      answerStart(context, providers, request, params.provider),
    )
    .get("/auth/providers/:provider/callback", ({ request, params }) =>
      answerCallback(context, providers, request, params.provider),
    )
}

async function answerStart(
  { settings }: IdentityContext,
  providers: Providers,
  request: Request,
  provider: string,
): Promise<Response> {
  const asked = askedOf(request)
  const [wanted = "/", ...more] = new URLSearchParams(asked.query).getAll("return_to")
  const returnTo = parseReturnTo(wanted, settings().session.return_to)
  if (returnTo === undefined || more.length > 0) return refuse(request, NOWHERE)
  const callback = `${asked.path.slice(0, -"/start".length)}/callback`
  const begun = await providers.begin(provider, ownUrl(settings(), asked, callback), returnTo)
  switch (begun.kind) {
    case "unknown_provider":
      return refuse(request, UNKNOWN)
    case "away":
      return refuse(request, AWAY)
    case "begun": {
      const value = stateCookie(asked, stateCookieName(asked, begun.state), begun.sealed, SIGN_IN_MS / 1000)
      return redirect(302, begun.location, [...surplusCookies(asked), value])
    }
  }
}

async function answerCallback(
  { settings }: IdentityContext,
  providers: Providers,
  request: Request,
  provider: string,
): Promise<Response> {
  const asked = askedOf(request)
  const [state = "", ...more] = new URLSearchParams(asked.query).getAll("state")
  const name = stateCookieName(asked, state)
  const sealed = more.length > 0 ? undefined : readSessionCookie(fieldOf(asked, "cookie"), name)
  const finished = await providers.finish(
    {
      provider,
      redirectUri: ownUrl(settings(), asked, asked.path),
      query: asked.query,
      state,
      sealed: sealed === "several" ? undefined : sealed,
    },
    askingOf(asked),
  )
  const forget = stateCookie(asked, name, "", 0)
  switch (finished.kind) {
    case "signed_in": {
      const cookies = [forget, ...sessionCookies(settings(), asked.scheme, finished.signedIn)]
      const { same_site } = settings().session
      return same_site === "strict"
        ? moveOn(finished.returnTo, cookies)
        : redirect(303, finished.returnTo, cookies)
    }
    case "declined":
      if (!ERRORS.has(finished.error)) return refuse(request, NOT_SIGNED_IN)
      return redirect(303, withError(finished.returnTo, finished.error), [forget])
    case "refused":
      return refuse(request, NO_FAULT.has(finished.reason) ? NO_ACCOUNT : NOT_SIGNED_IN)
    case "unknown_provider":
      return refuse(request, UNKNOWN)
    case "away":
      return refuse(request, AWAY)
    case "busy":
      return refuse(request, BUSY)
  }
}

/** Refusals that say nothing of what was sent: the provider has vouched for who asks. */
const NO_FAULT: ReadonlySet<string> = new Set(["no_account", "disabled"])

/** An address of the gateway as browsers know it: `auth.public_url`, or the host that was asked. */
function ownUrl({ public_url }: AuthSettings, { scheme, host }: IdentityRequest, path: string): string {
  return `${public_url ?? `${scheme}://${host}`}${path}`
}

const STATE_COOKIE = "gh_sign_in_"

/** One for each sign-in, so that two tabs do not end each other's. `state` of a callback may be anything. */
function stateCookieName({ scheme }: IdentityRequest, state: string): string {
  const key = /^[A-Za-z0-9_-]{43}$/.test(state) ? state.slice(0, 12) : "none"
  return `${scheme === "https" ? "__Host-" : ""}${STATE_COOKIE}${key}`
}

/** Lax: it must come along when the provider sends the browser back. */
function stateCookie({ scheme }: IdentityRequest, name: string, value: string, maxAgeS: number): string {
  const secure = scheme === "https" ? "; Secure" : ""
  return `${name}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Lax${secure}`
}

/** Values of Set-Cookie that end the sign-ins under way when they are too many for a request header. */
function surplusCookies(asked: IdentityRequest): readonly string[] {
  const prefix = `${asked.scheme === "https" ? "__Host-" : ""}${STATE_COOKIE}`
  const names = (fieldOf(asked, "cookie") ?? "")
    .split(";")
    .map((pair) => pair.split("=", 1)[0]!.trim())
    .filter((name) => name.startsWith(prefix) && /^[A-Za-z0-9_-]{12}$/.test(name.slice(prefix.length)))
  return names.length < MAX_UNDER_WAY ? [] : names.map((name) => stateCookie(asked, name, "", 0))
}

const PRIVATE = { "cache-control": "no-store", "referrer-policy": "no-referrer" }

/**
 * Sends a browser on by a page of this origin: a redirect is still a visit from the provider's, for which cookies
 * with SameSite=Strict stay at home. The place is one `parseReturnTo` gave: no quote begins it.
 */
function moveOn(location: string, cookies: readonly string[]): Response {
  const headers = { ...PRIVATE, refresh: `0;url=${location}`, "content-type": "text/html; charset=utf-8" }
  return withCookies(new Response("<!doctype html><title>Signed in</title>", { headers }), cookies)
}

function redirect(status: 302 | 303, location: string, cookies: readonly string[]): Response {
  return withCookies(new Response(null, { status, headers: { ...PRIVATE, location } }), cookies)
}

import type { IdentityRequest } from "../../identity/messages.ts"
import type { SignedIn } from "../../identity/sessions.ts"
import type { AuthSettings } from "../../identity/settings.ts"
import { ok } from "./app.ts"
import { sessionCookies, withCookies } from "./set_cookie.ts"
import { tokenBody } from "./token_routes.ts"

/** The answer to a sign-in: tokens, or cookies and the CSRF token. */
export function signedInAnswer(settings: AuthSettings, asked: IdentityRequest, signedIn: SignedIn): Response {
  if (signedIn.kind === "token") return ok(tokenBody(signedIn))
  const body = { csrf_token: signedIn.csrf, expires_in: signedIn.maxAgeS }
  return withCookies(ok(body), sessionCookies(settings, asked.scheme, signedIn))
}

import type { IdentityRequest } from "../../identity/messages.ts"
import { sessionCookieName } from "../../identity/session_cookie.ts"
import type { SignedIn } from "../../identity/sessions.ts"
import type { AuthSettings } from "../../identity/settings.ts"

/** Cookie a page reads to send it back as `X-CSRF-Token`. */
export const CSRF_COOKIE = "gh_csrf"

type Settings = Pick<AuthSettings, "session">
type Scheme = IdentityRequest["scheme"]

const SAME_SITE = { lax: "Lax", strict: "Strict" } as const

/**
 * Values of Set-Cookie for a session: its own, which no script can read, and the CSRF token, which pages must.
 * Over https both are Secure, and the first is bound to this host (`__Host-`).
 */
export function sessionCookies(
  settings: Settings,
  scheme: Scheme,
  { cookie, csrf, maxAgeS }: Extract<SignedIn, { kind: "cookie" }>,
): readonly string[] {
  return both(settings, scheme, cookie, csrf, maxAgeS)
}

/** Values of Set-Cookie that make a browser forget both. */
export function clearedCookies(settings: Settings, scheme: Scheme): readonly string[] {
  return both(settings, scheme, "", "", 0)
}

function both(
  settings: Settings,
  scheme: Scheme,
  cookie: string,
  csrf: string,
  maxAgeS: number,
): readonly string[] {
  const sameSite = SAME_SITE[settings.session.same_site]
  const common = `Path=/; Max-Age=${maxAgeS}; SameSite=${sameSite}${scheme === "https" ? "; Secure" : ""}`
  return [
    `${sessionCookieName(settings, scheme)}=${cookie}; ${common}; HttpOnly`,
    `${CSRF_COOKIE}=${csrf}; ${common}`,
  ]
}

/** The answer with these cookies added. */
export function withCookies(response: Response, cookies: readonly string[]): Response {
  for (const cookie of cookies) response.headers.append("set-cookie", cookie)
  return response
}

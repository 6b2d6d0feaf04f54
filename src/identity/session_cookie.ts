import type { AuthSettings } from "./settings.ts"

/**
 * Name of the session cookie. Over https it has the prefix `__Host-` (RFC 6265bis section 4.1.3.2): no other host
 * of the domain and no plain page can set it.
 */
export function sessionCookieName(settings: Pick<AuthSettings, "session">, scheme: "http" | "https"): string {
  return scheme === "https" ? `__Host-${settings.session.cookie}` : settings.session.cookie
}

/**
 * Value of the cookie with exactly this name. `cookieHeader`: the Cookie field, lines joined by "; ". "" counts as
 * none. "several": it is there more than once, which a browser does when somebody planted a second one; which of
 * them counts must not be guessed.
 */
export function readSessionCookie(
  cookieHeader: string | undefined,
  name: string,
): string | undefined | "several" {
  // Most requests have no such cookie: one search, no parsing.
  if (cookieHeader === undefined || !cookieHeader.includes(name)) return undefined
  let found: string | undefined
  for (let start = 0; start < cookieHeader.length; ) {
    const semicolon = cookieHeader.indexOf(";", start)
    const end = semicolon === -1 ? cookieHeader.length : semicolon
    if (isNamed(cookieHeader, start, end, name)) {
      if (found !== undefined) return "several"
      found = cookieHeader.slice(cookieHeader.indexOf("=", start) + 1, end).trim()
    }
    start = end + 1
  }
  return found === "" ? undefined : found
}

/** Longest value of a session cookie. */
const MAX_SESSION_LENGTH = 512
/** RFC 6265 section 4.1.1, without quotes. */
const COOKIE_VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/

/** Whether a session cookie may have this value at all. */
export const isSessionText = (value: string): boolean =>
  value.length <= MAX_SESSION_LENGTH && COOKIE_VALUE.test(value)

/**
 * The Cookie field without the cookie of this name, the others as they were; `undefined` when none is left. Gives
 * the same text back when it is not among them.
 */
export function withoutCookie(cookieHeader: string, name: string): string | undefined {
  if (!cookieHeader.includes(name)) return cookieHeader
  const kept: string[] = []
  let removed = false
  for (const pair of cookieHeader.split(";")) {
    if (isNamed(pair, 0, pair.length, name)) removed = true
    else kept.push(pair)
  }
  if (!removed) return cookieHeader
  const rest = kept.join(";").trim()
  return rest === "" ? undefined : rest
}

/** Whether the pair between the two places has this name; spaces around it do not count. */
function isNamed(text: string, start: number, end: number, name: string): boolean {
  const equals = text.indexOf("=", start)
  if (equals === -1 || equals >= end) return false
  return text.slice(start, equals).trim() === name
}

import { csrfToken } from "../identity/csrf.ts"
import { readSessionCookie, sessionCookieName } from "../identity/session_cookie.ts"
import type { AuthSettings } from "../identity/settings.ts"
import { late } from "../lib/late.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { type Failure, fail } from "./failure.ts"
import { compileOrigins } from "./origins.ts"

const FAILED = fail("CSRF_FAILED")
const CROSS_SITE = fail("CSRF_FAILED", {
  message: "Another site may not do this with a session cookie.",
})
const FOREIGN = fail("ORIGIN_NOT_ALLOWED", {
  message: "A page of this origin may not open a WebSocket with a session cookie.",
})

/** Asks whether a request that proved itself by a session cookie was meant by the one who holds it. */
export type BrowserCheck = (exchange: Exchange) => Failure | undefined

/**
 * Browsers send cookies with requests that other sites start. So unsafe methods need the CSRF token, which other
 * sites cannot read, and WebSocket handshakes an origin that is known: no page is asked for anything before those.
 * `origins`: those the route's `cors` allows.
 */
export function compileBrowserCheck(
  settings: Pick<AuthSettings, "session">,
  origins: readonly string[],
): BrowserCheck {
  // "*" is no answer here (cookies are at stake), and any page can make itself the origin "null".
  const isAllowed = compileOrigins(
    [...origins, ...settings.session.return_to].filter((origin) => origin !== "*" && origin !== "null"),
  )
  return (exchange) => {
    if (exchange.header("upgrade") !== undefined) {
      const origin = exchange.header("origin")
      if (origin === undefined || !(isOwn(origin, exchange) || isAllowed(origin))) return FOREIGN
    }
    const { method } = exchange
    if (method === "GET" || method === "HEAD" || method === "OPTIONS") return undefined
    if (exchange.header("sec-fetch-site") === "cross-site") return CROSS_SITE
    const session = readSessionCookie(exchange.header("cookie"), sessionCookieName(settings, exchange.scheme))
    if (session === undefined || session === "several") return FAILED
    return isSame(exchange.header("x-csrf-token") ?? "", csrfToken(session)) ? undefined : FAILED
  }
}

function isOwn(origin: string, { scheme, host }: Exchange): boolean {
  return origin === `${scheme}://${host}`
}

/** In constant time for texts of one length; the right one's length is no secret. */
function isSame(given: string, right: string): boolean {
  const bytes = Buffer.from(given)
  const wanted = Buffer.from(right)
  return bytes.length === wanted.length && late.crypto.timingSafeEqual(bytes, wanted)
}

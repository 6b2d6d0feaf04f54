import { late } from "../lib/late.ts"

const LABEL = "gatehouse csrf 1"

/**
 * What a page must send as `X-CSRF-Token` with unsafe requests of its session: derived from the session's token,
 * so nothing is kept for it, and of no use to find that token. 43 characters of base64url.
 */
export function csrfToken(sessionToken: string): string {
  return late.crypto.createHmac("sha256", sessionToken).update(LABEL).digest("base64url")
}

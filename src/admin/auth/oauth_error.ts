import { type Failure, fail } from "../../policies/failure.ts"
import { ok, refuse } from "./app.ts"

/** Errors of RFC 6749 section 5.2. */
export type OAuthError =
  | "invalid_request"
  | "invalid_client"
  | "invalid_grant"
  | "unsupported_grant_type"
  | "invalid_scope"

/** What a client asks for next when it was not known (RFC 6749 section 5.2, RFC 7617). */
const ASK_CLIENT = { "www-authenticate": 'Basic realm="gatehouse", charset="UTF-8"' }

/**
 * Refuses a request of OAuth: who sent a form gets the errors of RFC 6749, who sent JSON those of the gateway.
 * `description` is for people; it says nothing of secrets.
 */
export function refuseOAuth(
  request: Request,
  form: boolean,
  error: OAuthError,
  description: string,
): Response {
  if (!form) return refuse(request, toFailure(error, description))
  const isClient = error === "invalid_client"
  const body = { error, error_description: description }
  return ok(body, isClient ? 401 : 400, isClient ? ASK_CLIENT : {})
}

/** Refuses what came too often, or cannot be done now; OAuth has no error of its own for it. */
export function refuseForNow(request: Request, form: boolean, failure: Failure): Response {
  if (!form) return refuse(request, failure)
  const { retryAfterS, message } = failure
  const body = { error: "temporarily_unavailable", error_description: message }
  const status = failure.code === "TOO_MANY_ATTEMPTS" ? 429 : 503
  return ok(body, status, retryAfterS === undefined ? {} : { "retry-after": String(retryAfterS) })
}

function toFailure(error: OAuthError, message: string): Failure {
  const details = { error }
  switch (error) {
    case "invalid_client":
      return fail("AUTH_ERROR", { message, details, headers: ASK_CLIENT })
    case "invalid_grant":
      return fail("AUTH_ERROR", { message, details })
    case "invalid_request":
    case "unsupported_grant_type":
    case "invalid_scope":
      return fail("INVALID_REQUEST", { message, details })
  }
}

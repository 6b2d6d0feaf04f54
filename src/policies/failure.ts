/** What kind of thing went wrong, for dashboards and clients that group errors. */
export type FailureCategory =
  | "validation"
  | "authentication"
  | "authorization"
  | "limit"
  | "server"
  | "unavailable"

interface FailureRow {
  readonly status: number
  readonly category: FailureCategory
  /** What a client may read when nothing more exact is known. */
  readonly message: string
  /** One sentence for the reference: when it happens and what the caller does about it. */
  readonly doc: string
}

const row = (status: number, category: FailureCategory, message: string, doc: string): FailureRow => ({
  status,
  category,
  message,
  doc,
})

/** Every failure the gateway answers with. Codes are stable: clients may switch on them. */
export const FAILURES = {
  INVALID_REQUEST: row(
    400,
    "validation",
    "The request is malformed.",
    "The request line, a header or the body breaks the protocol or a rule of the route; `details` tells where.",
  ),
  INVALID_HOST: row(
    400,
    "validation",
    "The Host header is missing or malformed.",
    "Send exactly one Host with a valid name or address.",
  ),
  INVALID_PATH: row(
    400,
    "validation",
    "The path is ambiguous or malformed.",
    "The path has an encoded slash, backslash or NUL, a bad escape, or a `;`; send the plain form, or let the route allow it.",
  ),
  VALIDATION_FAILED: row(
    400,
    "validation",
    "The request does not match the route's schema.",
    "`details.errors` lists each place with a JSON pointer and what is wrong.",
  ),
  MISSING_HEADER: row(
    400,
    "validation",
    "A required header is missing or has a value that is not allowed.",
    "`details` names the header and the allowed values.",
  ),
  INVALID_FIELD: row(
    422,
    "validation",
    "A field of the request has a value that cannot be used.",
    "`details.errors` lists the fields and what would do; an unknown field is refused too.",
  ),
  AUTH_ERROR: row(
    401,
    "authentication",
    "This needs valid credentials.",
    "`WWW-Authenticate` tells what is wrong with the token; sign in, refresh the token or send an API key.",
  ),
  FORBIDDEN: row(
    403,
    "authorization",
    "The caller may not do this.",
    "`details.missing` names the role, scope, permission, tier or condition that is missing.",
  ),
  CSRF_FAILED: row(
    403,
    "authorization",
    "The request lacks the CSRF token of its session.",
    "Send the value of the `gh_csrf` cookie as `X-CSRF-Token` with every unsafe request that uses a session cookie.",
  ),
  HTTPS_REQUIRED: row(
    403,
    "authorization",
    "This endpoint answers over https only.",
    "Call it over https; behind a proxy that ends TLS, list it in `server.trusted_proxies`.",
  ),
  TOO_MANY_ATTEMPTS: row(
    429,
    "limit",
    "Too many failed attempts.",
    "Sign-in waits or is locked after failures; retry after `Retry-After` seconds.",
  ),
  RATE_LIMITED: row(
    429,
    "limit",
    "Too many requests.",
    "`details.limit` names the rate limit; it has room again after `Retry-After` seconds.",
  ),
  CLIENT_BLOCKED: row(
    403,
    "limit",
    "This client is blocked.",
    "Too many requests from this address were refused, or an operator blocked it; it is answered again after `Retry-After` seconds.",
  ),
  QUOTA_EXCEEDED: row(
    429,
    "limit",
    "What you may use in this period is used up.",
    "`details` tells the quota, its limit, what is used and when it begins anew: after `Retry-After` seconds.",
  ),
  CONFLICT: row(
    409,
    "validation",
    "The request conflicts with what is there.",
    "`message` names what is taken or has changed.",
  ),
  NOT_FOUND: row(404, "validation", "No route matches this request.", "Check host, path and version prefix."),
  METHOD_NOT_ALLOWED: row(
    405,
    "validation",
    "The method is not allowed here.",
    "The `Allow` header lists the methods of this path.",
  ),
  NOT_ACCEPTABLE: row(
    406,
    "validation",
    "No offered media type is acceptable.",
    "`details.available` lists the media types of this route.",
  ),
  REQUEST_TIMEOUT: row(
    408,
    "validation",
    "The request did not arrive in time.",
    "The body came slower than the minimum rate or stopped.",
  ),
  PAYLOAD_TOO_LARGE: row(
    413,
    "validation",
    "The request body is too large.",
    "`details.limit` gives the limit in bytes.",
  ),
  UNSUPPORTED_MEDIA_TYPE: row(
    415,
    "validation",
    "The media type of the body is not supported.",
    "`details.supported` lists what the route reads.",
  ),
  EXPECTATION_FAILED: row(
    417,
    "validation",
    "The expectation is not supported.",
    "Only `Expect: 100-continue` is understood.",
  ),
  HEADERS_TOO_LARGE: row(
    431,
    "validation",
    "The request head is too large.",
    "Request line and headers may have 16 KB and 198 lines; send fewer or shorter cookies, or a shorter URL.",
  ),
  UPGRADE_REQUIRED: row(
    426,
    "validation",
    "This resource speaks WebSocket.",
    "Send a WebSocket handshake (RFC 6455).",
  ),
  HANDSHAKE_UNAUTHENTICATED: row(
    401,
    "authentication",
    "The service asks for credentials before it opens a WebSocket.",
    "The service refused the handshake with 401.",
  ),
  HANDSHAKE_FORBIDDEN: row(
    403,
    "authorization",
    "The service does not open this WebSocket to the caller.",
    "The service refused the handshake with 403.",
  ),
  ORIGIN_NOT_ALLOWED: row(
    403,
    "authorization",
    "This origin may not use the resource.",
    "Add the origin to the route's `cors.origins`.",
  ),
  INTERNAL_ERROR: row(
    500,
    "server",
    "The gateway failed to handle the request.",
    "A fault of the gateway; the log has the cause under the request id.",
  ),
  BAD_GATEWAY: row(
    502,
    "server",
    "The service gave no valid answer.",
    "The connection broke or the answer broke the protocol; it is safe to repeat idempotent requests.",
  ),
  SERVICE_UNAVAILABLE: row(
    503,
    "unavailable",
    "The service is not available.",
    "No instance is there, is healthy or has room; retry after `Retry-After` seconds. Where a service it depends on is down, `details.chain` names the way to it.",
  ),
  CIRCUIT_OPEN: row(
    503,
    "unavailable",
    "The service is failing and its circuit is open.",
    "Too many requests to the service failed; retry after `Retry-After` seconds. Where a service it depends on is down, `details.chain` names the way to it.",
  ),
  OVERLOADED: row(
    503,
    "limit",
    "The gateway has no room for this request.",
    "A queue, a connection bound or the concurrency limit of the service was reached, or the gateway cannot keep up; retry after `Retry-After` seconds.",
  ),
  SHUTTING_DOWN: row(
    503,
    "unavailable",
    "The gateway is shutting down.",
    "No new WebSocket is relayed any more; connect again.",
  ),
  GATEWAY_TIMEOUT: row(
    504,
    "unavailable",
    "The service did not answer in time.",
    "The timeout of the service or route passed; the service may still have done the work.",
  ),
} as const satisfies Record<string, FailureRow>

export type FailureCode = keyof typeof FAILURES

/** A refusal on its way to the client; rendered in one place (gateway/render.ts). */
export interface Failure {
  readonly kind: "failure"
  readonly code: FailureCode
  /** For the client: no secrets, no upstream addresses. */
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
  /** Seconds for `Retry-After`; `undefined`: no such header. */
  readonly retryAfterS: number | undefined
  /** Extra response headers, name in lower case, e.g. `allow`. */
  readonly headers: Readonly<Record<string, string>>
  /** For the log only: what really happened. */
  readonly cause: string | undefined
}

export interface FailureOptions {
  message?: string
  details?: Readonly<Record<string, unknown>>
  retryAfterS?: number
  headers?: Readonly<Record<string, string>>
  cause?: string
}

/** Makes a failure of the given code; everything left out comes from the catalogue. */
export function fail(code: FailureCode, options: FailureOptions = {}): Failure {
  return {
    kind: "failure",
    code,
    message: options.message ?? FAILURES[code].message,
    details: options.details ?? {},
    retryAfterS: options.retryAfterS,
    headers: options.headers ?? {},
    cause: options.cause,
  }
}

/** The client's connection, or its body, ended before the length it had announced. */
export const CUT_SHORT = fail("INVALID_REQUEST", { message: "The request body was cut short." })

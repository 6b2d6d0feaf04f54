import type { FailureCode } from "../../policies/failure.ts"

type Json = Record<string, unknown>

export interface DescribedParameter {
  readonly name: string
  readonly description: string
  readonly required?: true
  /** JSON Schema; default: a text. */
  readonly schema?: Json
}

/** What the API reference says of an endpoint. */
export interface Described {
  readonly summary: string
  readonly description?: string
  /** Example of a request's body, in JSON. */
  readonly request?: Json
  /** The request is a form (RFC 6749), or JSON with the same names. */
  readonly form?: true
  /** Parameters of the query. */
  readonly query?: readonly (string | DescribedParameter)[]
  /** Header lines it looks at, beside those every endpoint does. */
  readonly headers?: readonly DescribedParameter[]
  readonly status?: number
  /** Example of the answer's body; a text where it is no JSON. */
  readonly answer?: Json | string
  /** Media type of the answer; default: JSON. */
  readonly media?: string
  /** Failures beside those every endpoint of its kind may answer with. */
  readonly failures: readonly FailureCode[]
}

const ACCOUNT = "0196f6a0-3c1e-7b52-9d41-5d0f2b8a7c11"
const EMAIL = "ada@example.com"
const PASSWORD = "a waltz of 3 otters"
const TOKENS = {
  access_token: "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.…",
  token_type: "Bearer",
  expires_in: 900,
  refresh_token: "gh_rt_…",
  scope: "read write",
}
const ME = {
  id: ACCOUNT,
  login: EMAIL,
  email: EMAIL,
  email_verified: true,
  display_name: "Ada",
  roles: ["user"],
  tier: "free",
  status: "active",
  parent_id: null,
  age_limit: null,
  blocked_content: [],
  created_at: "2026-01-02T12:00:00.000Z",
}
const CHILD = { ...ME, login: "little.ada", email: null, roles: ["child"], parent_id: ACCOUNT, age_limit: 9 }
const BODY = ["INVALID_REQUEST", "INVALID_FIELD", "UNSUPPORTED_MEDIA_TYPE"] as const

/** Every endpoint of identity, by method and path below a prefix. A test compares it with the routes. */
export const IDENTITY_REFERENCE: Readonly<Record<string, Described>> = {
  "POST /auth/register": {
    summary: "Create an account",
    description: "The answer is the same when there is one already; its owner is told by mail.",
    request: { email: EMAIL, password: PASSWORD, display_name: "Ada" },
    status: 202,
    answer: { status: "accepted" },
    failures: [...BODY, "FORBIDDEN", "TOO_MANY_ATTEMPTS"],
  },
  "POST /auth/login": {
    summary: "Sign in with a password, for tokens or a session cookie",
    description: 'With `"session": "cookie"` the answer sets cookies and tells the CSRF token.',
    request: { email: EMAIL, password: PASSWORD, session: "token", scope: "read" },
    answer: TOKENS,
    failures: [...BODY, "AUTH_ERROR", "TOO_MANY_ATTEMPTS"],
  },
  "POST /auth/token": {
    summary: "Get a token (RFC 6749): password, client_credentials or refresh_token",
    description: "Refusals of a form have the shape of RFC 6749, those of JSON that of every other refusal.",
    request: { grant_type: "client_credentials", client_id: "billing", client_secret: "…", scope: "read" },
    form: true,
    answer: TOKENS,
    failures: ["INVALID_REQUEST", "AUTH_ERROR", "TOO_MANY_ATTEMPTS"],
  },
  "POST /auth/refresh": {
    summary: "Get a new access token and refresh token for a refresh token",
    description: "A refresh token is used once; to use it again later ends the sign-in.",
    request: { refresh_token: "gh_rt_…" },
    answer: TOKENS,
    failures: ["INVALID_REQUEST", "AUTH_ERROR"],
  },
  "POST /auth/logout": {
    summary: 'End this sign-in, or with {"all": true} all of the account',
    request: { all: false },
    answer: { status: "logged_out" },
    failures: ["INVALID_REQUEST"],
  },
  "POST /auth/password/forgot": {
    summary: "Have a link for a new password mailed, if there is such an account",
    request: { email: EMAIL },
    status: 202,
    answer: { status: "accepted" },
    failures: [...BODY, "TOO_MANY_ATTEMPTS"],
  },
  "POST /auth/password/reset": {
    summary: "Set a new password with the token that was mailed; ends all sign-ins",
    request: { token: "…", password: PASSWORD },
    answer: { status: "changed" },
    failures: [...BODY, "AUTH_ERROR", "TOO_MANY_ATTEMPTS"],
  },
  "POST /auth/email/verify": {
    summary:
      "Verify an email address with the token that was mailed, and the password of the account if it has one",
    request: { token: "…", password: PASSWORD },
    answer: { status: "verified" },
    failures: [...BODY, "AUTH_ERROR", "TOO_MANY_ATTEMPTS", "OVERLOADED"],
  },
  "POST /auth/introspect": {
    summary: "Ask whether a token holds and whose it is (RFC 7662)",
    request: { token: "eyJ…" },
    form: true,
    answer: { active: true, sub: ACCOUNT, scope: "read write", exp: 1_795_320_165 },
    failures: ["INVALID_REQUEST", "AUTH_ERROR", "FORBIDDEN", "TOO_MANY_ATTEMPTS"],
  },
  "POST /auth/revoke": {
    summary: "Revoke a refresh or access token (RFC 7009)",
    request: { token: "gh_rt_…" },
    form: true,
    failures: ["INVALID_REQUEST", "AUTH_ERROR", "TOO_MANY_ATTEMPTS"],
  },
  "GET /auth/providers": {
    summary: "Providers one can sign in with",
    answer: { providers: [{ name: "google", start: "/api/v1/auth/providers/google/start" }] },
    failures: [],
  },
  "GET /auth/providers/:provider/start": {
    summary: "Begin to sign in with a provider: sends the browser there",
    query: ["return_to"],
    status: 302,
    failures: ["INVALID_REQUEST", "NOT_FOUND"],
  },
  "GET /auth/providers/:provider/callback": {
    summary: "Where a provider sends the browser back to",
    query: ["state", "code"],
    status: 303,
    failures: ["AUTH_ERROR", "FORBIDDEN", "NOT_FOUND"],
  },
  "GET /auth/sessions": {
    summary: "List own sign-ins",
    answer: {
      sessions: [
        {
          id: "0196f6a0-4d2f-7c63-8e52-6e103c9b8d22",
          kind: "token",
          ip: "203.0.113.7",
          user_agent: "Mozilla/5.0",
          created_at: "2026-01-02T12:00:00.000Z",
          last_used_at: "2026-01-02T12:30:00.000Z",
          expires_at: "2026-02-01T12:00:00.000Z",
          current: true,
        },
      ],
    },
    failures: [],
  },
  "DELETE /auth/sessions/:id": {
    summary: "End one of the own sign-ins",
    answer: { status: "ended" },
    failures: ["NOT_FOUND"],
  },
  "GET /users/me": {
    summary: "Who is calling, and what they may do",
    answer: {
      ...ME,
      kind: "user",
      method: "jwt",
      issuer: "gatehouse",
      scopes: ["read", "write"],
      permissions: [],
    },
    failures: [],
  },
  "PATCH /users/me": {
    summary: "Change one's display name",
    request: { display_name: "Ada L." },
    answer: ME,
    failures: BODY,
  },
  "DELETE /users/me": {
    summary: "Delete one's account and those of one's children",
    status: 204,
    failures: [],
  },
  "PUT /users/me/password": {
    summary: "Change one's password; ends all other sign-ins",
    request: { old: PASSWORD, new: "a tango of 7 herons" },
    answer: { status: "changed" },
    failures: [...BODY, "TOO_MANY_ATTEMPTS"],
  },
  "GET /users/me/usage": {
    summary: "What one has used of one's quotas, and has left",
    answer: {
      quotas: [
        {
          quota: "stories",
          per: "day",
          timezone: "UTC",
          limit: 5,
          allowance: 0,
          used: 2,
          remaining: 3,
          resets_at: "2026-01-03T00:00:00.000Z",
        },
      ],
    },
    failures: [],
  },
  "GET /users/me/children": { summary: "List one's children", answer: { children: [CHILD] }, failures: [] },
  "POST /users/me/children": {
    summary: "Create the account of a child",
    request: {
      login: "little.ada",
      password: PASSWORD,
      display_name: "Ada",
      age_limit: 9,
      blocked_content: ["violence"],
    },
    status: 201,
    answer: CHILD,
    failures: [...BODY, "CONFLICT"],
  },
  "GET /users/me/children/:id": { summary: "One of one's children", answer: CHILD, failures: ["NOT_FOUND"] },
  "PATCH /users/me/children/:id": {
    summary: "Change a child's name, password, age limit or blocked content; it has to sign in again",
    request: { age_limit: 10 },
    answer: CHILD,
    failures: [...BODY, "NOT_FOUND"],
  },
  "DELETE /users/me/children/:id": {
    summary: "Delete the account of a child",
    status: 204,
    failures: ["NOT_FOUND"],
  },
  "GET /.well-known/jwks.json": {
    summary: "Public keys of the gateway's tokens (RFC 7517)",
    answer: { keys: [] },
    failures: [],
  },
  "GET /.well-known/openid-configuration": {
    summary: "Where the endpoints are and what they can do",
    answer: { issuer: "https://api.example.com", jwks_uri: "https://api.example.com/.well-known/jwks.json" },
    failures: [],
  },
}

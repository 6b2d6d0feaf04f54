import { describe, expect, test } from "bun:test"
import { csrfToken } from "../../src/identity/csrf.ts"
import { auth } from "../../src/policies/auth.ts"
import type { Failure } from "../../src/policies/failure.ts"
import { type ExchangeParts, makeExchange } from "../support/exchange.ts"
import { type FixedIdentity, identityOf } from "../support/fixed_identity.ts"
import { compilePolicy } from "../support/policy.ts"

const TOKEN = csrfToken("the-session")
const browser = identityOf({ method: "session" }, { session: { return_to: ["https://app.example.com"] } })

/** Code of the refusal of a request that proved itself by the session cookie; "" when it passes. */
function code(
  { headers = {}, ...parts }: Omit<ExchangeParts, "headers"> & { headers?: Record<string, string> },
  identity: FixedIdentity = browser,
  origins: readonly string[] = [],
): string {
  const cookie = `${parts.scheme === "https" ? "__Host-" : ""}gh_session=the-session`
  const exchange = makeExchange({ ...parts, headers: { cookie, ...headers } })
  const failure = compilePolicy(auth, {}, { identity }, { origins }).request!(exchange) as Failure | undefined
  return failure?.code ?? ""
}

describe("[C-2.7] a request with a session cookie", () => {
  for (const method of ["GET", "HEAD", "OPTIONS"])
    test(`${method} needs no CSRF token`, () => expect(code({ method })).toBe(""))

  for (const method of ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get"]) {
    test(`${method} needs the CSRF token of its session`, () => {
      expect(code({ method })).toBe("CSRF_FAILED")
      expect(code({ method, headers: { "x-csrf-token": TOKEN } })).toBe("")
      expect(code({ method, scheme: "https", headers: { "x-csrf-token": TOKEN } })).toBe("")
    })
  }

  const wrong = [
    "",
    csrfToken("another session"),
    `${TOKEN}x`,
    TOKEN.toLowerCase(),
    `${TOKEN}, ${TOKEN}`,
    "é",
  ]
  for (const token of wrong) {
    test(`the CSRF token "${token.slice(0, 12)}…" is refused`, () =>
      expect(code({ method: "POST", headers: { "x-csrf-token": token } })).toBe("CSRF_FAILED"))
  }

  test("of another site is refused, whatever its token", () => {
    const headers = { "x-csrf-token": TOKEN, "sec-fetch-site": "cross-site" }
    expect(code({ method: "POST", headers })).toBe("CSRF_FAILED")
    expect(code({ method: "POST", headers: { ...headers, "sec-fetch-site": "same-site" } })).toBe("")
  })

  test("the cookie of the plain name says nothing over https, where any host of the domain can set it", () => {
    const headers = { cookie: "gh_session=the-session", "x-csrf-token": TOKEN }
    expect(code({ method: "POST", scheme: "https", headers })).toBe("CSRF_FAILED")
  })

  test("other proofs need no CSRF token: no browser adds them by itself", () => {
    for (const method of ["jwt", "api_key"] as const)
      expect(code({ method: "POST" }, identityOf({ method }))).toBe("")
  })
})

describe("[F-61] a WebSocket handshake with a session cookie", () => {
  const handshake = (origin: string | undefined, origins: readonly string[] = []) => {
    const headers = { upgrade: "websocket", ...(origin !== undefined && { origin }) }
    return code({ scheme: "https", host: "gateway.test", headers }, browser, origins)
  }
  const cases: [origin: string | undefined, origins: readonly string[], wanted: string][] = [
    ["https://gateway.test", [], ""],
    ["https://app.example.com", [], ""],
    ["https://shop.example.com", ["https://*.example.com"], ""],
    ["https://shop.example.com", [], "ORIGIN_NOT_ALLOWED"],
    ["http://gateway.test", [], "ORIGIN_NOT_ALLOWED"],
    ["https://gateway.test:8443", [], "ORIGIN_NOT_ALLOWED"],
    ["https://gateway.test.evil.example", [], "ORIGIN_NOT_ALLOWED"],
    ["https://evil.example", ["*"], "ORIGIN_NOT_ALLOWED"],
    ["null", ["null"], "ORIGIN_NOT_ALLOWED"],
    ["", [], "ORIGIN_NOT_ALLOWED"],
    [undefined, [], "ORIGIN_NOT_ALLOWED"],
  ]
  for (const [origin, origins, wanted] of cases) {
    test(`of origin ${origin}, with cors for [${origins}]: ${wanted || "passes"}`, () =>
      expect(handshake(origin, origins)).toBe(wanted))
  }

  test("is no way around the CSRF token", () => {
    const headers = { upgrade: "websocket", origin: "http://gateway.test" }
    expect(code({ method: "POST", headers })).toBe("CSRF_FAILED")
  })
})

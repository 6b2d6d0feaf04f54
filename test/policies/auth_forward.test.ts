import { describe, expect, test } from "bun:test"
import type { Principal } from "../../src/identity/principal.ts"
import { auth } from "../../src/policies/auth.ts"
import { identityFields } from "../../src/policies/auth_forward.ts"
import { type ExchangeParts, makeExchange } from "../support/exchange.ts"
import { type FixedIdentity, fixedIdentity, identityOf } from "../support/fixed_identity.ts"
import { compilePolicy } from "../support/policy.ts"
import { makePrincipal } from "../support/principal.ts"

type Headers = Record<string, string>

/** The header fields a service gets, by name. */
function sent(
  identity: FixedIdentity,
  options: object,
  headers: Headers,
  parts: ExchangeParts = {},
): Headers {
  const exchange = makeExchange({ headers, ...parts })
  const failure = compilePolicy(auth, options, { identity }, { service: "stories" }).request!(exchange)
  if (failure !== undefined) throw new Error(JSON.stringify(failure))
  const { requestEdits } = exchange
  const kept = Object.entries(headers).filter(([name]) => !requestEdits.has(name))
  const lines = Object.fromEntries(kept)
  for (let i = 0; i < requestEdits.added.length; i += 2)
    lines[requestEdits.added[i]!] = requestEdits.added[i + 1]!
  return lines
}

const fields = (changes: Partial<Principal>): Headers => {
  const flat = identityFields(makePrincipal(changes))
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]!]] : [])))
}

const JWT = { authorization: "Bearer eyJ.eyJ.sig" }

describe("forward: headers", () => {
  test("[C-2.8] a service learns id, kind, roles, scopes, tier and the kind of proof", () => {
    expect(
      fields({ id: "ann", roles: ["user", "parent"], scopes: ["read", "write"], tier: "premium" }),
    ).toEqual({
      "x-user-kind": "user",
      "x-auth-method": "jwt",
      "x-user-id": "ann",
      "x-user-roles": "user,parent",
      "x-user-scopes": "read write",
      "x-user-tier": "premium",
    })
  })

  test("[V-authz.3] a child is told by its parent, age limit and blocked content", () => {
    expect(fields({ parentId: "mum", ageLimit: 9, blockedContent: ["war", "gore"] })).toMatchObject({
      "x-user-parent-id": "mum",
      "x-user-age-limit": "9",
      "x-user-blocked-content": "war,gore",
    })
  })

  test("[C-2.8] API keys and services are told by their ids", () => {
    expect(fields({ method: "api_key", tokenId: "key-1" })["x-api-key-id"]).toBe("key-1")
    const service = fields({ kind: "service", id: "billing", method: "certificate" })
    expect([service["x-client-id"], service["x-user-kind"]]).toEqual(["billing", "service"])
  })

  test("[F-57] claims of others cannot end a line, a list item or an escape", () => {
    const hostile = fields({
      id: "a\r\nX-User-Id: root",
      roles: ["user,admin", "é", "a b", "50%", "", "\ud800"],
      scopes: ["read write"],
      tier: "\0",
    })
    expect(hostile).toMatchObject({
      "x-user-id": "a%0D%0AX-User-Id:%20root",
      "x-user-roles": "user%2Cadmin,%C3%A9,a%20b,50%25,%EF%BF%BD",
      "x-user-scopes": "read%20write",
      "x-user-tier": "%00",
    })
    expect(fields({ id: "auth0|7" })["x-user-id"]).toBe("auth0|7")
  })

  test("[F-57] roles end before a header gets too long, and never in the middle of one", () => {
    const roles = Array.from({ length: 3000 }, (_, i) => `role-${i}`)
    const told = fields({ roles })["x-user-roles"]!
    expect(told.length).toBeLessThanOrEqual(4096)
    expect(roles).toContain(told.split(",").at(-1)!)
    expect(fields({ id: "x".repeat(5000) })["x-user-id"]).toBeUndefined()
  })

  test("a verified bearer token goes on, for services that read it themselves", () => {
    expect(sent(identityOf(), {}, JWT).authorization).toBe(JWT.authorization)
  })

  test("what Authorization holds beside another proof does not", () => {
    const session = identityOf({ method: "certificate" })
    expect(sent(session, {}, JWT).authorization).toBeUndefined()
  })

  test("nobody is told of where nobody had to prove anything", () => {
    const names = Object.keys(
      sent(fixedIdentity({ kind: "anonymous" }), { required: false }, { accept: "*/*" }),
    )
    expect(names).toEqual(["accept"])
  })
})

describe("forward: jwt", () => {
  test("[C-2.8] a token for this service takes the place of the client's", () => {
    expect(sent(identityOf({}, { forward: "jwt" }), {}, JWT)).toEqual({
      authorization: "Bearer token.of.ann.for.stories",
    })
  })

  test("a route may say otherwise than the whole config", () => {
    expect(sent(identityOf(), { forward: "jwt" }, JWT).authorization).toBe("Bearer token.of.ann.for.stories")
    expect(sent(identityOf({}, { forward: "jwt" }), { forward: "none" }, JWT)).toEqual(JWT)
  })

  test("[F-57] without a caller the service gets no token, also none of the client's", () => {
    const nobody = fixedIdentity({ kind: "anonymous" })
    expect(sent(nobody, { required: false, forward: "jwt" }, { authorization: "Other x" })).toEqual({})
  })
})

describe("credentials of the gateway never reach a service", () => {
  for (const forward of ["headers", "jwt", "none"]) {
    test(`forward: ${forward}`, () => {
      const caller = identityOf({ method: "api_key" })
      for (const headers of [
        { "x-api-key": "gh_live_x" },
        { "x-api-key": "other" },
        { authorization: "Bearer gh_live_x" },
        { authorization: "bearer  gh_live_x" },
      ] as Headers[]) {
        expect(JSON.stringify(sent(caller, { forward }, headers))).not.toMatch(/gh_live_x|other/)
      }
    })
  }

  test("the session cookie is taken out, the others stay as they are", () => {
    const cookie = (text: string) => sent(identityOf({ method: "session" }), {}, { cookie: text }).cookie
    expect(cookie("a=1; gh_session=s; b=2")).toBe("a=1; b=2")
    expect(cookie("__Host-gh_session=s")).toBeUndefined()
    expect(cookie("gh_session=s;__Host-gh_session=t;b=2")).toBe("b=2")
    expect(cookie("gh_session_theme=dark; x=gh_session")).toBe("gh_session_theme=dark; x=gh_session")
    expect(cookie("a=1;  b = 2")).toBe("a=1;  b = 2")
  })
})

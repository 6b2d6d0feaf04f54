import { describe, expect, test } from "bun:test"
import type { Principal } from "../../src/identity/principal.ts"
import { tokenFault } from "../../src/identity/token_fault.ts"
import { auth } from "../../src/policies/auth.ts"
import type { Failure } from "../../src/policies/failure.ts"
import type { Exchange } from "../../src/upstream/exchange.ts"
import { type ExchangeParts, makeExchange } from "../support/exchange.ts"
import { type FixedIdentity, fixedIdentity, identityOf } from "../support/fixed_identity.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"

/** What the step decides, now or later. */
async function decide(
  identity: FixedIdentity,
  options: object = {},
  exchange: Exchange = makeExchange(),
): Promise<Failure | undefined> {
  const steps = compilePolicy(auth, options, { identity }, { label: "the route" })
  return (await steps.request!(exchange)) as Failure | undefined
}

/** What a caller with these rights is told to lack; `undefined` when it is let in. */
async function missing(caller: Partial<Principal>, options: object, parts: ExchangeParts = {}) {
  const failure = await decide(identityOf(caller), options, makeExchange(parts))
  return failure === undefined ? undefined : [failure.code, failure.details.missing]
}

describe("who is let in", () => {
  test("[C-2.3] a caller who proved who it is, and the exchange knows it", async () => {
    const exchange = makeExchange()
    expect(await decide(identityOf({ id: "ann" }), {}, exchange)).toBeUndefined()
    expect(exchange.principal?.id).toBe("ann")
  })

  test("nothing is awaited when the answer is known at once", () => {
    const steps = compilePolicy(auth, {}, { identity: identityOf() })
    expect(steps.request!(makeExchange())).toBeUndefined()
  })

  test("an answer that comes later counts the same", async () => {
    const later = fixedIdentity(Promise.resolve({ kind: "anonymous" } as const))
    expect((await decide(later))?.code).toBe("AUTH_ERROR")
  })

  test("[C-2.3] a caller without credentials gets 401 with a challenge that names no error", async () => {
    const identity = fixedIdentity({ kind: "anonymous" }, { issuer: "https://api.example.com" })
    const failure = await decide(identity)
    expect(failure?.code).toBe("AUTH_ERROR")
    expect(failure?.headers).toEqual({ "www-authenticate": 'Bearer realm="https://api.example.com"' })
  })

  test("[C-2.3] a caller without credentials passes where none is required", async () => {
    const exchange = makeExchange()
    expect(await decide(fixedIdentity({ kind: "anonymous" }), { required: false }, exchange)).toBeUndefined()
    expect(exchange.principal).toBeUndefined()
  })

  const EXPIRED = tokenFault("expired", "the token has expired")
  test("[C-2.3] wrong credentials are refused also where none are required, in the words of RFC 6750", async () => {
    const failure = await decide(fixedIdentity(EXPIRED), { required: false })
    expect([failure?.code, failure?.headers["www-authenticate"]]).toEqual([
      "AUTH_ERROR",
      'Bearer realm="gatehouse", error="invalid_token", error_description="the token has expired"',
    ])
  })

  test("what cannot be verified now is 503 with a time to come back", async () => {
    const failure = await decide(fixedIdentity({ kind: "unavailable" }), { required: false })
    expect([failure?.code, failure?.retryAfterS]).toEqual(["SERVICE_UNAVAILABLE", 5])
  })

  test("a realm cannot break out of its quotes", async () => {
    const failure = await decide(fixedIdentity({ kind: "anonymous" }, { issuer: 'a", error="x"\\é' }))
    expect(failure?.headers["www-authenticate"]).toBe('Bearer realm="a?, error=?x???"')
  })

  test("every refusal is told for the record, with who it was where that is known", async () => {
    const faulty = fixedIdentity(EXPIRED)
    const exchange = makeExchange({ peer: "192.0.2.9" })
    exchange.id = "req-1"
    await decide(faulty, {}, exchange)
    expect(faulty.failures).toEqual([
      {
        at: Date.UTC(2025, 0, 1),
        reason: "expired",
        client: "192.0.2.9",
        route: "the route",
        requestId: "req-1",
        actor: "",
      },
    ])
    const lacking = identityOf({ id: "ann" })
    await decide(lacking, { roles: ["admin"], scopes: ["write"] })
    expect(lacking.failures.map(({ actor, reason }) => [actor, reason])).toEqual([["ann", "roles,scopes"]])
  })
})

describe("what a caller may", () => {
  const cases: [name: string, caller: Partial<Principal>, options: object, missing: object | undefined][] = [
    ["one of the roles is enough", { roles: ["b"] }, { roles: ["a", "b"] }, undefined],
    ["no role of them", { roles: ["c"] }, { roles: ["a", "b"] }, { roles: ["a", "b"] }],
    ["roles compare exactly", { roles: ["Admin"] }, { roles: ["admin"] }, { roles: ["admin"] }],
    ["all scopes", { scopes: ["read", "write"] }, { scopes: ["read", "write"] }, undefined],
    [
      "a scope of them is missing",
      { scopes: ["read"] },
      { scopes: ["read", "write"] },
      { scopes: ["write"] },
    ],
    ["all permissions", { permissions: ["a:1", "b:2"] }, { permissions: ["a:1", "b:2"] }, undefined],
    [
      "a permission is missing",
      { permissions: ["a:1"] },
      { permissions: ["a:1", "b:2"] },
      { permissions: ["b:2"] },
    ],
    ["* is every permission", { permissions: ["*"] }, { permissions: ["a:1", "b:2"] }, undefined],
    ["* among scopes is no wildcard", { scopes: ["*"] }, { scopes: ["read"] }, { scopes: ["read"] }],
    ["* among roles is no wildcard", { roles: ["*"] }, { roles: ["a"] }, { roles: ["a"] }],
    ["the tier", { tier: "premium" }, { tiers: ["premium", "enterprise"] }, undefined],
    ["another tier", { tier: "free" }, { tiers: ["premium"] }, { tiers: ["premium"] }],
    ["the kind of proof", { method: "jwt" }, { methods: ["api_key"] }, { methods: ["api_key"] }],
    ["old enough", { ageLimit: 12 }, { min_age: 12 }, undefined],
    ["too young", { ageLimit: 11 }, { min_age: 12 }, { min_age: 12 }],
    ["without an age limit", {}, { min_age: 18 }, undefined],
    ["content that is not blocked", { blockedContent: ["war"] }, { content: ["magic"] }, undefined],
    [
      "content that is blocked",
      { blockedContent: ["war", "gore"] },
      { content: ["magic", "gore"] },
      { content: ["gore"] },
    ],
    [
      "everything that is missing is named at once",
      { roles: ["a"] },
      { roles: ["b"], scopes: ["read"], tiers: ["premium"] },
      { roles: ["b"], scopes: ["read"], tiers: ["premium"] },
    ],
  ]
  for (const [name, caller, options, lacks] of cases) {
    test(`[C-2.3 C-2.4 C-2.5 V-authz.3 I-scope] ${name}`, async () => {
      expect(await missing(caller, options)).toEqual(lacks === undefined ? undefined : ["FORBIDDEN", lacks])
    })
  }

  test("[I-scope] a scope that is missing is also said in the challenge, with all that would do", async () => {
    const failure = await decide(identityOf({ scopes: ["read"] }), { scopes: ["read", "write"] })
    expect(failure?.headers["www-authenticate"]).toBe(
      'Bearer realm="gatehouse", error="insufficient_scope", scope="read write"',
    )
  })

  test("[T-4.4] clinical and administrative permissions are told apart", async () => {
    const clinician = { roles: ["clinician"], permissions: ["patients:read"] }
    expect(await missing(clinician, { permissions: ["patients:read"] })).toBeUndefined()
    expect(await missing(clinician, { permissions: ["accounts:manage"] })).toEqual([
      "FORBIDDEN",
      { permissions: ["accounts:manage"] },
    ])
  })
})

describe("whose it is", () => {
  const owner = { owner: 'path.id == principal.id || "admin" in principal.roles' }
  const of =
    (id: string, path = "/users/:id") =>
    (caller: Partial<Principal>) => {
      const exchange = makeExchange()
      exchange.captures = [id]
      exchange.captureNames = ["id"]
      const steps = compilePolicy(auth, owner, { identity: identityOf(caller) }, { path })
      return (steps.request!(exchange) as Failure | undefined)?.details.missing
    }

  test("[C-2.5 V-authz.2] the owner passes, others do not, and a role may", () => {
    expect(of("ann")({ id: "ann" })).toBeUndefined()
    expect(of("ann")({ id: "bob" })).toEqual({ condition: "owner" })
    expect(of("ann")({ id: "bob", roles: ["admin"] })).toBeUndefined()
  })

  test("[C-2.5] the id is compared decoded, as the service reads it", () => {
    expect(of("auth0%7C7")({ id: "auth0|7" })).toBeUndefined()
    expect(of("%61nn")({ id: "ann" })).toBeUndefined()
    expect(of("Ann")({ id: "ann" })).toEqual({ condition: "owner" })
  })
})

describe("options", () => {
  test("a condition that cannot be read is a config problem that says where", () => {
    expect(checkPolicy(auth, { owner: "path.id == " }, { path: "/:id" })).toEqual([
      "owner: Unexpected token: EOF at character 12, after `path.id == `",
    ])
  })

  test("rules for callers that need not be known are a config problem", () => {
    expect(checkPolicy(auth, { required: false, roles: ["a"], owner: "true" })).toEqual([
      "roles: cannot be asked of callers that need not be known; drop `required: false`",
      "owner: cannot be asked of callers that need not be known; drop `required: false`",
    ])
    expect(checkPolicy(auth, { required: false, content: ["gore"], min_age: 12 })).toEqual([])
  })
})

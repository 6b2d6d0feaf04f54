import { describe, expect, test } from "bun:test"
import type { Principal } from "../../src/identity/principal.ts"
import { compileCondition } from "../../src/policies/auth_expression.ts"
import { type ExchangeParts, makeExchange } from "../support/exchange.ts"
import { makePrincipal } from "../support/principal.ts"

/** What a condition says of a request to /users/:id with id "7". */
function ask(text: string, parts: ExchangeParts = {}, caller: Partial<Principal> = {}): boolean | string {
  const condition = compileCondition(text, ["id", "*"])
  if (typeof condition === "string") throw new Error(condition)
  const exchange = makeExchange(parts)
  exchange.captures = ["7", "a%20b"]
  exchange.captureNames = ["id"]
  return condition.holds(exchange, makePrincipal(caller))
}

describe("[C-2.5 V-authz.2] a condition sees", () => {
  const cases: [text: string, parts: ExchangeParts, caller: Partial<Principal>][] = [
    ['path.id == "7" && path["*"] == "a b"', {}, {}],
    ['query.owner == "a b"', { query: "x=1&owner=a+b" }, {}],
    ['!("owner" in query)', { query: "x=1" }, {}],
    ['has(query.owner) && query.owner == ""', { query: "owner" }, {}],
    ['headers["x-team"] == "red"', { headers: { "X-Team": "red" } }, {}],
    ['!("x-team" in headers)', {}, {}],
    ['method == "GET"', {}, {}],
    ['principal.kind == "user" && principal.method == "jwt" && principal.tier == "free"', {}, {}],
    ['principal.roles.exists(r, r.startsWith("team-"))', {}, { roles: ["a", "team-red"] }],
    ['principal.parent_id == "p" && principal.session_id == "s"', {}, { parentId: "p", sessionId: "s" }],
    ["principal.age_limit >= 16", {}, { ageLimit: undefined }],
    ["principal.age_limit < 16", {}, { ageLimit: 12 }],
    ['principal.claims.org == "acme"', {}, { claims: { org: "acme" } }],
    ["principal.claims.level > 3", {}, { claims: { level: 4 } }],
    ['principal.claims["https://x/y"].z[0] == "w"', {}, { claims: { "https://x/y": { z: ["w"] } } }],
    ['path.id.matches("^[0-9]+$")', {}, {}],
    ['principal.claims.org == "x" || principal.id == "ann"', {}, {}],
  ]
  for (const [text, parts, caller] of cases) {
    test(text, () => expect(ask(text, parts, caller)).toBe(true))
  }
})

describe("[C-2.5] what cannot be told is refused", () => {
  const cases: [
    name: string,
    text: string,
    parts: ExchangeParts,
    caller: Partial<Principal>,
    wanted: string,
  ][] = [
    ["a claim that is not there", 'principal.claims.org == "a"', {}, {}, "No such key: org"],
    ["a parameter that is not there", 'query.id != "7"', {}, {}, "No such key: id"],
    ["a header that is not there", 'headers["x-a"] != "7"', {}, {}, "No such key: x-a"],
    [
      "a property of every object",
      "principal.claims.constructor != null",
      {},
      {},
      "No such key: constructor",
    ],
    [
      "a claim that is neither true nor false",
      "principal.claims.n",
      {},
      { claims: { n: 1 } },
      "neither true nor",
    ],
    ["a parameter sent twice", 'query.id == "7"', { query: "id=7&id=8" }, {}, "there twice"],
    ["twice in another case", 'query.id == "7"', { query: "id=7&ID=8" }, {}, "there twice"],
    ["twice, once escaped", 'query.id == "7"', { query: "id=7&%69d=8" }, {}, "there twice"],
    ["twice, once as a list", 'query.id == "7"', { query: "id=7&id[]=8" }, {}, "there twice"],
    ["only in another case", '!("id" in query)', { query: "ID=8" }, {}, "in another case"],
    ["a plain semicolon", 'query.id == "7"', { query: "a=1;id=8&id=7" }, {}, "a plain `;`"],
    ["a broken escape", 'query.id == "7"', { query: "id=%ff" }, {}, "cannot be decoded"],
    ["a broken escape in a name", 'query.id == "7"', { query: "%zz=1&id=7" }, {}, "cannot be decoded"],
  ]
  for (const [name, text, parts, caller, wanted] of cases) {
    test(name, () => expect(ask(text, parts, caller)).toContain(wanted))
  }

  test("what the condition does not name may be sent twice", () => {
    expect(ask('query.id == "7"', { query: "tag=a&tag=b&id=7" })).toBe(true)
  })
})

describe("a condition that is refused when config loads", () => {
  const cases: [text: string, wanted: string][] = [
    ["", "Unexpected token: EOF at character 1"],
    ["path.id == 7", "no such overload: string == int at character 1"],
    ["path.user == principal.id", 'the path of the route has no "user"'],
    ["path.ids == principal.id", 'the path of the route has no "ids"; did you mean "id"?'],
    ["principal.name == path.id", "No such key: name at character"],
    ["principal.id", "gives string, not true or false"],
    ["process.exit(1)", "Unknown variable: process at character 1"],
    ["size(query) == 0", "query cannot be used as a whole"],
    ["headers[path.id] == principal.id", "the name in headers[…] must be a plain text in quotes"],
    ["principal.id in query", "what is asked for in query must be a plain text in quotes"],
    ['headers["X-Team"] == "a"', '"X-Team" is no header name in lower case'],
    ['headers["x-user-id"] == path.id', "the header x-user-id is never taken from a client"],
    ['path.id.matches("^(a+)+$")', "the pattern of matches() repeats"],
    ["path.id.matches(principal.id)", "the pattern of matches() must be a plain text"],
    [`path.id == "${"a".repeat(1024)}"`, "is longer than 1024 characters"],
    [`${"(".repeat(100)}true${")".repeat(100)}`, "xceeded"],
  ]
  for (const [text, wanted] of cases) {
    test(text.slice(0, 60), () => expect(compileCondition(text, ["id"])).toContain(wanted))
  }
})

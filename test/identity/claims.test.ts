import { describe, expect, test } from "bun:test"
import { type ClaimRules, checkClaims } from "../../src/identity/claims.ts"
import { parseJws } from "../../src/identity/jws.ts"
import { forge } from "../support/forge.ts"
import { keyPair } from "../support/key_pair.ts"

const NOW = 1_800_000_000
const RULES: ClaimRules = {
  issuer: "https://issuer.test",
  audience: "api",
  types: ["at+jwt", "jwt", ""],
  leewayS: 30,
  require: [],
}
const CLAIMS = { iss: "https://issuer.test", aud: "api", sub: "alice", exp: NOW + 60, iat: NOW }

function reason(claims: object, rules: Partial<ClaimRules> = {}, typ?: string): string {
  const all = { ...CLAIMS, ...claims } as Record<string, unknown>
  return checkClaims({ typ, claims: all }, { ...RULES, ...rules }, NOW)?.reason ?? "fine"
}

test("a token that meets the rules is fine", () => {
  expect(reason({})).toBe("fine")
})

describe("[F-52] dates", () => {
  test("[F-52] exp holds up to the leeway and not beyond", () => {
    expect(reason({ exp: NOW - 29 })).toBe("fine")
    expect(reason({ exp: NOW - 30 })).toBe("expired")
    expect(reason({ exp: NOW, leewayS: 0 }, { leewayS: 0 })).toBe("expired")
    expect(reason({ exp: NOW + 1 }, { leewayS: 0 })).toBe("fine")
    expect(reason({ exp: 0 })).toBe("expired")
  })

  test("[F-52] nbf and iat may be ahead by the leeway and not more", () => {
    for (const name of ["nbf", "iat"]) {
      expect(reason({ [name]: NOW + 30 })).toBe("fine")
      expect(reason({ [name]: NOW + 31 })).toBe("not_yet_valid")
    }
  })

  for (const exp of [
    undefined,
    null,
    "1900000000",
    "",
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1e15,
    1e300,
    -1,
    true,
    [NOW + 60],
    {},
  ])
    test(`[F-52] exp ${JSON.stringify(exp)} (${String(exp)}) is refused`, () => {
      expect(reason({ exp })).toBe("claims")
    })

  test("[F-52] nbf and iat that are no numbers are refused; missing ones are not", () => {
    for (const value of [null, "1700000000", true, [], 1e300, -1]) {
      expect(reason({ nbf: value })).toBe("claims")
      expect(reason({ iat: value })).toBe("claims")
    }
    expect(reason({ iat: undefined })).toBe("fine")
  })

  test("exp beyond a double in the text of a token never arrives as a date", () => {
    const jws = parseJws(forge('{"alg":"HS256"}', '{"exp":1e400}', keyPair("HS256").sign))
    expect(jws).toMatchObject({ kind: "fault", reason: "malformed" })
  })

  test("a greatest age needs iat and refuses what is older", () => {
    expect(reason({ iat: NOW - 600 }, { maxAgeS: 600 })).toBe("fine")
    expect(reason({ iat: NOW - 630 }, { maxAgeS: 600 })).toBe("fine")
    expect(reason({ iat: NOW - 631 }, { maxAgeS: 600 })).toBe("expired")
    expect(reason({ iat: undefined }, { maxAgeS: 600 })).toBe("claims")
  })
})

describe("[F-52] issuer and audience", () => {
  for (const iss of [
    undefined,
    null,
    "",
    "https://issuer.test/",
    "HTTPS://ISSUER.TEST",
    ["https://issuer.test"],
    { a: 1 },
  ])
    test(`[F-52] the issuer ${JSON.stringify(iss)} is refused`, () => {
      expect(reason({ iss })).toBe("issuer")
    })

  for (const aud of [
    undefined,
    null,
    "",
    "API",
    "api ",
    "other",
    [],
    ["other"],
    [["api"]],
    ["api", 1],
    { api: 1 },
    true,
  ])
    test(`[F-52] the audience ${JSON.stringify(aud)} is refused`, () => {
      expect(reason({ aud })).toBe("audience")
    })

  test("one audience of several is enough, on either side", () => {
    expect(reason({ aud: ["other", "api"] })).toBe("fine")
    expect(reason({ aud: "api" }, { audience: ["web", "api"] })).toBe("fine")
    expect(reason({ aud: ["x", "api"] }, { audience: ["web", "api"] })).toBe("fine")
    expect(reason({ aud: ["x"] }, { audience: ["web", "api"] })).toBe("audience")
    expect(reason({ aud: "api" }, { audience: [] })).toBe("audience")
  })

  test("without an audience of its own the gateway takes only tokens for nobody in particular (RFC 7519 4.1.3)", () => {
    expect(reason({ aud: undefined }, { audience: undefined })).toBe("fine")
    expect(reason({ aud: "api" }, { audience: undefined })).toBe("audience")
  })
})

describe("types", () => {
  test("a type is compared without case and without the prefix application/", () => {
    for (const typ of ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt", "JWT", undefined])
      expect(reason({}, {}, typ)).toBe("fine")
  })

  test("a token made for another use is refused (RFC 8725 3.11)", () => {
    for (const typ of [
      "logout+jwt",
      "secevent+jwt",
      "dpop+jwt",
      "",
      "application/",
      "application/application/jwt",
      " jwt",
    ])
      expect(reason({}, {}, typ)).toBe("type")
  })

  test("no type at all is accepted only if the rule says so", () => {
    expect(reason({}, { types: ["at+jwt"] }, undefined)).toBe("type")
    expect(reason({}, { types: ["at+jwt"] }, "")).toBe("type")
    expect(reason({}, { types: ["at+jwt"] }, "JWT")).toBe("type")
  })
})

test("sub and jti are texts of at most 256 characters, and not empty", () => {
  for (const name of ["sub", "jti"]) {
    for (const value of ["", 1, null, ["alice"], "a".repeat(257)])
      expect(reason({ [name]: value })).toBe("claims")
    expect(reason({ [name]: "a".repeat(256) })).toBe("fine")
    expect(reason({ [name]: undefined })).toBe("fine")
  }
})

test("a claim that is required must be there, and must be the token's own", () => {
  expect(reason({}, { require: ["sub", "jti"] })).toBe("claims")
  expect(reason({ jti: "1" }, { require: ["sub", "jti"] })).toBe("fine")
  expect(reason({}, { require: ["toString"] })).toBe("claims")
  expect(reason({ tenant: null }, { require: ["tenant"] })).toBe("claims")
})

import { describe, expect, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import type { Algorithm } from "../../src/identity/algorithms.ts"
import { importJwk, importJwks } from "../../src/identity/jwks.ts"
import { parseJws } from "../../src/identity/jws.ts"
import { createKeySet, verifyWithSet } from "../../src/identity/key_set.ts"
import { publicJwks, type VerifyKey } from "../../src/identity/keys.ts"
import { signJwt } from "../../src/identity/sign.ts"
import { keyPair } from "../support/key_pair.ts"

const ALLOWED: readonly Algorithm[] = ["RS256", "PS256", "ES256", "EdDSA"]
const es = keyPair("ES256", "es")
const rs = keyPair("RS256", "rs")
const jwkOf = (key: VerifyKey) => publicJwks([key]).keys[0] as Record<string, unknown>
const esJwk = jwkOf(es.verify)
const rsJwk = jwkOf(rs.verify)

function reason(jwk: unknown): string {
  const imported = importJwk(jwk, ALLOWED)
  return imported.ok ? "accepted" : imported.reason
}

test("a published set verifies what was signed with the private halves", () => {
  const imported = importJwks(JSON.parse(JSON.stringify(publicJwks([es.verify, rs.verify]))), ALLOWED)
  if (!imported.ok) throw new Error(imported.message)
  expect(imported.skipped).toEqual([])
  for (const { sign } of [es, rs]) {
    const jws = parseJws(signJwt({ sub: "a" }, sign, "jwt"))
    if (jws.kind === "fault") throw new Error(jws.message)
    expect(verifyWithSet(jws, createKeySet(imported.keys))).toMatchObject({ kid: sign.kid!, alg: sign.alg })
  }
})

test("an RSA key without `alg` serves each allowed RSA algorithm as a key of its own", () => {
  const { alg: _, ...open } = rsJwk
  const imported = importJwk(open, ALLOWED)
  expect(imported.ok && imported.keys.map((key) => key.alg)).toEqual(["RS256", "PS256"])
})

describe("[F-51] keys that are skipped", () => {
  const cases: readonly (readonly [string, unknown, string])[] = [
    ["a secret", { kty: "oct", k: "A".repeat(43), alg: "HS256" }, "is a secret"],
    ["a private key", { ...esJwk, d: "AAAA" }, "no longer private"],
    ["an unknown kind", { kty: "AKP", kid: "x" }, "unknown kty"],
    ["no kind", {}, "unknown kty"],
    ["a key for encryption", { ...rsJwk, use: "enc" }, "not for signatures"],
    ["a key for other operations", { ...rsJwk, key_ops: ["encrypt"] }, "not for verification"],
    ["an algorithm that is not allowed", { ...rsJwk, alg: "RS512" }, "not allowed"],
    ["the algorithm none", { ...rsJwk, alg: "none" }, "not allowed"],
    ["an algorithm of another kind", { ...rsJwk, alg: "ES256" }, "no allowed algorithm uses"],
    ["a key id that is no text", { ...esJwk, kid: 7 }, "kid"],
    ["a key id that is huge", { ...esJwk, kid: "k".repeat(257) }, "kid"],
    ["a point that is not of the curve", { ...esJwk, x: esJwk.y, y: esJwk.x }, "cannot be read"],
    ["an unknown curve", { ...esJwk, crv: "secp256k1" }, "cannot be read"],
    ["members of another type", { ...rsJwk, n: 3 }, "cannot be read"],
    ["an exponent of one", { ...rsJwk, e: "AQ" }, "weak public exponent"],
    ["an exponent of three", { ...rsJwk, e: "Aw" }, "weak public exponent"],
    ["no object", "key", "is not an object"],
    ["null", null, "is not an object"],
  ]
  for (const [what, jwk, why] of cases)
    test(`[F-51] ${what}`, () => {
      expect(reason(jwk)).toContain(why)
    })

  test("[F-51] an RSA key that is too short or absurdly long", () => {
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" })
    expect(reason(weak)).toContain("shorter than 2048 bits")
    const long = Buffer.alloc(1025, 0xff).toString("base64url")
    expect(reason({ ...rsJwk, n: long })).toContain("longer than 8192 bits")
  })
})

test("one bad key does not spoil the set", () => {
  const imported = importJwks({ keys: [{ kty: "oct", k: "AAAA" }, esJwk, null] }, ALLOWED)
  if (!imported.ok) throw new Error(imported.message)
  expect(imported.keys.map((key) => key.kid)).toEqual(["es"])
  expect(imported.skipped.map((key) => key.index)).toEqual([0, 2])
})

test("keys beyond the hundredth are not looked at", () => {
  const imported = importJwks({ keys: [...Array(100).fill({ kty: "?" }), esJwk, esJwk] }, ALLOWED)
  if (!imported.ok) throw new Error(imported.message)
  expect(imported.keys).toEqual([])
  expect(imported.skipped.at(-1)).toEqual({
    index: 100,
    reason: "this and the following are beyond 100 keys",
  })
})

test("what is no key set is said to be none", () => {
  for (const document of [null, [], "x", {}, { keys: {} }, { keys: "x" }])
    expect(importJwks(document, ALLOWED)).toMatchObject({ ok: false })
})

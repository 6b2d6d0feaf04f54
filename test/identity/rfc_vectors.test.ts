import { expect, test } from "bun:test"
import type { Algorithm } from "../../src/identity/algorithms.ts"
import { importJwk } from "../../src/identity/jwks.ts"
import { parseCompactJws, parseJws, verifyJws } from "../../src/identity/jws.ts"
import { importSecret, thumbprint, type VerifyKey } from "../../src/identity/keys.ts"
import vectors from "./rfc_vectors.json"

interface Vector {
  readonly name: string
  readonly alg: string
  readonly jwk: Readonly<Record<string, string | undefined>>
  readonly token: string
}
const accepted: readonly Vector[] = vectors.accepted

function keyOf({ alg, jwk }: Vector): VerifyKey {
  if (jwk.kty === "oct") {
    const secret = importSecret(Buffer.from(jwk.k ?? "", "base64url"), alg as Algorithm, undefined)
    if (!secret.ok) throw new Error(secret.message)
    return secret.verify
  }
  const imported = importJwk(jwk, [alg as Algorithm])
  if (!imported.ok) throw new Error(imported.reason)
  return imported.keys[0]!
}

function isGood(token: string, key: VerifyKey): boolean {
  const jws = parseCompactJws(token)
  return jws.kind === "jws" && verifyJws(jws, key)
}

for (const vector of accepted) {
  test(`${vector.name}, ${vector.alg}, is verified`, () => {
    expect(isGood(vector.token, keyOf(vector))).toBe(true)
  })

  test(`${vector.name} with one other bit is not`, () => {
    const key = keyOf(vector)
    const [header = "", payload = "", signature = ""] = vector.token.split(".")
    for (const at of [0, 0.5, 0.99]) {
      for (const part of ["payload", "signature"]) {
        const bytes = Buffer.from(part === "payload" ? payload : signature, "base64url")
        bytes[Math.floor(at * bytes.length)]! ^= 1
        const changed = bytes.toString("base64url")
        const token =
          part === "payload" ? `${header}.${changed}.${signature}` : `${header}.${payload}.${changed}`
        expect(isGood(token, key)).toBe(false)
      }
    }
  })
}

for (const { name, token } of vectors.refused)
  test(`${name}, is not a token`, () => {
    expect(parseJws(token)).toMatchObject({ kind: "fault" })
  })

test("a payload that is no JSON object is a JWS, but no JWT (RFC 7515 A.4)", () => {
  const { token } = accepted.find(({ name }) => name === "RFC 7515 A.4")!
  expect(parseJws(token)).toMatchObject({ kind: "fault", reason: "malformed" })
})

test("claims with white space are read (RFC 7515 A.1)", () => {
  expect(parseJws(accepted[0]!.token)).toMatchObject({
    alg: "HS256",
    typ: "JWT",
    claims: { iss: "joe", exp: 1300819380, "http://example.com/is_root": true },
  })
})

test("the thumbprint of a key is that of RFC 8037 A.3", () => {
  const vector = accepted.find(({ name }) => name === "RFC 8037 A.4")!
  expect(thumbprint(keyOf(vector).key)).toBe("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
})

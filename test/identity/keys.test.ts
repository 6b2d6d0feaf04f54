import { describe, expect, test } from "bun:test"
import { createPublicKey, generateKeyPairSync } from "node:crypto"
import { inspect } from "node:util"
import { ALGORITHMS, type Algorithm } from "../../src/identity/algorithms.ts"
import { parseJws, verifyJws } from "../../src/identity/jws.ts"
import {
  fromPlain,
  generateKey,
  importPem,
  importSecret,
  publicJwks,
  toPlain,
} from "../../src/identity/keys.ts"
import { signJwt } from "../../src/identity/sign.ts"
import { keyPair } from "../support/key_pair.ts"

const NAMES = Object.keys(ALGORITHMS) as Algorithm[]
const message = (imported: ReturnType<typeof importPem>) => (imported.ok ? "accepted" : imported.message)
const secret = (text: string | Uint8Array, alg: Algorithm = "HS256") =>
  message(importSecret(text, alg, undefined))

for (const alg of NAMES)
  test(`a new ${alg} key signs what its other half verifies, also after a journey to another thread`, () => {
    const { sign, verify } = keyPair(alg, "k1")
    const there = fromPlain(structuredClone(toPlain(sign)))
    const jws = parseJws(signJwt({ sub: "alice" }, there.sign!, "jwt"))
    if (jws.kind === "fault") throw new Error(jws.message)
    expect(verifyJws(jws, verify)).toBe(true)
    expect(verifyJws(jws, fromPlain(structuredClone(toPlain(verify))).verify)).toBe(true)
    expect(verifyJws(jws, keyPair(alg).verify)).toBe(false)
  })

describe("[F-51] secrets", () => {
  test("[F-51] a blank secret, and one shorter than its hash, are refused", () => {
    for (const text of ["", " ", " ".repeat(64), "\n\t".repeat(40)]) expect(secret(text)).toBe("is blank")
    expect(secret("0123456789abcdef0123456789abcde")).toContain("shorter than 32 bytes")
    expect(secret("0123456789abcdef0123456789abcdef")).toBe("accepted")
    expect(secret("0123456789abcdef0123456789abcdef", "HS384")).toContain("shorter than 48 bytes")
    expect(secret("0123456789abcdef0123456789abcdef0123456789abcdef", "HS512")).toContain(
      "shorter than 64 bytes",
    )
  })

  test("[F-51] a secret anybody would guess is refused", () => {
    expect(secret("a".repeat(64))).toContain("guessed")
    expect(secret("abcabcabcabcabcabcabcabcabcabcabcabc")).toContain("guessed")
    expect(secret(new Uint8Array(64))).toContain("guessed")
    for (const text of [
      "your-secret-key-here-change-in-production",
      "please-change-me-please-change-me-0123",
      "your-256-bit-secret-your-256-bit-secret",
    ])
      expect(secret(text)).toContain("placeholder")
  })

  test("[F-51] a key in PEM is no secret, and a secret is no key", () => {
    const pem = generateKey("RS256")
    expect(secret(createPublicKey(pem).export({ type: "spki", format: "pem" }).toString())).toContain(
      "PEM key",
    )
    expect(secret(pem)).toContain("PEM key")
    expect(secret("0123456789abcdef0123456789abcdef", "RS256")).toContain("needs a PEM key")
    expect(message(importPem(pem, "HS256", undefined))).toContain("needs a secret")
  })

  test("[F-72] no way of printing a key shows its secret", () => {
    const text = "0123456789-secret-0123456789-secret"
    const key = importSecret(text, "HS256", "k")
    const pem = keyPair("ES256")
    const d = pem.sign.key.export({ format: "jwk" }).d!
    for (const shown of [inspect(key, { depth: 9, showHidden: true }), JSON.stringify(key), `${key}`])
      expect(shown).not.toContain("secret-0123456789")
    for (const shown of [inspect(pem, { depth: 9, showHidden: true }), JSON.stringify(pem)])
      expect(shown).not.toContain(d)
  })
})

describe("PEM", () => {
  test("a public key verifies and cannot sign; its private half has the same id", () => {
    const pem = generateKey("ES256")
    const spki = createPublicKey(pem).export({ type: "spki", format: "pem" }).toString()
    const open = importPem(spki, "ES256", undefined)
    const closed = importPem(pem, "ES256", undefined)
    if (!open.ok || !closed.ok) throw new Error("refused")
    expect(open.sign).toBeUndefined()
    expect(open.verify.kid).toMatch(/^[\w-]{43}$/)
    expect(closed.sign?.kid).toBe(open.verify.kid!)
  })

  test("older forms of private keys are read", () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
    expect(message(importPem(rsa.export({ type: "pkcs1", format: "pem" }).toString(), "RS256", "k"))).toBe(
      "accepted",
    )
    expect(message(importPem(ec.export({ type: "sec1", format: "pem" }).toString(), "ES256", "k"))).toBe(
      "accepted",
    )
  })

  test("[F-51] a key of the wrong kind, of another curve, or too weak is refused", () => {
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey
    expect(
      message(importPem(weak.export({ type: "pkcs8", format: "pem" }).toString(), "RS256", "k")),
    ).toContain("shorter than 2048 bits")
    expect(message(importPem(generateKey("ES384"), "ES256", "k"))).toContain("is not an EC key on P-256")
    expect(message(importPem(generateKey("EdDSA"), "ES256", "k"))).toContain("is not an EC key on P-256")
    expect(message(importPem(generateKey("ES256"), "RS256", "k"))).toContain("is not an RSA key")
    expect(message(importPem(generateKey("RS256"), "EdDSA", "k"))).toContain("is not an Ed25519 key")
  })

  test("text that is no key is refused without being repeated", () => {
    for (const text of ["", "hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"]) {
      expect(message(importPem(text, "ES256", "k"))).toContain("is not a key in PEM")
      expect(message(importPem(text, "ES256", "k"))).not.toContain("hunter2")
    }
  })
})

test("what is published are public parts only, each id once, and never a secret", () => {
  const keys = [keyPair("HS256", "s"), keyPair("ES256", "e"), keyPair("RS256"), keyPair("EdDSA", "e")]
  const published = publicJwks(keys.map((key) => key.verify))
  expect(published.keys.map(({ kid, alg, use }) => [kid, alg, use])).toEqual([
    ["e", "EdDSA", "sig"],
    [keys[2]!.verify.kid, "RS256", "sig"],
  ])
  for (const key of published.keys)
    for (const member of ["d", "p", "q", "dp", "dq", "qi", "k"])
      expect(Object.hasOwn(key, member)).toBe(false)
})

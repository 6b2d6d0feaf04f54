import { describe, expect, test } from "bun:test"
import { parseJws } from "../../src/identity/jws.ts"
import { candidateKeys, createKeySet, verifyWithSet } from "../../src/identity/key_set.ts"
import { type SigningKey, type VerifyKey, verifyKey } from "../../src/identity/keys.ts"
import { signJwt } from "../../src/identity/sign.ts"
import { keyPair } from "../support/key_pair.ts"

const a = keyPair("ES256", "a")
const b = keyPair("ES256", "b")
const other = keyPair("EdDSA", "other")

function outcome(sign: SigningKey, keys: readonly VerifyKey[], kid: string | undefined = sign.kid): string {
  const jws = parseJws(signJwt({ sub: "x" }, { ...sign, kid }, "jwt"))
  if (jws.kind === "fault") throw new Error(jws.message)
  const found = verifyWithSet(jws, createKeySet(keys))
  return "kind" in found ? found.reason : `by ${found.kid}`
}
/** Signed by the key, naming none. */
const nameless = (sign: SigningKey): SigningKey => ({
  alg: sign.alg,
  key: sign.key,
  sign: sign.sign,
  kid: undefined,
})
const unnamed = ({ verify }: { readonly verify: VerifyKey }) => verifyKey(verify.key, verify.alg, undefined)

test("the key a token names is the one that is used", () => {
  expect(outcome(a.sign, [a.verify, b.verify, other.verify])).toBe("by a")
  expect(outcome(a.sign, [a.verify, b.verify], "b")).toBe("signature")
})

test("[F-51] a key that is not known is told apart from one of another algorithm", () => {
  expect(outcome(a.sign, [b.verify], "zzz")).toBe("unknown_key")
  expect(outcome(a.sign, [])).toBe("unknown_key")
  expect(outcome(a.sign, [b.verify, other.verify], "other")).toBe("algorithm")
})

describe("a token that names no key", () => {
  test("is tried with all keys of its algorithm", () => {
    expect(outcome(nameless(b.sign), [a.verify, b.verify, other.verify])).toBe("by b")
    expect(outcome(nameless(keyPair("ES256").sign), [a.verify, b.verify])).toBe("signature")
    expect(outcome(nameless(a.sign), [other.verify])).toBe("unknown_key")
  })

  test("[F-51] is tried with eight keys at most", () => {
    const eight = Array.from({ length: 8 }, () => keyPair("ES256").verify)
    expect(outcome(nameless(a.sign), [...eight, a.verify])).toBe("signature")
    expect(outcome(nameless(a.sign), [...eight.slice(1), a.verify])).toBe("by a")
    expect(candidateKeys(createKeySet([...eight, a.verify]), undefined, "ES256")).toHaveLength(8)
  })
})

test("a key without a name takes tokens that name any other; when it does not fit, the key is unknown", () => {
  expect(outcome(a.sign, [unnamed(a)], "anything")).toBe("by undefined")
  expect(outcome(b.sign, [unnamed(a)], "anything")).toBe("unknown_key")
})

test("two keys of one name are both tried, as in a careless rotation", () => {
  const next = keyPair("ES256", "a")
  expect(outcome(a.sign, [next.verify, a.verify])).toBe("by a")
  expect(outcome(next.sign, [a.verify, next.verify])).toBe("by a")
  expect(outcome(b.sign, [a.verify, next.verify], "a")).toBe("signature")
})

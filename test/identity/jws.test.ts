import { describe, expect, test } from "bun:test"
import { createPublicKey } from "node:crypto"
import type { Algorithm } from "../../src/identity/algorithms.ts"
import { MAX_TOKEN_LENGTH, parseJws, verifyJws } from "../../src/identity/jws.ts"
import { createKeySet, verifyWithSet } from "../../src/identity/key_set.ts"
import {
  generateKey,
  importPem,
  importSecret,
  type SigningKey,
  type VerifyKey,
} from "../../src/identity/keys.ts"
import { signJwt } from "../../src/identity/sign.ts"
import { base64url, forge } from "../support/forge.ts"
import { keyPair } from "../support/key_pair.ts"

const hs = keyPair("HS256")
const es = keyPair("ES256", "es")
const CLAIMS = '{"iss":"https://issuer.test","sub":"alice","exp":2000000000}'

/** What becomes of a token at a gateway with these keys. */
function outcome(token: string, keys: readonly VerifyKey[] = [hs.verify, es.verify]): string {
  const jws = parseJws(token)
  if (jws.kind === "fault") return jws.reason
  const key = verifyWithSet(jws, createKeySet(keys))
  return "kind" in key ? key.reason : "verified"
}
const outcomeOf = (header: object | string, payload = CLAIMS, key: Pick<SigningKey, "sign"> = hs.sign) =>
  outcome(forge(typeof header === "string" ? header : JSON.stringify(header), payload, key))

test("a token signed here is verified, and its claims are those that were signed", () => {
  const token = signJwt({ sub: "alice", exp: 2_000_000_000 }, es.sign, "at+jwt")
  expect(parseJws(token)).toMatchObject({
    alg: "ES256",
    kid: "es",
    typ: "at+jwt",
    claims: { sub: "alice", exp: 2_000_000_000 },
  })
  expect(outcome(token)).toBe("verified")
})

describe("[F-51] algorithms", () => {
  for (const alg of [
    "none",
    "None",
    "NONE",
    "nOnE",
    "none ",
    "",
    "hs256",
    "HS256 ",
    "HS1",
    "RS1",
    "constructor",
  ])
    test(`[F-51] "${alg}" is no algorithm, with a signature or without`, () => {
      expect(outcomeOf({ alg })).toBe("algorithm")
      const unsigned = `${base64url(JSON.stringify({ alg }))}.${base64url(CLAIMS)}.`
      expect(outcome(unsigned)).toBe("algorithm")
    })

  test("[F-51] an algorithm that is not text, or is missing, is refused", () => {
    for (const header of [
      '{"alg":null}',
      '{"alg":["HS256"]}',
      '{"alg":{"x":1}}',
      '{"alg":0}',
      '{"typ":"JWT"}',
    ])
      expect(outcomeOf(header)).toBe("algorithm")
  })

  test("[F-51] a token without a signature is refused, whatever it says", () => {
    expect(outcome(`${base64url('{"alg":"HS256"}')}.${base64url(CLAIMS)}.`)).toBe("malformed")
  })

  test("[F-51] a public key as HMAC secret signs nothing, in none of its spellings", () => {
    const pem = generateKey("RS256")
    const rsa = importPem(pem, "RS256", undefined)
    if (!rsa.ok) throw new Error(rsa.message)
    const open = createPublicKey(pem)
    const spki = open.export({ type: "spki", format: "pem" }).toString()
    const secrets = [
      spki,
      spki.trim(),
      open.export({ type: "spki", format: "der" }),
      open.export({ type: "pkcs1", format: "pem" }),
    ]
    for (const secret of secrets) {
      const sign = (input: string) => new Bun.CryptoHasher("sha256", secret).update(input).digest()
      const token = forge('{"alg":"HS256"}', CLAIMS, { sign })
      expect(outcome(token, [rsa.verify])).toBe("unknown_key")
      // Past the choice of a key, too.
      const jws = parseJws(token)
      expect(jws.kind === "jws" && verifyJws(jws, rsa.verify)).toBe(false)
    }
  })

  test("[F-51] a right signature does not help a token that names another algorithm than its key's", () => {
    const verified = (alg: string) => {
      const jws = parseJws(forge(JSON.stringify({ alg }), CLAIMS, hs.sign))
      return jws.kind === "jws" && verifyJws(jws, hs.verify)
    }
    expect(["HS256", "HS384", "HS512", "RS256", "EdDSA"].map(verified)).toEqual([
      true,
      false,
      false,
      false,
      false,
    ])
  })

  test("[F-51] a key verifies its own algorithm only, though another would fit it", () => {
    const pem = generateKey("RS256")
    const key = (alg: Algorithm) => {
      const imported = importPem(pem, alg, "k")
      if (!imported.ok || imported.sign === undefined) throw new Error(alg)
      return imported
    }
    for (const alg of ["RS384", "RS512", "PS256", "PS384", "PS512"] as const)
      expect(outcome(signJwt({ sub: "a" }, key(alg).sign!, "jwt"), [key("RS256").verify])).toBe("algorithm")
  })
})

describe("[F-51] ECDSA", () => {
  const signed = (signature: Uint8Array) =>
    outcome(`${base64url('{"alg":"ES256","kid":"es"}')}.${base64url(CLAIMS)}.${base64url(signature)}`)
  const n = Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "hex")
  const zero = Buffer.alloc(32)
  const one = Buffer.alloc(32, 0)
  one[31] = 1

  test("[F-51] a signature of zeros, or of the order of the curve, fits nothing (CVE-2022-21449)", () => {
    for (const r of [zero, n, one, Buffer.alloc(32, 0xff)])
      for (const s of [zero, n, one, Buffer.alloc(32, 0xff)])
        expect(signed(Buffer.concat([r, s]))).toBe("signature")
  })

  test("[F-51] a signature of another length is refused: DER, padded, cut, empty numbers", () => {
    const good = Buffer.from(es.sign.sign(`${base64url('{"alg":"ES256","kid":"es"}')}.${base64url(CLAIMS)}`))
    expect(signed(good)).toBe("verified")
    const der = Buffer.concat([
      Buffer.from([0x30, 68, 2, 32]),
      good.subarray(0, 32),
      Buffer.from([2, 32]),
      good.subarray(32),
    ])
    const padded = Buffer.concat([zero, good.subarray(0, 32), zero, good.subarray(32)])
    for (const other of [der, padded, good.subarray(0, 63), Buffer.concat([good, zero]), Buffer.from([0])])
      expect(signed(other)).toBe("signature")
  })
})

describe("[F-51] headers that would choose the key", () => {
  test("[F-51] keys and addresses of keys in the header are not looked at, and nothing is fetched", async () => {
    let asked = 0
    const answer = () => {
      asked++
      return new Response("{}")
    }
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer })
    const url = `http://127.0.0.1:${server.port}/keys`
    const evil = keyPair("ES256", "es")
    const jwk = { ...evil.verify.key.export({ format: "jwk" }), kid: "es" }
    for (const header of [
      { jwk },
      { jku: url },
      { x5u: url },
      { x5c: ["AAAA"] },
      { jwk, jku: url, x5u: url },
    ]) {
      expect(outcomeOf({ alg: "ES256", kid: "es", ...header }, CLAIMS, evil.sign)).toBe("signature")
      expect(outcomeOf({ alg: "ES256", kid: "es", ...header }, CLAIMS, es.sign)).toBe("verified")
    }
    await fetch(url)
    expect(asked).toBe(1)
    await server.stop(true)
  })

  for (const kid of [
    "../../../../dev/null",
    "/proc/self/environ",
    "x' UNION SELECT 'secret",
    "$(id)",
    "__proto__",
    "\0",
    "",
  ])
    test(`[F-51] the key id ${JSON.stringify(kid)} names no key`, () => {
      expect(outcomeOf({ alg: "ES256", kid }, CLAIMS, es.sign)).toBe("unknown_key")
    })

  test("[F-51] a key id that is huge or no text is refused", () => {
    expect(outcomeOf({ alg: "ES256", kid: "k".repeat(257) }, CLAIMS, es.sign)).toBe("malformed")
    for (const kid of [1, null, ["es"], { es: 1 }])
      expect(outcomeOf({ alg: "ES256", kid }, CLAIMS, es.sign)).toBe("malformed")
  })

  test("[F-51] extensions are refused, though the signature is right", () => {
    for (const header of [
      { crit: ["exp"] },
      { crit: [] },
      { crit: ["b64"], b64: false },
      { b64: true },
      { zip: "DEF" },
    ])
      expect(outcomeOf({ alg: "HS256", ...header })).toBe("malformed")
    expect(outcomeOf({ alg: "HS256" })).toBe("verified")
  })
})

describe("[F-52] texts", () => {
  test("[F-52] a token of 64 KB is refused, one just within the limit is not", () => {
    const filled = (bytes: number) => signJwt({ sub: "a", fill: "x".repeat(bytes) }, hs.sign, "jwt")
    expect(outcome(filled(64 * 1024))).toBe("too_large")
    const fits = filled(12_000)
    expect(fits.length).toBeLessThan(MAX_TOKEN_LENGTH)
    expect(outcome(fits)).toBe("verified")
  })

  test("[F-52] repeated keys are refused, in the header and in the claims, at any depth", () => {
    expect(outcomeOf('{"alg":"HS256","alg":"HS256"}')).toBe("malformed")
    expect(outcomeOf('{"alg":"none","alg":"HS256"}')).toBe("malformed")
    for (const claims of [
      '{"sub":"alice","sub":"admin"}',
      '{"sub":"alice","s\\u0075b":"admin"}',
      '{"a":[{"b":1,"b":1}]}',
      '{"a:":1,"x":{"y":2},"x":3}',
    ])
      expect(outcomeOf({ alg: "HS256" }, claims)).toBe("malformed")
    expect(outcomeOf({ alg: "HS256" }, '{"a:":":{","b":{"a:":[{"a:":1},{"a:":"\\":"}]}}')).toBe("verified")
  })

  for (const payload of [
    "",
    "alice",
    "[]",
    '[{"sub":"a"}]',
    "null",
    "1",
    '"{}"',
    "{",
    '{"a":NaN}',
    '{"a":1e999}',
    '{"__proto__":{}}',
  ])
    test(`[F-52] the payload ${JSON.stringify(payload)} is refused`, () => {
      expect(outcomeOf({ alg: "HS256" }, payload)).toBe("malformed")
    })

  test("[F-52] claims nested without end, not in UTF-8, or behind a byte order mark are refused", () => {
    const header = base64url('{"alg":"HS256"}')
    for (const payload of [
      Buffer.from(`{"a":${"[".repeat(4000)}${"]".repeat(4000)}}`),
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
      Buffer.from('\ufeff{"a":1}'),
    ]) {
      const input = `${header}.${base64url(payload)}`
      expect(outcome(`${input}.${base64url(hs.sign.sign(input))}`)).toBe("malformed")
    }
  })

  test("[F-52] a second spelling of a token is not the token", () => {
    const token = signJwt({ sub: "alice" }, hs.sign, "jwt")
    const last = token.at(-1)!
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    const nextLetter = alphabet[alphabet.indexOf(last) ^ 1]!
    expect(outcome(token)).toBe("verified")
    for (const other of [
      `${token}=`,
      `${token} `,
      ` ${token}`,
      `${token}\n`,
      token.replace(".", " ."),
      `${token}.`,
      token.slice(0, -1) + nextLetter,
    ])
      expect(outcome(other)).toBe("malformed")
    // A character whose lower byte is the right letter.
    const wide = token.slice(0, -1) + String.fromCharCode(0x100 + last.charCodeAt(0))
    expect(outcome(wide)).toBe("malformed")
  })

  test("what is not three parts is refused", () => {
    for (const token of ["", ".", "..", "a.b", "a.b.c", "a.b.c.d.e", "{}", ".e30.AA", "\u{1f600}.e30.AA"])
      expect(outcome(token)).toBe("malformed")
  })

  test("headers that differ in one character are told apart, however many there are", () => {
    for (let i = 0; i < 200; i++)
      expect(parseJws(forge(`{"alg":"HS256","kid":"${i}"}`, CLAIMS, hs.sign))).toMatchObject({ kid: `${i}` })
    expect(outcome(signJwt({ sub: "a" }, hs.sign, "jwt"))).toBe("verified")
  })
})

test("a secret that was configured in text signs as jose and others do", () => {
  const secret = importSecret("0123456789abcdef0123456789abcdef", "HS256", undefined)
  if (!secret.ok || secret.sign === undefined) throw new Error("refused")
  const expected = new Bun.CryptoHasher("sha256", "0123456789abcdef0123456789abcdef")
    .update("a.b")
    .digest("hex")
  expect(Buffer.from(secret.sign.sign("a.b")).toString("hex")).toBe(expected)
})

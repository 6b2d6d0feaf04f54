import { beforeAll, describe, expect, test } from "bun:test"
import fc from "fast-check"
import { importJWK, jwtVerify, SignJWT } from "jose"
import { ALGORITHMS, type Algorithm } from "../../src/identity/algorithms.ts"
import { checkClaims } from "../../src/identity/claims.ts"
import { parseJws, verifyJws } from "../../src/identity/jws.ts"
import { type SigningKey, toPlain, type VerifyKey } from "../../src/identity/keys.ts"
import { signJwt } from "../../src/identity/sign.ts"
import { base64url, forge } from "../support/forge.ts"
import { keyPair } from "../support/key_pair.ts"

const NOW = 1_800_000_000
const LEEWAY = 30
const ISSUER = "https://issuer.test"
const NAMES = Object.keys(ALGORITHMS) as Algorithm[]
type Pair = ReturnType<typeof keyPair>
const pairs = new Map<Algorithm, Pair>()
const joseKeys = new Map<Algorithm, Awaited<ReturnType<typeof importJWK>>>()

beforeAll(async () => {
  for (const alg of NAMES) {
    const pair = keyPair(alg)
    pairs.set(alg, pair)
    joseKeys.set(alg, await importJWK(toPlain(pair.verify).jwk, alg))
  }
})

function oursAccepts(token: string, key: VerifyKey): boolean {
  const jws = parseJws(token)
  if (jws.kind === "fault" || !verifyJws(jws, key)) return false
  const rules = { issuer: ISSUER, audience: "api", types: ["at+jwt"], leewayS: LEEWAY, require: [] }
  return checkClaims(jws, rules, NOW) === undefined
}

async function joseAccepts(token: string, alg: Algorithm): Promise<boolean> {
  return jwtVerify(token, joseKeys.get(alg)!, {
    algorithms: [alg],
    issuer: ISSUER,
    audience: "api",
    typ: "at+jwt",
    clockTolerance: LEEWAY,
    requiredClaims: ["exp"],
    currentDate: new Date(NOW * 1000),
  }).then(
    () => true,
    () => false,
  )
}

const good = { iss: ISSUER, aud: "api", sub: "alice", exp: NOW + 60, iat: NOW }

describe("jose and the gateway agree on what is good", () => {
  for (const alg of NAMES) {
    test(`${alg}: jose takes what is signed here`, async () => {
      const { sign, verify } = pairs.get(alg)!
      const token = signJwt(good, sign, "at+jwt")
      expect([oursAccepts(token, verify), await joseAccepts(token, alg)]).toEqual([true, true])
    })

    test(`${alg}: what jose signs is taken here`, async () => {
      const { sign, verify } = pairs.get(alg)!
      const key = await importJWK(toPlain(sign).jwk, alg)
      const token = await new SignJWT(good).setProtectedHeader({ alg, typ: "at+jwt" }).sign(key)
      expect(oursAccepts(token, verify)).toBe(true)
    })
  }
})

const odd = fc.oneof(
  fc.constantFrom<unknown>(
    ISSUER,
    "api",
    ["api"],
    ["x", "api"],
    [],
    "",
    null,
    true,
    NOW,
    NOW - 29,
    NOW - 30,
    NOW + 31,
    `${NOW + 60}`,
    1e300,
    -1,
  ),
  fc.jsonValue({ maxDepth: 2 }),
)
const claims = fc
  .tuple(
    fc.dictionary(fc.constantFrom("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "x"), odd, { maxKeys: 2 }),
    fc.boolean(),
  )
  .map(([changes, base]) => JSON.stringify(base ? { ...good, ...changes } : changes))
const header = fc.dictionary(
  fc.constantFrom("alg", "typ", "kid", "crit", "b64", "zip", "jwk", "x"),
  fc.oneof(
    fc.constantFrom<unknown>(...NAMES, "none", "at+jwt", "AT+JWT", "JWT", "application/at+jwt", ["exp"]),
    odd,
  ),
  { maxKeys: 1 },
)

/** Changes of the text of a token that leave most of it. */
const mutation = fc.oneof(
  { weight: 3, arbitrary: fc.constant((token: string) => token) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.nat(), fc.constantFrom(..."AQgw-_+/=. \n.", "", "{", "é", "Ā"))
      .map(([at, text]) => (token: string) => {
        const i = at % token.length
        return token.slice(0, i) + text + token.slice(i + 1)
      }),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.nat(), fc.constantFrom("A", "=", ".", " ", "\t"))
      .map(([at, text]) => (token: string) => {
        const i = at % (token.length + 1)
        return token.slice(0, i) + text + token.slice(i)
      }),
  },
  { weight: 1, arbitrary: fc.nat().map((at) => (token: string) => token.slice(0, at % token.length)) },
)

test("[F-51] [F-52] the gateway accepts no token that jose refuses", async () => {
  const seen = { both: 0, josed: 0, neither: 0 }
  await fc.assert(
    // EdDSA stands for what is signed with key pairs: the slower ones only differ in their last step.
    fc.asyncProperty(
      fc.constantFrom<Algorithm>("HS256", "HS512", "EdDSA"),
      header,
      claims,
      mutation,
      async (alg, changes, payload, mutate) => {
        const { sign, verify } = pairs.get(alg)!
        const token = mutate(forge(JSON.stringify({ alg, typ: "at+jwt", ...changes }), payload, sign))
        const [ours, theirs] = [oursAccepts(token, verify), await joseAccepts(token, alg)]
        seen[ours ? "both" : theirs ? "josed" : "neither"]++
        expect(ours && !theirs).toBe(false)
      },
    ),
    { numRuns: 1500 },
  )
  // It must have tried good ones and bad ones, or it proves nothing.
  expect(seen.both).toBeGreaterThan(50)
  expect(seen.neither).toBeGreaterThan(50)
})

test("[F-51] a signature with any bytes changed is refused for every algorithm, as by jose, and never throws", async () => {
  const changed = (signature: Uint8Array, edits: readonly (readonly [number, number])[], length: number) => {
    const bytes = Buffer.alloc(Math.max(1, signature.length + length))
    Buffer.from(signature).copy(bytes)
    for (const [at, value] of edits) bytes[at % bytes.length] = value
    return bytes
  }
  const cheap = NAMES.filter((alg) => !["ES384", "ES512"].includes(alg))
  const signed = new Map(cheap.map((alg) => [alg, signJwt(good, pairs.get(alg)!.sign, "at+jwt")]))
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...cheap),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 0, 0, -1, 1, 32, -32),
      async (alg, edits, length) => {
        const token = signed.get(alg)!
        const end = token.lastIndexOf(".") + 1
        const signature = changed(Buffer.from(token.slice(end), "base64url"), edits, length)
        const other = token.slice(0, end) + base64url(signature)
        expect(oursAccepts(other, pairs.get(alg)!.verify)).toBe(await joseAccepts(other, alg))
        expect(other !== token && oursAccepts(other, pairs.get(alg)!.verify)).toBe(false)
      },
    ),
    { numRuns: 300 },
  )
})

test("[F-51] no key verifies what another signed, whatever the algorithm in the header", () => {
  for (const signer of NAMES)
    for (const verifier of NAMES) {
      if (signer === verifier) continue
      const sign: Pick<SigningKey, "sign"> = pairs.get(signer)!.sign
      const token = forge(JSON.stringify({ alg: verifier, typ: "at+jwt" }), JSON.stringify(good), sign)
      expect(oursAccepts(token, pairs.get(verifier)!.verify)).toBe(false)
    }
})

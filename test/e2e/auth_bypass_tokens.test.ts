import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { createHmac, createPublicKey, generateKeyPairSync, sign } from "node:crypto"
import { ALGORITHMS } from "../../src/identity/algorithms.ts"
import { SECRET } from "../support/authenticator.ts"
import { base64url, forge } from "../support/forge.ts"
import { endGateways } from "../support/gateway_process.ts"
import { type Account, bearer, type Guarded, startGuarded } from "../support/guarded.ts"
import { seededRandom } from "../support/services.ts"

let guarded: Guarded

beforeAll(async () => {
  guarded = await startGuarded()
})
afterEach(async () => {
  expect((await guarded.ask("/admin/x", bearer(guarded.mint()))).status).toBe(200)
  expect((await guarded.ask(diaryOf(guarded.ann), bearer(guarded.ann.access))).status).toBe(200)
})
afterAll(async () => {
  guarded?.close()
  await endGateways()
})

const diaryOf = ({ id }: Account) => `/users/${id}/diary`

/** Expects each of these header lines to be refused, and that no service sees anything of it. */
async function refused(fields: readonly string[], statuses = [401], target = "/admin/x"): Promise<void> {
  const before = guarded.received().length
  for (const [i, field] of fields.entries()) {
    const { status } = await guarded.ask(target, field)
    expect(`${i} ${statuses.includes(status) ? "refused" : status}`).toBe(`${i} refused`)
  }
  expect(guarded.received()).toHaveLength(before)
}
const refusedTokens = (tokens: readonly string[]) => refused(tokens.map(bearer))

const hmac = (secret: string | Uint8Array, hash = "sha256") => ({
  sign: (input: string) => createHmac(hash, secret).update(input).digest(),
})
const raw = (bytes: Uint8Array) => ({ sign: () => bytes })
const thief = generateKeyPairSync("ec", { namedCurve: "P-256" })
const thiefSigns = { sign: ALGORITHMS.ES256.signer(thief.privateKey) }

describe("[F-51] tokens nobody here has signed", () => {
  test("algorithm none, however it is spelled", async () => {
    const signed = guarded.mint().split(".")
    await refusedTokens(
      ["none", "None", "NONE", "nOnE", ""].flatMap((alg) => {
        const [header, payload] = guarded.mint({}, { alg }).split(".")
        return [`${header}.${payload}.`, `${header}.${payload}`, `${header}.${payload}.${signed[2]}`]
      }),
    )
  })

  test("the public key taken for a secret, and other algorithms than the key's", async () => {
    const { publicKey, mint } = guarded
    const der = createPublicKey(publicKey).export({ type: "spki", format: "der" })
    const secrets = [publicKey, publicKey.trim(), `${publicKey}\n`, der, base64url(der), SECRET]
    await refusedTokens([
      ...secrets.map((secret) => mint({}, { alg: "HS256" }, hmac(secret))),
      ...secrets.map((secret) => mint({}, { alg: "ES256" }, hmac(secret))),
      mint({}, { alg: "HS384", kid: undefined }, hmac(SECRET, "sha384")),
      mint({}, { alg: "HS512", kid: undefined }, hmac(SECRET, "sha512")),
      ...["RS256", "PS256", "ES384", "ES512", "EdDSA", "ES256K", "es256"].map((alg) => mint({}, { alg })),
    ])
  })

  test("signatures that are empty, zero, DER, doubled, or of another token", async () => {
    const { mint } = guarded
    const [header, payload, signature] = mint().split(".") as [string, string, string]
    const der = { sign: (input: string) => sign("sha256", Buffer.from(input), thief.privateKey) }
    await refusedTokens([
      mint({}, {}, raw(new Uint8Array(64))),
      mint({}, {}, raw(new Uint8Array(0))),
      mint({}, {}, raw(new Uint8Array(64).fill(255))),
      mint({}, {}, der),
      `${header}.${payload}.${signature}${signature}`,
      `${header}.${payload}.${mint().split(".")[2]}`,
      `${header}.${payload}.${signature}=`,
      `${header}.${payload}.${signature}.`,
      `.${payload}.${signature}`,
      `${header}..${signature}`,
      `${header}.${payload}.${signature}.a.b`,
    ])
    // Commas: it could be two fields that somebody has joined.
    await refused([bearer(JSON.stringify({ protected: header, payload, signature }))], [400])
  })

  test("weak secrets", async () => {
    const secrets = ["", "secret", "gatehouse", "0", SECRET.slice(1), SECRET.toUpperCase(), `${SECRET}\n`]
    await refusedTokens(
      secrets.map((secret) => guarded.mint({}, { alg: "HS256", kid: undefined }, hmac(secret))),
    )
  })

  test("a user's own token with other claims in it", async () => {
    const [header, payload, signature] = guarded.ann.access.split(".") as [string, string, string]
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString())
    const swapped = (change: object) =>
      `${header}.${base64url(JSON.stringify({ ...claims, ...change }))}.${signature}`
    await refusedTokens([swapped({ roles: ["admin"] }), swapped({ sub: "root" }), swapped({ exp: 9e9 })])
  })

  test("keys the token brings along, or says where to fetch: nothing is fetched", async () => {
    let fetched = 0
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch() {
        fetched++
        return Response.json({ keys: [jwk] })
      },
    })
    const jwk = { ...thief.publicKey.export({ format: "jwk" }), kid: "thief", alg: "ES256" }
    const url = `http://127.0.0.1:${server.port}/jwks.json`
    try {
      await refusedTokens([
        ...["own", "thief", undefined].flatMap((kid) =>
          [{}, { jwk }, { jku: url }, { x5u: url }, { x5c: ["MIIB"] }].map((header) =>
            guarded.mint({}, { kid, ...header }, thiefSigns),
          ),
        ),
        guarded.mint({ iss: url.replace("/jwks.json", "") }, {}, thiefSigns),
      ])
      expect(fetched).toBe(0)
    } finally {
      await server.stop(true)
    }
  })

  test("a kid that is a path, a query, a prototype, or no text", async () => {
    const kids = [
      ...["../../dev/null", "/dev/null", "file:///dev/null", "own' OR '1'='1", "own\0", "own\r\nx: y", "OWN"],
      ...["__proto__", "constructor", "toString", "", " own", "own ", "*", "0", "a".repeat(5000)],
      ...[null, 0, true, ["own"], { own: 1 }],
    ]
    await refusedTokens(
      kids.flatMap((kid) => [
        guarded.mint({}, { kid }, thiefSigns),
        guarded.mint({}, { alg: "HS256", kid }, hmac("")),
      ]),
    )
  })

  test("extensions, even of the right key", async () => {
    await refusedTokens(
      [{ crit: ["exp"] }, { crit: [] }, { b64: false, crit: ["b64"] }, { b64: true }, { zip: "DEF" }].map(
        (header) => guarded.mint({}, header),
      ),
    )
  })

  test("a thousand mutations of one that is right", async () => {
    const random = seededRandom(51)
    const token = guarded.mint()
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/~"
    const pick = (count: number) => Math.floor(random() * count)
    const letter = () => alphabet[pick(alphabet.length)]!
    const mutate = (text: string): string => {
      const at = pick(text.length)
      switch (pick(5)) {
        case 0:
          return text.slice(0, at) + letter() + text.slice(at + 1)
        case 1:
          return text.slice(0, at) + text.slice(at + 1)
        case 2:
          return text.slice(0, at) + letter() + text.slice(at)
        case 3:
          return text.slice(0, at + 1)
        default:
          return (
            text.slice(0, at) +
            text
              .slice(at, at + 9)
              .split("")
              .reverse()
              .join("") +
            text.slice(at + 9)
          )
      }
    }
    const mutants = new Set<string>()
    // The last characters too: bits of them that no byte takes would make a second spelling of one token.
    for (const last of alphabet) mutants.add(token.slice(0, -1) + last)
    while (mutants.size < 1001) {
      let mutant = mutate(token)
      while (random() < 0.3) mutant = mutate(mutant)
      mutants.add(mutant)
    }
    mutants.delete(token)
    const before = guarded.received().length
    const all = [...mutants]
    const requests = all.map((each) => `GET /admin/x HTTP/1.1\r\nHost: a.example\r\n${bearer(each)}\r\n`)
    expect(await guarded.askMany(requests)).toEqual(all.map(() => 401))
    expect(all.length).toBeGreaterThanOrEqual(1000)
    expect(guarded.received()).toHaveLength(before)
  })
})

describe("[F-52] tokens that are signed, and do not hold", () => {
  const nowS = () => Math.floor(Date.now() / 1000)

  test("expired, not yet valid, of the future, or without an end", async () => {
    const { mint } = guarded
    const far = nowS() + 3600
    await refusedTokens(
      [
        { exp: nowS() - 31 },
        { exp: 0 },
        { exp: -1 },
        { exp: undefined },
        { exp: null },
        { exp: String(far) },
        { exp: [far] },
        { exp: true },
        { nbf: far },
        { nbf: String(nowS()) },
        { iat: far },
        { iat: "yesterday" },
      ].map((claims) => mint(claims)),
    )
  })

  test("of another issuer, for somebody else, of another type", async () => {
    const { mint } = guarded
    await refusedTokens([
      ...[undefined, null, "", "Gatehouse", "gatehouse/", "https://gatehouse", ["gatehouse"], 1].map((iss) =>
        mint({ iss }),
      ),
      ...[undefined, null, "", "API", "api ", "s", ["s", "ws"], [], [["api"]], { api: 1 }].map((aud) =>
        mint({ aud }),
      ),
      ...["JWT", "jwt", "", "refresh+jwt", "id+jwt", "logout+jwt", undefined, null, 1].map((typ) =>
        mint({}, { typ }),
      ),
    ])
  })

  test("without a subject or an id, or with claims that can be read in two ways", async () => {
    const { mint } = guarded
    const [, payload] = mint().split(".") as [string, string]
    const text = Buffer.from(payload, "base64url").toString()
    const key = { sign: (input: string) => hmac(SECRET).sign(input) }
    const header = '{"alg":"HS256","typ":"at+jwt"}'
    const sent = (claims: string) => forge(header, claims, key)
    expect((await guarded.ask("/admin/x", bearer(sent(text)))).status).toBe(200)
    await refusedTokens([
      ...[undefined, null, "", 7, ["root"]].map((sub) => mint({ sub })),
      ...[undefined, null, 7].map((jti) => mint({ jti })),
      mint({ age_limit: "none" }),
      sent(text.replace("{", '{"exp":9999999999,')),
      sent(text.replace("{", '{"\\u0065xp":9999999999,')),
      sent(text.replace("{", '{"roles":["user"],')),
      sent(`${text} `.replace("}", ',"x":NaN}')),
      sent(`${text}{}`),
      sent(`[${text}]`),
      sent(`\uFEFF${text}`),
      sent("null"),
      sent(""),
      forge(`${header.slice(0, -1)},"alg":"HS256"}`, text, key),
    ])
  })

  test("huge ones: 401, or 431 when the head as a whole is too large", async () => {
    const claim = (length: number) => guarded.mint({ x: "x".repeat(length) })
    await refused([claim(20_000), claim(64_000), `${"a".repeat(70_000)}.b.c`].map(bearer), [401, 431])
    await refused([bearer("a".repeat(15_000)), bearer(".".repeat(10_000))])
  })
})

describe("[F-54] what was a proof, or is one of something else", () => {
  test("a refresh token is no access token, nor an API key or cookie", async () => {
    const { refresh } = guarded.ann
    await refused(
      [bearer(refresh), `X-API-Key: ${refresh}\r\n`, `Cookie: __Host-gh_session=${refresh}\r\n`],
      [401],
      diaryOf(guarded.ann),
    )
  })

  test("what one service was told is no proof here, and is for that service alone", async () => {
    expect((await guarded.ask("/told/x", bearer(guarded.ann.access))).status).toBe(200)
    const told = guarded.received().at(-1)!.header("authorization")!.replace("Bearer ", "")
    expect(told).not.toBe(guarded.ann.access)
    const claims = JSON.parse(Buffer.from(told.split(".")[1]!, "base64url").toString())
    // The name of that service, which is the audience of access tokens as well.
    expect([claims.sub, claims.aud]).toEqual([guarded.ann.id, "api"])
    for (const target of ["/told/x", "/public/x", diaryOf(guarded.ann)])
      await refused([bearer(told)], [401], target)
  })

  test("after logout a token holds nowhere, within a second", async () => {
    const gone = await guarded.logIn("ann")
    const diary = diaryOf(gone)
    expect((await guarded.ask(diary, bearer(gone.access))).status).toBe(200)
    const { status } = await guarded.ask("/api/v1/auth/logout", bearer(gone.access), "POST")
    expect(status).toBe(200)
    const ask = `GET ${diary} HTTP/1.1\r\nHost: a.example\r\n${bearer(gone.access)}\r\n`
    // Both workers must know: several connections, each with one of them.
    const deadline = performance.now() + 1000
    let found: number[] = []
    while (!found.every((each) => each === 401) || found.length === 0) {
      expect(performance.now()).toBeLessThan(deadline)
      found = await guarded.askMany(Array.from({ length: 8 }, () => ask))
    }
    await refused([bearer(gone.access)], [401], diary)
    await refused([bearer(gone.refresh)], [401], diary)
  })

  test("another user's token opens that user's resources only", async () => {
    const { ann, bob } = guarded
    await refused([bearer(bob.access)], [403], diaryOf(ann))
    await refused([bearer(ann.access)], [403], diaryOf(bob))
    await refused([bearer(ann.access)], [403], "/admin/x")
  })
})

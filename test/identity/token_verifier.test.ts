import { afterEach, expect, spyOn, test } from "bun:test"
import { decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT } from "jose"
import { toAccessClaims } from "../../src/identity/access_claims.ts"
import { ALGORITHMS } from "../../src/identity/algorithms.ts"
import { Issuers } from "../../src/identity/issuers.ts"
import type { IssuerKeys, Question } from "../../src/identity/messages.ts"
import { authSettings, bearer, SECRET, TestAuthenticator } from "../support/authenticator.ts"
import { FakeTime } from "../support/fake_time.ts"
import { issuerKey, TestIssuer } from "../support/issuer.ts"
import { memoryLog } from "../support/memory_log.ts"

const secret = new TextEncoder().encode(SECRET)
const keys = { first: await issuerKey("first"), second: await issuerKey("second") }
const opened: { close(): unknown }[] = []

afterEach(async () => {
  for (const each of opened.splice(0)) await each.close()
})

/** A token of the gateway itself; `claims` come on top. */
function ownToken(claims: Record<string, unknown> = {}, header: object = {}): Promise<string> {
  const nowS = Math.floor(Date.now() / 1000)
  const payload = {
    iss: "gatehouse",
    aud: "api",
    sub: "ann",
    jti: "t1",
    sid: "s1",
    roles: ["user"],
    scope: "read write",
    tier: "premium",
    iat: nowS,
    exp: nowS + 300,
    ...claims,
  }
  return new SignJWT(payload).setProtectedHeader({ alg: "HS256", typ: "at+jwt", ...header }).sign(secret)
}

/** A worker and the part of a control plane that fetches keys, with a real issuer. */
class Federation {
  readonly issuer: TestIssuer
  readonly worker: TestAuthenticator
  readonly time = new FakeTime()
  readonly #issuers: Issuers

  constructor(over: object = {}, issuer = new TestIssuer([keys.first])) {
    this.issuer = issuer
    const auth = {
      issuers: [
        { issuer: issuer.url, audience: ["api"], algorithms: ["ES256"], id_prefix: "acme:", ...over },
      ],
    }
    this.worker = new TestAuthenticator(auth)
    this.#issuers = new Issuers({
      fetch: (url, init) => fetch(url, init),
      lookUp: async (host) => [host],
      isRefused: () => false,
      timeoutMs: 10_000,
      now: this.time.now,
      random: () => 0,
      after: this.time.after,
      log: memoryLog(),
      count: () => {},
      onKeys: (each: IssuerKeys) => this.worker.it.update({ issuers: [each], revocations: [] }),
    })
    this.#issuers.apply(authSettings(auth))
    this.worker.answer = (question: Question) => this.#answer(question)
    opened.push(issuer, this.#issuers)
  }

  async ask(claims: Record<string, unknown> = {}, key = keys.first, header: object = {}): Promise<string> {
    return this.worker.ask(bearer(await this.issuer.token(claims, key, header)))
  }

  async principal(claims: Record<string, unknown>) {
    return this.worker.principal(bearer(await this.issuer.token(claims)))
  }

  async #answer(question: Question) {
    if (question.kind !== "keys") return undefined
    const found = await this.#issuers.ask(question.issuer, question.kid)
    return found && ({ kind: "keys", keys: found } as const)
  }
}

test("a token of the gateway itself tells who calls, in whole", async () => {
  const worker = new TestAuthenticator()
  const token = await ownToken({ parent: "pat", age_limit: 12, blocked: ["violence"] })
  const principal = await worker.principal(bearer(token))
  expect(principal).toMatchObject({
    id: "ann",
    kind: "user",
    method: "jwt",
    issuer: "gatehouse",
    roles: ["user"],
    scopes: ["read", "write"],
    tier: "premium",
    sessionId: "s1",
    tokenId: "t1",
    parentId: "pat",
    ageLimit: 12,
    blockedContent: ["violence"],
  })
  expect(worker.questions).toEqual([])
})

test("what is written into an access token is read out of it again", async () => {
  const worker = new TestAuthenticator()
  const first = await worker.principal(
    bearer(await ownToken({ parent: "pat", age_limit: 0, blocked: ["war"] })),
  )
  const issuedAt = Date.now()
  const grant = { issuer: "gatehouse", audience: "api", issuedAt, expiresAt: issuedAt + 60_000 }
  const again = await worker.principal(bearer(await ownToken(toAccessClaims(first, grant))))
  expect({ ...again, claims: {}, expiresAt: 0 }).toEqual({ ...first, claims: {}, expiresAt: 0 })
})

test("[F-52] an age limit that cannot be read is a fault, not the lack of one", async () => {
  const worker = new TestAuthenticator()
  for (const age_limit of ["12", 12.5, null, []])
    expect(await worker.ask(bearer(await ownToken({ age_limit })))).toBe("claims")
})

test.each<[string, Record<string, unknown>, object]>([
  ["type", {}, { typ: "JWT" }],
  ["type", {}, { typ: undefined }],
  ["issuer", { iss: "else" }, {}],
  ["audience", { aud: "other" }, {}],
  ["expired", { exp: 1_600_000_000 }, {}],
  ["not_yet_valid", { nbf: 4_000_000_000 }, {}],
  ["claims", { jti: undefined }, {}],
  ["claims", { sub: undefined }, {}],
  ["claims", { sub: "ann\r\nx-user-roles: admin" }, {}],
  ["algorithm", {}, { alg: "HS512" }],
])("[F-52] a token of the gateway is refused for its %p: %p %p", async (reason, claims, header) => {
  const worker = new TestAuthenticator()
  const outcome = await worker.ask(bearer(await ownToken(claims, header)))
  // Without a key for the other algorithm none is known.
  expect(outcome === "unknown_key" ? "algorithm" : outcome).toBe(reason)
  expect(worker.counted).toEqual([`jwt ${outcome}`])
})

test("a token that was verified is not verified again, but expires", async () => {
  const worker = new TestAuthenticator()
  const token = await ownToken()
  const principal = await worker.principal(bearer(token))
  expect(await worker.principal(bearer(token))).toBe(principal)
  worker.pass(329_000)
  expect(await worker.ask(bearer(token))).toBe("ann")
  worker.pass(2000)
  expect(await worker.ask(bearer(token))).toBe("expired")
  expect(await worker.ask(bearer(token))).toBe("expired")
})

test("[F-54] a revoked sign-in or token is refused, though the token was verified before", async () => {
  const worker = new TestAuthenticator()
  const tokens = [await ownToken({ jti: "t1", sid: "s1" }), await ownToken({ jti: "t2", sid: "s2" })]
  for (const token of tokens) expect(await worker.ask(bearer(token))).toBe("ann")
  const expiresAt = worker.wallClock + 600_000
  worker.it.update({ issuers: [], revocations: [{ kind: "session", subject: "s1", expiresAt }] })
  expect(await worker.ask(bearer(tokens[0]!))).toBe("revoked")
  expect(await worker.ask(bearer(tokens[1]!))).toBe("ann")
  worker.it.update({ issuers: [], revocations: [{ kind: "token", subject: "t2", expiresAt }] })
  expect(await worker.ask(bearer(tokens[1]!))).toBe("revoked")
})

test("[F-54] a revoked sign-in is refused for a token that was not seen before", async () => {
  const worker = new TestAuthenticator()
  const expiresAt = worker.wallClock + 600_000
  worker.it.update({ issuers: [], revocations: [{ kind: "session", subject: "s1", expiresAt }] })
  expect(await worker.ask(bearer(await ownToken()))).toBe("revoked")
})

test("a reload with another secret ends what was verified by the old one", async () => {
  const worker = new TestAuthenticator()
  const token = await ownToken()
  expect(await worker.ask(bearer(token))).toBe("ann")
  worker.it.apply(authSettings({ secret: "another-secret-of-enough-length-0123456789" }))
  expect(await worker.ask(bearer(token))).toBe("signature")
})

test("keys that cannot be used leave the old settings in force", async () => {
  const worker = new TestAuthenticator()
  const bad = authSettings({ keys: [{ alg: "RS256", file: "/nowhere/key.pem" }] })
  expect(() => worker.it.apply(bad)).toThrow("auth.keys[0].file")
  expect(await worker.ask(bearer(await ownToken()))).toBe("ann")
})

test("a token of another issuer tells who calls, and nothing the gateway says of its own accounts", async () => {
  const { issuer, worker } = new Federation()
  const claims = {
    roles: ["user", "a,admin"],
    scp: ["read"],
    sid: "s1",
    parent: "pat",
    blocked: ["x"],
    tier: "gold",
  }
  const principal = await worker.principal(bearer(await issuer.token({ ...claims, kind: "service" })))
  expect(principal).toMatchObject({
    id: "acme:ann",
    kind: "user",
    issuer: issuer.url,
    roles: ["user"],
    scopes: ["read"],
    tier: "free",
    sessionId: "",
    parentId: "",
    blockedContent: [],
  })
})

test("claims are found by their whole name, and by a path as Keycloak writes it", async () => {
  const { issuer, worker } = new Federation({
    claims: { roles: "realm_access.roles", tier: "https://acme.example/tier", id: "user.id" },
  })
  const principal = await worker.principal(
    bearer(
      await issuer.token({
        realm_access: { roles: ["admin"] },
        "https://acme.example/tier": "enterprise",
        user: { id: "from-path" },
        "user.id": "from-name",
      }),
    ),
  )
  expect(principal).toMatchObject({ id: "acme:from-name", tier: "enterprise", permissions: ["*"] })
})

test("[F-52] a path of claims does not lead out of them", async () => {
  const { issuer, worker } = new Federation({ claims: { id: "constructor.name" } })
  expect(await worker.ask(bearer(await issuer.token()))).toBe("claims")
})

test.each<[string, Record<string, unknown>, object]>([
  ["audience", { aud: "other" }, {}],
  ["expired", { exp: 1_600_000_000 }, {}],
  ["type", {}, { typ: "dpop+jwt" }],
  ["issuer", { iss: "https://else.example" }, {}],
  // Its own issuer's name does not help somebody who has not its key.
  ["unknown_key", { iss: "gatehouse" }, { typ: "at+jwt" }],
])("[F-52] a token of another issuer is refused for its %p", async (reason, claims, header) => {
  const federation = new Federation()
  expect(await federation.ask(claims, keys.first, header)).toBe(reason)
})

test("[F-52] only the algorithms config names are accepted from an issuer", async () => {
  const rsa = await issuerKey("rsa", "RS256")
  const issuer = new TestIssuer([keys.first, rsa])
  const federation = new Federation({}, issuer)
  expect(await federation.ask({}, rsa)).toBe("algorithm")
  expect(federation.worker.questions).toEqual([])
})

test("[F-52] the public key of an issuer is no secret to sign with", async () => {
  const { issuer, worker } = new Federation({ algorithms: ["ES256", "HS256"] })
  expect(await worker.ask(bearer(await issuer.token()))).toBe("acme:ann")
  const forge = async (key: string) =>
    new SignJWT(decodeJwt(await issuer.token()))
      .setProtectedHeader({ alg: "HS256", kid: "first" })
      .sign(new TextEncoder().encode(key))
  for (const key of [JSON.stringify(keys.first.jwk), String(keys.first.jwk.x), SECRET])
    expect(await worker.ask(bearer(await forge(key)))).toBe("algorithm")
})

test("[F-52] the gateway's own secret does not sign tokens of another issuer", async () => {
  const { issuer, worker } = new Federation()
  const token = await ownToken({ iss: issuer.url }, { typ: "JWT" })
  expect(await worker.ask(bearer(token))).toBe("algorithm")
})

test("[F-52] the key of one issuer does not sign tokens of another", async () => {
  const { issuer: one, worker } = new Federation()
  const two = new TestIssuer([keys.second])
  opened.push(two)
  worker.it.apply(
    authSettings({
      issuers: [one, two].map(({ url }) => ({ issuer: url, audience: ["api"], algorithms: ["ES256"] })),
    }),
  )
  const claims = { iss: two.url }
  const keysOf = { issuer: two.url, keys: [{ kid: "second", alg: "ES256", jwk: keys.second.jwk }] } as const
  worker.it.update({ issuers: [keysOf], revocations: [] })
  expect(await worker.ask(bearer(await one.token(claims, keys.second)))).toBe("ann")
  expect(await worker.ask(bearer(await one.token(claims, { ...keys.first, kid: "second" })))).toBe(
    "signature",
  )
})

test("[F-53] the key of an issuer changes without a failed request", async () => {
  const federation = new Federation()
  const { issuer, worker } = federation
  expect(await federation.ask()).toBe("acme:ann")
  // Whether the first needed one depends on which came first, it or the keys.
  worker.questions.length = 0
  issuer.keys = [keys.second, keys.first]
  const asked = Array.from({ length: 50 }, (_, i) =>
    federation.ask({ jti: `${i}` }, i % 2 === 0 ? keys.second : keys.first),
  )
  expect(new Set(await Promise.all(asked))).toEqual(new Set(["acme:ann"]))
  expect(issuer.fetches).toBe(2)
  expect(worker.questions).toHaveLength(1)
})

test("[F-53] the key of an issuer that gives its keys no names changes without a failed request", async () => {
  const [old, fresh] = [await issuerKey(""), await issuerKey("")]
  const federation = new Federation({}, new TestIssuer([old]))
  expect(await federation.ask({}, old)).toBe("acme:ann")
  federation.issuer.keys = [fresh]
  expect(await federation.ask({}, fresh)).toBe("acme:ann")
  expect(await federation.ask({ jti: "new" }, old)).toBe("signature")
})

test("[F-54] a key that its issuer takes back ends the tokens it has signed, verified or not", async () => {
  const federation = new Federation()
  const { issuer, worker } = federation
  const token = await issuer.token()
  expect(await worker.ask(bearer(token))).toBe("acme:ann")
  issuer.keys = [keys.second]
  expect(await federation.ask({}, keys.second)).toBe("acme:ann")
  expect(await worker.ask(bearer(token))).toBe("unknown_key")
})

test("[F-53] a hundred first requests make one fetch", async () => {
  const issuer = new TestIssuer([keys.first])
  // Signed before anybody fetches: else the keys may be there before the first of them.
  const tokens = await Promise.all(Array.from({ length: 100 }, (_, i) => issuer.token({ jti: `${i}` })))
  const federation = new Federation({}, issuer)
  const asked = tokens.map((token) => federation.worker.ask(bearer(token)))
  expect(new Set(await Promise.all(asked))).toEqual(new Set(["acme:ann"]))
  expect(federation.issuer.fetches).toBe(1)
  expect(federation.worker.questions).toHaveLength(1)
})

test("[F-53] a flood of unknown keys makes one fetch, and holds at most 16 questions", async () => {
  const federation = new Federation()
  expect(await federation.ask()).toBe("acme:ann")
  federation.worker.questions.length = 0
  const flood = Array.from({ length: 200 }, (_, i) => federation.ask({}, { ...keys.second, kid: `k${i}` }))
  expect(new Set(await Promise.all(flood))).toEqual(new Set(["unknown_key"]))
  expect(federation.issuer.fetches).toBe(2)
  expect(federation.worker.questions.length).toBeLessThan(200)
  expect(await federation.ask({ jti: "after" })).toBe("acme:ann")
})

test("[F-53] a flood of tokens with unknown keys, or without a name of one, is a question a second", async () => {
  const federation = new Federation()
  const { worker } = federation
  expect(await federation.ask()).toBe("acme:ann")
  worker.questions.length = 0
  for (let i = 0; i < 50; i++) {
    expect(await federation.ask({}, { ...keys.second, kid: `k${i}` })).toBe("unknown_key")
    expect(await federation.ask({}, { ...keys.second, kid: undefined })).toBe("signature")
  }
  expect(worker.questions).toHaveLength(1)
  worker.pass(1000)
  await federation.ask({}, keys.second)
  expect(worker.questions).toHaveLength(2)
})

test("[F-53] a key the control plane tells of is taken at once, also amid a flood of unknown ones", async () => {
  const federation = new Federation()
  const { worker, issuer } = federation
  expect(await federation.ask()).toBe("acme:ann")
  expect(await federation.ask({}, keys.second)).toBe("unknown_key")
  const jwks = [keys.first, keys.second].map(({ kid, jwk }) => ({ kid, alg: "ES256", jwk }) as const)
  worker.it.update({ issuers: [{ issuer: issuer.url, keys: jwks }], revocations: [] })
  expect(await federation.ask({}, keys.second)).toBe("acme:ann")
})

test("[F-53] a token without the name of a key is compared with each of them once", async () => {
  const { verifier } = ALGORITHMS.ES256
  let compared = 0
  const counting = spyOn(ALGORITHMS.ES256, "verifier").mockImplementation((key) => {
    const verify = verifier(key)
    return (input, signature) => {
      compared++
      return verify(input, signature)
    }
  })
  try {
    const federation = new Federation()
    expect(await federation.ask()).toBe("acme:ann")
    federation.worker.questions.length = 0
    compared = 0
    expect(await federation.ask({}, { ...keys.second, kid: undefined })).toBe("signature")
    expect(federation.worker.questions).toHaveLength(1)
    expect(compared).toBe(1)
  } finally {
    counting.mockRestore()
  }
})

test("[F-54] ids of tokens of two issuers are not taken for each other, nor for the gateway's own", async () => {
  const federation = new Federation()
  const own = new TestAuthenticator()
  const principal = await federation.principal({ jti: "t1" })
  const again = await federation.principal({ jti: "t1" })
  const other = await federation.principal({ jti: "t2" })
  const mine = await own.principal(bearer(await ownToken({ jti: "t1" })))
  expect(mine.tokenId).toBe("t1")
  expect(principal.tokenId).toMatch(/^[\w-]{22}\.[\w-]{22}$/)
  expect(again.tokenId).toBe(principal.tokenId)
  expect(other.tokenId.slice(0, 23)).toBe(principal.tokenId.slice(0, 23))
  expect(other.tokenId).not.toBe(principal.tokenId)
  expect((await federation.principal({ sub: "bob", jti: "t1" })).tokenId).not.toBe(principal.tokenId)
  const second = await new Federation().principal({ jti: "t1" })
  expect(second.tokenId).not.toBe(principal.tokenId)
})

test("[F-53] an issuer that goes away goes unnoticed by its callers", async () => {
  const federation = new Federation()
  expect(await federation.ask()).toBe("acme:ann")
  federation.issuer.mode = "down"
  federation.time.pass(600_000)
  expect(await federation.ask({ jti: "new" })).toBe("acme:ann")
  expect(await federation.ask({}, keys.second)).toBe("unknown_key")
})

test("[F-53] of an issuer that was never there it cannot be told whether a token is right", async () => {
  const issuer = new TestIssuer([keys.first])
  issuer.mode = "down"
  const federation = new Federation({}, issuer)
  expect(await federation.ask()).toBe("unavailable")
  issuer.mode = "fine"
  federation.time.pass(10_000)
  federation.worker.pass(1000)
  expect(await federation.ask()).toBe("acme:ann")
})

test("when the control plane does not answer, an unknown key is no proof of a wrong token", async () => {
  const federation = new Federation()
  expect(await federation.ask()).toBe("acme:ann")
  federation.worker.answer = () => undefined
  expect(await federation.ask({}, keys.second)).toBe("unavailable")
})

test("an issuer that a reload removes is refused, also for tokens that wait for its keys", async () => {
  const federation = new Federation()
  const { worker } = federation
  const answer = worker.answer
  const asked = Promise.withResolvers<void>()
  worker.answer = async (question) => {
    worker.it.apply(authSettings())
    asked.resolve()
    return answer(question)
  }
  const token = await federation.issuer.token()
  expect(await worker.ask(bearer(token))).toBe("issuer")
  await asked.promise
  expect(await worker.ask(bearer(token))).toBe("issuer")
})

test("a service is told who calls by a token of one minute, for it alone, and given again for half of it", async () => {
  const worker = new TestAuthenticator()
  const principal = await worker.principal(bearer(await ownToken({ age_limit: 9 })))
  const token = worker.it.tokenFor(principal, "stories")
  const { payload } = await jwtVerify(token, secret, { issuer: "gatehouse", audience: "stories", typ: "JWT" })
  expect(payload).toMatchObject({
    sub: "ann",
    kind: "user",
    roles: ["user"],
    scope: "read write",
    sid: "s1",
    age_limit: 9,
  })
  expect(payload.exp! - payload.iat!).toBe(60)
  expect(payload.jti).not.toBe("t1")
  expect(worker.it.tokenFor(principal, "stories")).toBe(token)
  expect(decodeJwt(worker.it.tokenFor(principal, "mail")).aud).toBe("mail")
  worker.pass(30_000)
  expect(worker.it.tokenFor(principal, "stories")).not.toBe(token)
})

test("[F-52] a token for a service is no proof for the gateway, whatever the service is called", async () => {
  const worker = new TestAuthenticator()
  const principal = await worker.principal(bearer(await ownToken()))
  const token = worker.it.tokenFor(principal, "api")
  expect(decodeProtectedHeader(token).typ).toBe("JWT")
  expect(await worker.ask(bearer(token))).toBe("type")
})

import { expect, test } from "bun:test"
import { createApiKey } from "../../src/identity/api_key_format.ts"
import type { ClientCertificate } from "../../src/identity/certificate.ts"
import { bearer, credentials, known, TestAuthenticator } from "../support/authenticator.ts"

const KEY = createApiKey((count) => crypto.getRandomValues(new Uint8Array(count)))
const withKey = (client?: string) => credentials({ "x-api-key": KEY }, client === undefined ? {} : { client })
const withCookie = (cookie: string, scheme: "http" | "https" = "https") => credentials({ cookie }, { scheme })

function certificate(fields: Partial<ClientCertificate>): ClientCertificate {
  return {
    subject: "CN=billing,O=Acme",
    issuer: "CN=Acme CA",
    serial: "01",
    fingerprint256: "ab".repeat(32),
    dns: ["billing.internal"],
    emails: [],
    uris: ["spiffe://acme/billing"],
    notBefore: 0,
    notAfter: Number.MAX_SAFE_INTEGER,
    ...fields,
  }
}

const withCertificate = (fields: Partial<ClientCertificate> = {}) =>
  credentials({}, { certificate: certificate(fields) })

test("nothing shown is nobody", async () => {
  const gateway = new TestAuthenticator()
  expect(await gateway.ask(credentials({}))).toBe("anonymous")
  expect(gateway.counted).toEqual([])
})

test("without a section auth nobody is asked, whatever is shown", async () => {
  const gateway = new TestAuthenticator()
  gateway.it.apply(undefined)
  expect(await gateway.ask(bearer("x.y.z"))).toBe("anonymous")
})

test.each([
  "Basic YTpi",
  "Bearer",
  "Bearer\tx.y.z",
  "bearerx.y.z",
  "",
  "Bearer a.b.c, Bearer d.e.f",
  "Token x",
])("[F-51] Authorization %p is a fault, and no other proof stands in for it", async (authorization) => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({})
  const shown = credentials({ authorization, cookie: "__Host-gh_session=gh_st_x" })
  expect(await gateway.ask(shown)).toBe("malformed")
  expect(gateway.questions).toEqual([])
})

test("[F-51] Authorization and X-API-Key together are a fault, even if both are right", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({})
  const shown = credentials({ authorization: `Bearer ${KEY}`, "x-api-key": KEY })
  expect(await gateway.ask(shown)).toBe("malformed")
})

test("an API key counts in X-API-Key and as Bearer; the question holds its hash, not the key", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({ id: "script", method: "api_key", tokenId: "k1" })
  expect(await gateway.ask(withKey())).toBe("script")
  expect(await gateway.ask(bearer(KEY))).toBe("script")
  const hash = new Bun.CryptoHasher("sha256").update(KEY).digest("hex")
  expect(gateway.questions).toEqual([
    { kind: "credential", credential: "api_key", hash, client: "192.0.2.1" },
  ])
})

test("[F-51] what cannot be an API key never reaches the control plane", async () => {
  const gateway = new TestAuthenticator()
  for (const key of ["", "gh_live_x", `${KEY}x`, KEY.slice(0, -1), KEY.toUpperCase(), "x".repeat(10_000)])
    expect(await gateway.ask(credentials({ "x-api-key": key }))).toBe("malformed")
  expect(gateway.questions).toEqual([])
})

test("an answer is believed for 30 s", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({ method: "api_key" })
  await gateway.ask(withKey())
  gateway.pass(29_999)
  await gateway.ask(withKey())
  expect(gateway.questions).toHaveLength(1)
  gateway.pass(1)
  await gateway.ask(withKey())
  expect(gateway.questions).toHaveLength(2)
})

test("an unknown key is remembered for 2 s", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => ({ kind: "unknown" })
  expect(await gateway.ask(withKey())).toBe("unknown")
  gateway.pass(1999)
  expect(await gateway.ask(withKey())).toBe("unknown")
  expect(gateway.questions).toHaveLength(1)
  gateway.pass(1)
  gateway.answer = () => known({ method: "api_key" })
  expect(await gateway.ask(withKey())).toBe("ann")
})

test("a hundred requests with one new key ask once", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({ method: "api_key" })
  const asked = await Promise.all(Array.from({ length: 100 }, () => gateway.ask(withKey())))
  expect(new Set(asked)).toEqual(new Set(["ann"]))
  expect(gateway.questions).toHaveLength(1)
})

test("when the control plane does not answer it cannot be told who calls, and that is not kept", async () => {
  const gateway = new TestAuthenticator()
  expect(await gateway.ask(withKey())).toBe("unavailable")
  gateway.answer = () => known({ method: "api_key" })
  expect(await gateway.ask(withKey())).toBe("ann")
  expect(gateway.counted).toEqual(["api_key unavailable", "api_key ok"])
})

test("[F-54] a revoked API key is refused at once, though its answer is kept", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({ method: "api_key", tokenId: "k1" })
  expect(await gateway.ask(withKey())).toBe("ann")
  const expiresAt = gateway.wallClock + 60_000
  gateway.it.update({ issuers: [], revocations: [{ kind: "api_key", subject: "k1", expiresAt }] })
  expect(await gateway.ask(withKey())).toBe("revoked")
})

test("[F-54] a session that ends while the control plane is asked about it is refused", async () => {
  const gateway = new TestAuthenticator()
  const answer = Promise.withResolvers<void>()
  gateway.answer = async () => {
    await answer.promise
    return known({ sessionId: "s1" })
  }
  const asked = gateway.ask(withCookie("__Host-gh_session=gh_st_x"))
  const expiresAt = gateway.wallClock + 60_000
  gateway.it.update({ issuers: [], revocations: [{ kind: "session", subject: "s1", expiresAt }] })
  answer.resolve()
  expect(await asked).toBe("revoked")
})

test("a key expires while its answer is kept", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({ method: "api_key", expiresAt: gateway.wallClock + 10_000 })
  expect(await gateway.ask(withKey())).toBe("ann")
  gateway.answer = () => undefined
  gateway.pass(10_000)
  expect(await gateway.ask(withKey())).toBe("expired")
})

test("a key with allowed addresses is refused from others, kept answer or not", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({ method: "api_key" }, ["10.1.0.0/16", "2001:db8::/32", "192.0.2.7"])
  const from = (client: string) => gateway.ask(withKey(client))
  expect(await from("203.0.113.9")).toBe("address")
  for (const client of ["10.1.2.3", "192.0.2.7", "2001:db8::1"]) expect(await from(client)).toBe("ann")
  for (const client of ["10.2.0.1", "192.0.2.8", "2001:db9::1", "unix:", ""])
    expect(await from(client)).toBe("address")
  expect(gateway.questions).toHaveLength(1)
})

test("[F-51] allowed addresses of which none can be read allow none", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({ method: "api_key" }, ["10.1.0.0/99", "anywhere", "1.2.3.4/8/8"])
  for (const client of ["10.1.2.3", "1.2.3.4"]) expect(await gateway.ask(withKey(client))).toBe("address")
})

test("roles of the answer bring along what config says, and an unknown tier becomes the first", async () => {
  const gateway = new TestAuthenticator({
    roles: {
      writer: { permissions: ["stories:write"], includes: ["reader"] },
      reader: { permissions: ["stories:read"], includes: ["writer"] },
    },
  })
  gateway.answer = () => known({ roles: ["writer", "stranger"], tier: "platinum" })
  const principal = await gateway.principal(withCookie("__Host-gh_session=gh_st_x"))
  expect(principal.roles).toEqual(["writer", "stranger", "reader"])
  expect(principal.permissions).toEqual(["stories:write", "stories:read"])
  expect(principal.tier).toBe("free")
})

test("a reload that changes what a role allows asks again", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({ roles: ["admin"] })
  const shown = withCookie("__Host-gh_session=gh_st_x")
  expect((await gateway.principal(shown)).permissions).toEqual(["*"])
  const { settings } = gateway.it
  gateway.it.apply({ ...settings!, roles: {} })
  expect((await gateway.principal(shown)).permissions).toEqual([])
})

test("over https only the cookie with the prefix __Host- counts, over http only the other", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({})
  expect(await gateway.ask(withCookie("a=b; __Host-gh_session=gh_st_x; c=d"))).toBe("ann")
  expect(await gateway.ask(withCookie("gh_session=gh_st_x"))).toBe("anonymous")
  expect(await gateway.ask(withCookie("gh_session=gh_st_x", "http"))).toBe("ann")
  expect(await gateway.ask(withCookie("__Host-gh_session=gh_st_x", "http"))).toBe("anonymous")
})

test.each([
  ["__Host-gh_session=a; __Host-gh_session=b", "malformed"],
  ["__Host-gh_session=a;__Host-gh_session =a", "malformed"],
  ["__Host-gh_session", "anonymous"],
  ["__Host-gh_session=", "anonymous"],
  ['__Host-gh_session="a"', "malformed"],
  ["__Host-gh_session=a, b", "malformed"],
  ["__Host-gh_session=\u00e9", "malformed"],
  [`__Host-gh_session=${"a".repeat(513)}`, "malformed"],
  ["__host-gh_session=a", "anonymous"],
  ["x__Host-gh_session=a", "anonymous"],
  ["x=__Host-gh_session=a", "anonymous"],
  ["x=1, __Host-gh_session=a", "anonymous"],
  [";;;=;", "anonymous"],
])("[F-51] cookies %p: %p", async (cookie, outcome) => {
  const gateway = new TestAuthenticator()
  gateway.answer = () => known({})
  expect(await gateway.ask(withCookie(cookie))).toBe(outcome)
  expect(gateway.questions).toEqual([])
})

test("[F-51] an API key is no session, even where its own answer is kept", async () => {
  const gateway = new TestAuthenticator()
  gateway.answer = (question) =>
    question.kind === "credential" && question.credential === "api_key" ? known({}) : { kind: "unknown" }
  expect(await gateway.ask(withKey())).toBe("ann")
  expect(await gateway.ask(withCookie(`__Host-gh_session=${KEY}`))).toBe("unknown")
})

test("a wrong session is a fault, though a certificate would prove who calls", async () => {
  const gateway = new TestAuthenticator({ certificates: [{ id: "billing", dns: "billing.internal" }] })
  gateway.answer = () => ({ kind: "unknown" })
  const shown = credentials({ cookie: "__Host-gh_session=x" }, { certificate: certificate({}) })
  expect(await gateway.ask(shown)).toBe("unknown")
})

test("a certificate is mapped by subject, DNS name, URI or fingerprint; the first that fits counts", async () => {
  const gateway = new TestAuthenticator({
    certificates: [
      { id: "by-print", fingerprint: `${"CD:".repeat(31)}CD` },
      { id: "by-subject", subject: "CN=shop,O=Acme" },
      { id: "by-uri", uri: "spiffe://acme/mail" },
      { id: "by-dns", dns: "BILLING.internal", roles: ["admin"], scopes: ["read"] },
      { id: "later", dns: "billing.internal" },
    ],
  })
  expect(await gateway.ask(withCertificate({ fingerprint256: "cd".repeat(32) }))).toBe("by-print")
  expect(await gateway.ask(withCertificate({ subject: "CN=shop,O=Acme" }))).toBe("by-subject")
  expect(await gateway.ask(withCertificate({ uris: ["spiffe://acme/mail"] }))).toBe("by-uri")
  const principal = await gateway.principal(withCertificate())
  expect(principal).toMatchObject({
    id: "by-dns",
    kind: "service",
    method: "certificate",
    scopes: ["read"],
    permissions: ["*"],
  })
})

test("a certificate that fits no entry proves nobody, nor does one that fits half of one", async () => {
  const gateway = new TestAuthenticator({
    certificates: [{ id: "nobody" }, { id: "both", dns: "billing.internal", uri: "spiffe://acme/else" }],
  })
  expect(await gateway.ask(withCertificate())).toBe("anonymous")
})

test("a certificate that expires on a long connection is refused", async () => {
  const gateway = new TestAuthenticator({ certificates: [{ id: "billing", dns: "billing.internal" }] })
  const shown = withCertificate({ notAfter: gateway.wallClock + 5000 })
  expect(await gateway.ask(shown)).toBe("billing")
  gateway.pass(5001)
  expect(await gateway.ask(shown)).toBe("expired")
})

test("[C-2.6] refusals are reported each second: ten one by one, the rest as sums by reason", () => {
  const gateway = new TestAuthenticator()
  const failure = { client: "192.0.2.1", route: "/a", requestId: "r", actor: "", at: 1 }
  for (let i = 0; i < 150; i++)
    gateway.it.failed({ ...failure, reason: i % 3 === 0 ? "expired" : "signature" })
  gateway.it.tick()
  expect(gateway.reported).toHaveLength(12)
  expect(gateway.reported.reduce((sum, { count }) => sum + count, 0)).toBe(150)
  expect(gateway.reported.slice(10).map(({ reason, count }) => [reason, count])).toEqual([
    ["signature", 94],
    ["expired", 46],
  ])
  gateway.it.tick()
  expect(gateway.reported).toHaveLength(12)
})

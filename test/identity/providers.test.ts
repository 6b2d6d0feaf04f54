import { afterEach, beforeEach, expect, test } from "bun:test"
import { generateKeyPair, type JWTPayload } from "jose"
import { METADATA_MS, RETRY_MS } from "../../src/identity/provider_source.ts"
import { SIGN_IN_MS } from "../../src/identity/sign_in_state.ts"
import { openAccounts } from "../support/accounts.ts"
import { HostileProvider } from "../support/hostile_provider.ts"
import { closeStores } from "../support/store.ts"
import { until } from "../support/until.ts"
import { createProviderApp, Visitor } from "../support/visitor.ts"

const DISCOVERY = "/.well-known/openid-configuration"
const START = "/api/v1/auth/providers/odd/start"
let provider: HostileProvider
let other: HostileProvider

beforeEach(async () => {
  provider = await HostileProvider.start()
  other = await HostileProvider.start()
})
afterEach(async () => {
  await provider.close()
  await other.close()
  await closeStores()
})

async function open(odd: object = {}) {
  const providers = {
    odd: { issuer: provider.issuer, client_id: "gateway", ...odd },
    other: { issuer: other.issuer, client_id: "gateway" },
  }
  const world = await openAccounts({ auth: { https: "required", providers } })
  const app = createProviderApp(world.context, { timeoutMs: 2000 })
  const visitor = new Visitor(app)
  return {
    ...world,
    app,
    visitor,
    signIn: async () => visitor.get(provider.callback(await visitor.start("odd"))),
  }
}

type World = Awaited<ReturnType<typeof open>>

async function expectNobody({ store }: World): Promise<void> {
  expect(await store.all("SELECT id FROM sessions")).toEqual([])
  expect(await store.all("SELECT id FROM users")).toEqual([])
}

test("what the provider tells the truth about is taken", async () => {
  const world = await open()
  expect(await world.signIn()).toMatchObject({ status: 303, location: "/home" })
  expect(provider.redeemed[0]?.get("code_verifier")).toMatch(/^[\w-]{43}$/)
})

test("a state of nobody is refused, and no code redeemed", async () => {
  const world = await open()
  const url = new URL(provider.callback(await world.visitor.start("odd")))
  const right = url.searchParams.get("state")!
  for (const wrong of [
    "x".repeat(43),
    right.slice(0, 20) + "x".repeat(23),
    right.slice(0, 20),
    "",
    `${right} `,
  ]) {
    url.searchParams.set("state", wrong)
    expect((await world.visitor.get(url.href)).code).toBe("AUTH_ERROR")
  }
  url.searchParams.set("state", right)
  url.searchParams.append("state", right)
  expect((await world.visitor.get(url.href)).code).toBe("AUTH_ERROR")
  expect(provider.redeemed).toEqual([])
  expect((await world.audits()).at(-1)).toMatchObject({ action: "session.start", outcome: "failure" })
  expect(world.counts.get("provider_login failure")).toBe(6)
  await expectNobody(world)
})

test("[T-4.5] the answer to another browser's sign-in is refused: nobody is signed in as somebody else", async () => {
  const world = await open()
  const planted = provider.callback(await new Visitor(world.app).start("odd"))
  expect((await world.visitor.get(planted)).code).toBe("AUTH_ERROR")
  await world.visitor.start("odd")
  expect((await world.visitor.get(planted)).code).toBe("AUTH_ERROR")
  expect(provider.redeemed).toEqual([])
  await expectNobody(world)
})

test("an answer brought again is refused, also at the same time and with the cookie kept", async () => {
  const world = await open()
  const url = provider.callback(await world.visitor.start("odd"))
  const kept = new Map(world.visitor.cookies)
  const pages = await Promise.all(
    Array.from({ length: 8 }, () => {
      const twin = new Visitor(world.app)
      for (const [name, value] of kept) twin.cookies.set(name, value)
      return twin.get(url)
    }),
  )
  expect(pages.filter(({ status }) => status === 303)).toHaveLength(1)
  expect(pages.filter(({ code }) => code === "AUTH_ERROR")).toHaveLength(7)
  expect(provider.redeemed).toHaveLength(1)
})

test("a sign-in takes ten minutes at most", async () => {
  const world = await open()
  const url = provider.callback(await world.visitor.start("odd"))
  world.pass(SIGN_IN_MS)
  expect((await world.visitor.get(url)).code).toBe("AUTH_ERROR")
})

test("a cookie that was changed, or sealed with another key, is refused", async () => {
  const world = await open()
  const foreign = await open()
  const secret = "another secret, as long as that of the first"
  const { context } = await openAccounts({ auth: { https: "required", secret, providers: {} } })
  const settings = () => foreign.context.settings()
  const forger = new Visitor(createProviderApp({ ...context, settings }, {}))
  const url = provider.callback(await forger.start("odd"))
  for (const [name, value] of forger.cookies) world.visitor.cookies.set(name, value)
  expect((await world.visitor.get(url)).code).toBe("AUTH_ERROR")

  const own = provider.callback(await world.visitor.start("odd", "/home"))
  for (const [name, value] of world.visitor.cookies) {
    const [head, body, signature] = value.split(".")
    const claims = {
      ...JSON.parse(Buffer.from(body!, "base64url").toString()),
      returnTo: "https://evil.example",
    }
    const changed = Buffer.from(JSON.stringify(claims)).toString("base64url")
    world.visitor.cookies.set(name, `${head}.${changed}.${signature}`)
  }
  expect((await world.visitor.get(own)).code).toBe("AUTH_ERROR")
  await expectNobody(world)
})

test("an access token of the gateway is no sealed sign-in", async () => {
  const world = await open()
  await world.addUser("ann@example.com")
  const { body } = await world.logIn("ann@example.com")
  const url = provider.callback(await world.visitor.start("odd"))
  for (const name of world.visitor.cookies.keys()) world.visitor.cookies.set(name, body.access_token)
  expect((await world.visitor.get(url)).code).toBe("AUTH_ERROR")
})

test("any VM with the same key finishes what another began", async () => {
  const world = await open()
  const url = provider.callback(await world.visitor.start("odd"))
  const neighbour = new Visitor(createProviderApp(world.context))
  for (const [name, value] of world.visitor.cookies) neighbour.cookies.set(name, value)
  expect((await neighbour.get(url)).status).toBe(303)
})

test("a code of one provider is not brought to another (mix-up)", async () => {
  const world = await open()
  const location = await world.visitor.start("odd")
  const url = provider.callback(location).replace("/providers/odd/", "/providers/other/")
  expect((await world.visitor.get(url)).code).toBe("AUTH_ERROR")
  expect(other.redeemed).toEqual([])
  expect(provider.redeemed).toEqual([])
})

test("an answer that names another issuer is refused (RFC 9207)", async () => {
  provider.discovery = { authorization_response_iss_parameter_supported: true }
  const world = await open()
  const { visitor } = world
  const wrong = provider.callback(await visitor.start("odd"), { iss: other.issuer })
  expect((await visitor.get(wrong)).code).toBe("AUTH_ERROR")
  expect((await visitor.get(provider.callback(await visitor.start("odd")))).code).toBe("AUTH_ERROR")
  expect(provider.redeemed).toEqual([])
  const right = provider.callback(await visitor.start("odd"), { iss: provider.issuer })
  expect((await visitor.get(right)).status).toBe(303)
})

const nowS = () => Math.floor(Date.now() / 1000)
const WRONG_CLAIMS: readonly (readonly [name: string, claims: () => Record<string, unknown>])[] = [
  ["another nonce", () => ({ nonce: "n".repeat(43) })],
  ["no nonce", () => ({ nonce: undefined })],
  ["another audience", () => ({ aud: "somebody else" })],
  ["several audiences and another party", () => ({ aud: ["gateway", "x"], azp: "x" })],
  ["another issuer", () => ({ iss: "https://evil.example" })],
  ["an end long ago", () => ({ exp: nowS() - 3600 })],
  ["no end", () => ({ exp: undefined })],
  ["a beginning to come", () => ({ nbf: nowS() + 3600 })],
  ["no subject", () => ({ sub: undefined })],
  ["a subject that is none", () => ({ sub: "" })],
  ["a subject no store can hold", () => ({ sub: "a\u0000b" })],
  ["a subject without end", () => ({ sub: "x".repeat(300) })],
]

test.each(WRONG_CLAIMS)("an ID token with %s is refused", async (_name, claims) => {
  const world = await open()
  provider.claims = claims()
  expect((await world.signIn()).code).toBe("AUTH_ERROR")
  await expectNobody(world)
})

test("an ID token is refused that nobody signed, that anybody signed, or that the client's secret signed", async () => {
  const world = await open({ client_secret: "s".repeat(40) })
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const { privateKey } = await generateKeyPair("ES256")
  const forgeries: ((payload: JWTPayload) => Promise<string> | string)[] = [
    (payload) => `${encode({ alg: "none" })}.${encode(payload)}.`,
    (payload) => `${encode({ alg: "ES256", kid: "h1" })}.${encode(payload)}.`,
    (payload) => `${encode({ alg: "ES256", kid: "h1" })}.${encode(payload)}.${"A".repeat(86)}`,
    (payload) => provider.sign(payload, privateKey),
    (payload) => provider.sign(payload, privateKey, { kid: "unknown" }),
    (payload) => provider.sign(payload, Buffer.from("s".repeat(40)), { alg: "HS256" }),
    () => "no token at all",
  ]
  for (const forge of forgeries) {
    provider.forge = forge
    expect((await world.signIn()).code).toBe("AUTH_ERROR")
  }
  expect(provider.redeemed).toHaveLength(forgeries.length)
  await expectNobody(world)
})

test("an answer of the token endpoint that is none is refused, and repeated to nobody", async () => {
  const world = await open()
  const answers = [
    () => new Response("<html>evil</html>"),
    () => Response.json({ error: "invalid_grant", error_description: "evil" }, { status: 400 }),
    () => Response.json({ access_token: "evil", token_type: "Bearer" }),
    () => Response.json(["evil"]),
    () => new Response(null, { status: 204 }),
  ]
  for (const answer of answers) {
    provider.instead.set("/token", answer)
    const page = await world.signIn()
    expect(page.code).toBe("AUTH_ERROR")
    expect(page.text).not.toContain("evil")
  }
  expect(JSON.stringify(world.app.log.events)).not.toContain("evil")
  await expectNobody(world)
})

const OUTAGES: readonly (readonly [name: string, answer: () => Response | Promise<Response>])[] = [
  ["fails", () => new Response("no", { status: 500 })],
  ["is silent", () => new Promise<Response>(() => {})],
  ["babbles", () => new Response("<html>maintenance</html>")],
  ["sends elsewhere", () => Response.redirect(`${other.issuer}${DISCOVERY}`)],
  ["never ends", () => new Response(`{"a":"${"x".repeat(2_000_000)}"}`)],
  ["is another", () => Response.json({ issuer: "https://evil.example" })],
]

test.each(OUTAGES)(
  "[F-53] at a provider that %s nobody can begin, and others are not harmed",
  async (_n, answer) => {
    provider.instead.set(DISCOVERY, answer)
    const { visitor, app } = await open()
    const page = await visitor.get(START)
    expect(page).toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfterS: 5 })
    expect(await visitor.start("other")).toStartWith(other.issuer)
    expect(app.log.events.map(({ event }) => event)).toEqual(["provider.unavailable"])
  },
)

test("[F-53] a provider that is not there is asked once in a while, for all who wait", async () => {
  provider.instead.set(DISCOVERY, () => new Response("no", { status: 500 }))
  const { visitor, app } = await open()
  await Promise.all(Array.from({ length: 20 }, () => visitor.get(START)))
  expect(provider.asked).toHaveLength(1)
  provider.instead.clear()
  expect((await visitor.get(START)).code).toBe("SERVICE_UNAVAILABLE")
  app.clock.now += RETRY_MS + 1
  expect((await visitor.get(START)).status).toBe(302)
  expect(provider.asked).toHaveLength(2)
})

test("[F-53] once known, a provider is asked again every ten minutes, and nobody waits for it", async () => {
  const { visitor, app } = await open()
  await Promise.all(Array.from({ length: 20 }, () => visitor.get(START)))
  expect(provider.asked).toEqual([DISCOVERY])
  provider.instead.set(DISCOVERY, () => new Promise<Response>(() => {}))
  for (let i = 0; i < 3; i++) {
    app.clock.now += METADATA_MS + 1
    expect((await visitor.get(START)).status).toBe(302)
    await until(() => app.log.events.length > 0, "the failure to be told")
  }
  expect(app.log.events).toHaveLength(1)
})

test.each(OUTAGES.slice(0, 2))(
  "[F-53] a token endpoint that %s is an outage, not a refusal",
  async (_n, answer) => {
    provider.instead.set("/token", answer)
    const world = await open()
    expect(await world.signIn()).toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfterS: 5 })
    provider.instead.clear()
    expect((await world.signIn()).status).toBe(303)
  },
)

test.each(OUTAGES.slice(0, 5))(
  "[F-53] while the key set %s, the keys known last are taken",
  async (_n, answer) => {
    const world = await open()
    await world.signIn()
    provider.instead.set("/keys", answer)
    expect((await world.signIn()).status).toBe(303)
  },
)

test("[F-53] without any key set a sign-in has to wait", async () => {
  provider.instead.set("/keys", () => new Response("no", { status: 500 }))
  const world = await open()
  expect((await world.signIn()).code).toBe("SERVICE_UNAVAILABLE")
  await expectNobody(world)
})

test("[F-69] a provider cannot lead to addresses that only this machine reaches", async () => {
  for (const url of [
    "http://169.254.169.254/keys",
    "http://[fe80::1]/keys",
    "http://10.0.0.1/keys",
    "file:///etc/passwd",
  ]) {
    provider.discovery = { token_endpoint: url }
    const { visitor } = await open()
    expect((await visitor.get(START)).code).toBe("SERVICE_UNAVAILABLE")
  }
})

test("[F-69] a name that turns out to be a link-local address is not asked", async () => {
  provider.discovery = { token_endpoint: "https://meta.example/token", jwks_uri: "https://meta.example/keys" }
  const world = await open()
  const asked: string[] = []
  const app = createProviderApp(world.context, {
    lookUp: async (host) => [host === "meta.example" ? "169.254.169.254" : host],
    fetch: (url, init) => {
      asked.push(url)
      return fetch(url, init)
    },
  })
  const visitor = new Visitor(app)
  expect((await visitor.get(provider.callback(await visitor.start("odd")))).code).toBe("SERVICE_UNAVAILABLE")
  expect(asked).toEqual([provider.issuer + DISCOVERY])
})

test("a provider whose settings have changed is discovered anew", async () => {
  const { visitor, configure } = await open()
  await visitor.start("odd")
  configure((settings) => ({
    ...settings,
    providers: { odd: { ...settings.providers.odd!, issuer: other.issuer, client_id: "new" } },
  }))
  const location = await visitor.start("odd")
  expect(location).toStartWith(other.issuer)
  expect(location).toContain("client_id=new")
})

test("subjects of another issuer under the same name are other people", async () => {
  const { visitor, configure, store, signIn } = await open()
  await signIn()
  configure((settings) => ({
    ...settings,
    providers: { odd: { ...settings.providers.odd!, issuer: other.issuer } },
  }))
  expect((await visitor.get(other.callback(await visitor.start("odd")))).status).toBe(303)
  expect(await store.all("SELECT id FROM users")).toHaveLength(2)
})

test("the client secret goes the way the provider takes it", async () => {
  const client_secret = "s3cret of the client: odd"
  const { visitor } = await open({ client_secret })
  await visitor.get(provider.callback(await visitor.start("odd")))
  expect(provider.redeemed[0]?.has("client_secret")).toBe(false)
  provider.discovery = { token_endpoint_auth_methods_supported: ["client_secret_post"] }
  const second = await open({ client_secret })
  await second.signIn()
  expect(provider.redeemed[1]?.get("client_secret")).toBe(client_secret)
})

test("an operator is told that the provider does not know the client", async () => {
  const world = await open()
  provider.instead.set("/token", () => Response.json({ error: "invalid_client" }, { status: 401 }))
  expect((await world.signIn()).code).toBe("AUTH_ERROR")
  expect(world.app.log.events).toMatchObject([
    { event: "provider.refused", fields: { provider: "odd", reason: "invalid_client" } },
  ])
})

test("an address counts as verified only by the answer it is in", async () => {
  provider.discovery = { userinfo_endpoint: `${provider.issuer}/me` }
  provider.claims = { email_verified: true }
  provider.instead.set("/me", () => Response.json({ sub: "ann", email: "bob@example.com" }))
  const world = await open()
  expect((await world.signIn()).status).toBe(303)
  expect(await world.store.all("SELECT email FROM users")).toEqual([{ email: null }])
})

test.each(["", "ann", "a\u0000b@example.com", "a b@example.com", `${"x".repeat(300)}@example.com`, 7])(
  "%p is no address, even if the provider has verified it",
  async (email) => {
    provider.claims = { email, email_verified: true }
    const world = await open()
    expect((await world.signIn()).status).toBe(303)
    expect(await world.store.all("SELECT email FROM users")).toEqual([{ email: null }])
  },
)

test("a profile of somebody else, or none at all, does not count and does not harm", async () => {
  provider.discovery = { userinfo_endpoint: `${provider.issuer}/me` }
  const profile = { sub: "bob", email: "bob@example.com", email_verified: true }
  for (const answer of [() => Response.json(profile), () => new Response("no", { status: 500 })]) {
    provider.instead.set("/me", answer)
    const world = await open()
    expect((await world.signIn()).status).toBe(303)
    expect(await world.store.all("SELECT email FROM users")).toEqual([{ email: null }])
  }
})

test("what is shown of a name holds no control characters and is short", async () => {
  provider.claims = { name: `\u001b[31mAnn\u202e\n${"x".repeat(500)}` }
  const world = await open()
  await world.signIn()
  const [user] = await world.store.all<{ display_name: string }>("SELECT display_name FROM users")
  expect(user?.display_name).toMatch(/^\[31mAnn x{90}$/)
})

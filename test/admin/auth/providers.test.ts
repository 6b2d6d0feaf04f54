import { afterAll, afterEach, beforeAll, expect, test } from "bun:test"
import { openAccounts } from "../../support/accounts.ts"
import {
  CLIENT_ID,
  CLIENT_SECRET,
  OpenIdProvider,
  providerKey,
  signInAtProvider,
} from "../../support/oidc_provider.ts"
import { closeStores } from "../../support/store.ts"
import { STORES } from "../../support/store_urls.ts"
import { createProviderApp, Visitor } from "../../support/visitor.ts"

const REDIRECT = "https://gate.example/api/v1/auth/providers/corp/callback"
let provider: OpenIdProvider
let unverified: OpenIdProvider

beforeAll(async () => {
  const keys = [await providerKey("k1")]
  provider = await OpenIdProvider.start({ redirectUris: [REDIRECT], keys })
  const other = "https://gate.example/api/v1/auth/providers/lax/callback"
  unverified = await OpenIdProvider.start({ redirectUris: [other], keys, emailVerified: false })
})
afterAll(async () => {
  await provider.close()
  await unverified.close()
})
afterEach(closeStores)

const client = { client_id: CLIENT_ID, client_secret: CLIENT_SECRET }

async function open(corp: object = {}, auth: object = {}, url?: string) {
  const world = await openAccounts({
    auth: {
      https: "required",
      providers: {
        corp: { issuer: provider.issuer, scopes: ["openid", "email", "profile"], ...client, ...corp },
        lax: { issuer: unverified.issuer, ...client },
      },
      ...auth,
    },
    ...(url !== undefined && { url }),
  })
  const app = createProviderApp(world.context)
  return { ...world, app, visitor: new Visitor(app) }
}

/** Signs in as somebody; what the gateway says in the end. */
async function signIn(visitor: Visitor, login: string, name = "corp", returnTo = "/home?a=1#b") {
  return visitor.get(await signInAtProvider(await visitor.start(name, returnTo), login))
}

test("[T-4.5, V-auth.2] somebody signs in with a provider and is back where they were, with a session", async () => {
  const { visitor, store, counts, audits } = await open()
  const page = await signIn(visitor, "ann")
  expect(page).toMatchObject({ status: 303, location: "/home?a=1#b" })
  const session = page.setCookies.find((each) => each.startsWith("__Host-gh_session="))
  expect(session).toMatch(/; Path=\/; Max-Age=\d+; SameSite=Lax; Secure; HttpOnly$/)
  expect([...visitor.cookies.keys()].sort()).toEqual(["__Host-gh_session", "gh_csrf"])
  expect(await store.all("SELECT kind FROM sessions")).toEqual([{ kind: "cookie" }])
  expect(counts.get("provider_login success")).toBe(1)
  expect((await audits()).map(({ action }) => action)).toEqual([
    "account.register",
    "account.link",
    "session.start",
  ])
})

test("[T-4.5] of the provider's answers only subject, verified address and name are kept", async () => {
  const { visitor, store } = await open()
  await signIn(visitor, "ann")
  const [user] = await store.all<Record<string, unknown>>("SELECT * FROM users")
  expect(user).toMatchObject({
    email: "ann@example.com",
    display_name: "The ann",
    password_hash: null,
    roles: '["user"]',
    tier: "free",
  })
  expect(user?.email_verified_at).toBeNumber()
  expect(user?.login).toMatch(/^corp:[0-9a-f]{64}$/)
  expect(await store.all("SELECT provider, subject FROM federated_identities")).toEqual([
    { provider: provider.issuer, subject: "ann" },
  ])
})

test("[T-4.5] the browser is sent with code flow, PKCE by S256, state and nonce, each new every time", async () => {
  const { visitor } = await open()
  const first = new URL(await visitor.start("corp")).searchParams
  const second = new URL(await visitor.start("corp")).searchParams
  expect(Object.fromEntries(first)).toMatchObject({
    response_type: "code",
    client_id: CLIENT_ID,
    redirect_uri: REDIRECT,
    scope: "openid email profile",
    code_challenge_method: "S256",
  })
  expect(first.has("client_secret")).toBe(false)
  for (const name of ["state", "nonce", "code_challenge"]) {
    expect(first.get(name)).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(first.get(name)).not.toBe(second.get(name))
  }
})

test("the cookie of a sign-in under way is out of reach of scripts and other hosts, and short-lived", async () => {
  const { visitor } = await open()
  const { setCookies } = await visitor.get("/api/v1/auth/providers/corp/start")
  expect(setCookies).toHaveLength(1)
  expect(setCookies[0]).toMatch(
    /^__Host-gh_sign_in_[\w-]{12}=[\w.-]+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/,
  )
})

test.each(STORES)("[T-4.5] a second sign-in finds the same account (%p)", async (_name, url) => {
  const { app, store } = await open({}, {}, await url())
  await signIn(new Visitor(app), "ann")
  await signIn(new Visitor(app), "bob")
  await Promise.all([
    signIn(new Visitor(app), "ann"),
    signIn(new Visitor(app), "cid"),
    signIn(new Visitor(app), "cid"),
  ])
  expect(await store.all("SELECT subject FROM federated_identities ORDER BY subject")).toEqual([
    { subject: "ann" },
    { subject: "bob" },
    { subject: "cid" },
  ])
  expect(await store.all("SELECT id FROM users")).toHaveLength(3)
  expect(await store.all("SELECT id FROM sessions")).toHaveLength(5)
})

test("an account whose address both sides have verified is taken", async () => {
  const { visitor, addUser, store } = await open()
  const ann = await addUser("Ann@Example.com")
  await signIn(visitor, "ann")
  expect(await store.all("SELECT user_id FROM federated_identities")).toEqual([{ user_id: ann.id }])
})

test("an account whose address was never verified here is not taken: anybody may have registered it", async () => {
  const { visitor, addUser, store } = await open()
  const ann = await addUser("ann@example.com", { emailVerifiedAt: undefined })
  await signIn(visitor, "ann")
  const [linked] = await store.all<{ user_id: string }>("SELECT user_id FROM federated_identities")
  expect(linked?.user_id).not.toBe(ann.id)
})

test("an address the provider has not verified is neither kept nor leads to an account", async () => {
  const { visitor, addUser, store } = await open()
  const ann = await addUser("ann@example.com")
  expect(await signIn(visitor, "ann", "lax")).toMatchObject({ status: 303 })
  const [linked] = await store.all<{ user_id: string; email: string | null }>(
    "SELECT user_id, email FROM federated_identities JOIN users ON users.id = user_id",
  )
  expect(linked?.user_id).not.toBe(ann.id)
  expect(linked?.email).toBeNull()
})

test("the same subject of another provider is somebody else", async () => {
  const { visitor, store } = await open()
  await signIn(visitor, "ann")
  await signIn(visitor, "ann", "lax")
  expect(await store.all("SELECT id FROM users")).toHaveLength(2)
})

test("without create_accounts nobody new comes in, and who has an account does", async () => {
  const { visitor, addUser, store, audits } = await open({ create_accounts: false })
  expect((await signIn(visitor, "ann")).code).toBe("FORBIDDEN")
  expect(await store.all("SELECT id FROM users")).toEqual([])
  expect((await audits()).at(-1)).toMatchObject({ action: "session.start", outcome: "failure" })
  await addUser("ann@example.com")
  expect((await signIn(visitor, "ann")).status).toBe(303)
})

test("a disabled account stays out", async () => {
  const { visitor, store } = await open()
  await signIn(visitor, "ann")
  await store.run("UPDATE users SET status = 'disabled'")
  expect((await signIn(visitor, "ann")).code).toBe("FORBIDDEN")
  expect(await store.all("SELECT id FROM sessions")).toHaveLength(1)
})

test("who refuses at the provider is sent back with a code, without its description", async () => {
  const { visitor } = await open()
  const state = new URL(await visitor.start("corp", "/home?a=1#b")).searchParams.get("state")
  const query = new URLSearchParams({
    error: "access_denied",
    error_description: "<script>",
    iss: provider.issuer,
    state: state!,
  })
  const page = await visitor.get(`${REDIRECT}?${query}`)
  expect(page).toMatchObject({ status: 303, location: "/home?a=1&error=access_denied#b" })
  expect(page.text).not.toContain("script")
  expect(visitor.cookies.size).toBe(0)
})

test("an error nobody knows is told to nobody", async () => {
  const { visitor } = await open()
  const state = new URL(await visitor.start("corp")).searchParams.get("state")
  const page = await visitor.get(`${REDIRECT}?error=%3Cscript%3E&iss=${provider.issuer}&state=${state}`)
  expect(page.code).toBe("AUTH_ERROR")
  expect(page.text).not.toContain("script")
})

test("the names of the providers are told, and where to begin", async () => {
  const { visitor } = await open()
  expect((await visitor.get("/api/auth/providers")).text).toContain(
    JSON.stringify({
      providers: [
        { name: "corp", start: "/api/auth/providers/corp/start" },
        { name: "lax", start: "/api/auth/providers/lax/start" },
      ],
    }),
  )
})

test("a provider config does not name is not found", async () => {
  const { visitor } = await open()
  for (const name of ["nobody", "__proto__", "constructor"]) {
    expect((await visitor.get(`/api/v1/auth/providers/${name}/start`)).code).toBe("NOT_FOUND")
    expect((await visitor.get(`/api/v1/auth/providers/${name}/callback?state=a&code=b`)).code).toBe(
      "NOT_FOUND",
    )
  }
})

test("auth.public_url wins over the host that was asked", async () => {
  const { visitor } = await open({}, { public_url: "https://api.example.com" })
  visitor.origin = "https://internal:8443"
  const { searchParams } = new URL(await visitor.start("corp"))
  expect(searchParams.get("redirect_uri")).toBe("https://api.example.com/api/v1/auth/providers/corp/callback")
})

test("two tabs sign in side by side", async () => {
  const { visitor } = await open()
  const first = await visitor.start("corp", "/first")
  const second = await visitor.start("corp", "/second")
  expect((await visitor.get(await signInAtProvider(first, "ann"))).location).toBe("/first")
  expect((await visitor.get(await signInAtProvider(second, "ann"))).location).toBe("/second")
})

test("sign-ins nobody finishes do not pile up in the browser", async () => {
  const { visitor } = await open()
  for (let i = 0; i < 23; i++) await visitor.start("corp")
  expect(visitor.cookies.size).toBeLessThanOrEqual(5)
})

test.each([
  "//evil.example",
  "/\\evil.example",
  "\\\\evil.example",
  "/%09/evil.example".replace("%09", "\t"),
  "/..//evil.example",
  "/.//evil.example",
  "/a/..//evil.example",
  "https://evil.example",
  "https:evil.example",
  "https://app.example.com@evil.example/",
  "https://user@app.example.com/",
  "https://app.example.com.evil.example/",
  "http://app.example.com/",
  "https://app.example.com:444/",
  "javascript:alert(1)",
  "data:text/html,x",
  "/home\r\nset-cookie: a=b",
  "home",
  "",
  "http://here.invalid/x",
])("nobody is sent to %p after a sign-in", async (returnTo) => {
  const { visitor } = await open({}, { session: { return_to: ["https://app.example.com"] } })
  const query = new URLSearchParams({ return_to: returnTo })
  expect((await visitor.get(`/api/v1/auth/providers/corp/start?${query}`)).code).toBe("INVALID_REQUEST")
})

test("a place to return to is of a length a cookie can hold", async () => {
  const { visitor } = await open()
  const start = "/api/v1/auth/providers/corp/start?return_to=/"
  expect((await visitor.get(start + "a".repeat(1024))).code).toBe("INVALID_REQUEST")
  const { setCookies } = await visitor.get(start + "a".repeat(1023))
  expect(setCookies[0]!.length).toBeLessThan(4096)
})

test("two places to return to are one too many", async () => {
  const { visitor } = await open()
  const page = await visitor.get("/api/v1/auth/providers/corp/start?return_to=/a&return_to=/b")
  expect(page.code).toBe("INVALID_REQUEST")
})

test("an origin config names is a place to return to", async () => {
  const { visitor } = await open({}, { session: { return_to: ["https://app.example.com"] } })
  const page = await signIn(visitor, "ann", "corp", "https://app.example.com/deep?a=b")
  expect(page.location).toBe("https://app.example.com/deep?a=b")
})

test("on plain http, where config allows it, cookies go without what https needs", async () => {
  const { visitor } = await open({}, { https: "off" })
  visitor.origin = "http://gate.example"
  const { setCookies } = await visitor.get("/api/v1/auth/providers/corp/start")
  expect(setCookies[0]).toMatch(/^gh_sign_in_/)
  expect(setCookies[0]).not.toContain("Secure")
})

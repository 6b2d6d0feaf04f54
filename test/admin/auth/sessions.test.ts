import { afterEach, beforeAll, describe, expect, test } from "bun:test"
import { MAX_SESSIONS_PER_USER } from "../../../src/identity/sessions.ts"
import { closeVms, type IdentityVm, openVm, PASSWORD } from "../../support/identity_vm.ts"
import { closeStores } from "../../support/store.ts"
import { STORES, sqliteUrl } from "../../support/store_urls.ts"

afterEach(async () => {
  closeVms()
  await closeStores()
})

const DAY = 86_400_000

/** What a browser keeps of the answer, as it sends it back. */
const cookiesOf = (headers: Headers): string =>
  headers
    .getSetCookie()
    .map((cookie) => cookie.split(";")[0])
    .join("; ")

async function logInByCookie(vm: IdentityVm, scheme: "http" | "https" = "https") {
  const json = { login: "ann@example.com", password: PASSWORD, session: "cookie" }
  const answer = await vm.ask("POST", "/auth/login", { json, scheme })
  if (answer.status !== 200) throw new Error(`signing in: ${answer.text}`)
  return { set: answer.headers.getSetCookie(), cookie: cookiesOf(answer.headers), body: answer.body }
}

for (const [name, newUrl] of STORES)
  describe(`sign-ins in ${name}`, () => {
    beforeAll(async () => void (await newUrl()), 30_000)

    test("[C-2.7 V-auth.6] the own sign-ins are listed, with where from and when, and the current one marked", async () => {
      const vm = await openVm(await newUrl())
      await vm.addUser("ann@example.com")
      await vm.addUser("bob@example.com")
      const first = await vm.logIn("ann@example.com")
      vm.pass(1000)
      await vm.logIn("ann@example.com")
      await vm.logIn("bob@example.com")
      const { body, status } = await vm.ask("GET", "/auth/sessions", { bearer: first.access_token })
      expect(status).toBe(200)
      expect(body.sessions).toHaveLength(2)
      expect(body.sessions.map(({ current }: { current: boolean }) => current)).toEqual([false, true])
      expect(body.sessions[1]).toEqual({
        id: expect.any(String),
        kind: "token",
        ip: "192.0.2.1",
        user_agent: "test/1",
        created_at: new Date(vm.now - 1000).toISOString(),
        last_used_at: new Date(vm.now - 1000).toISOString(),
        expires_at: new Date(vm.now - 1000 + 30 * DAY).toISOString(),
        current: true,
      })
    })

    test("[F-54] [C-2.7] one sign-in is ended from another: its tokens are dead, the others live", async () => {
      const vm = await openVm(await newUrl())
      const id = await vm.addUser("ann@example.com")
      const lost = await vm.logIn("ann@example.com")
      vm.pass(1000)
      const here = await vm.logIn("ann@example.com")
      const list = async () =>
        (await vm.ask("GET", "/auth/sessions", { bearer: here.access_token })).body.sessions
      const [, other] = await list()
      expect(
        (await vm.ask("DELETE", `/auth/sessions/${other.id}`, { bearer: here.access_token })).status,
      ).toBe(200)
      expect(await vm.caller({ bearer: lost.access_token })).toBe("")
      expect((await vm.refresh(lost.refresh_token)).status).toBe(401)
      expect(await vm.caller({ bearer: here.access_token })).toBe(id)
      expect(await list()).toHaveLength(1)
    })

    test("[F-54] [C-2.9] a logout ends this sign-in; with all every one of the account", async () => {
      const vm = await openVm(await newUrl())
      const id = await vm.addUser("ann@example.com")
      const bobId = await vm.addUser("bob@example.com")
      const bob = await vm.logIn("bob@example.com")
      const tokens: string[] = []
      for (let i = 0; i < 3; i++) tokens.push((await vm.logIn("ann@example.com")).access_token)
      const callers = () => Promise.all(tokens.map((bearer) => vm.caller({ bearer })))
      await vm.ask("POST", "/auth/logout", { bearer: tokens[0]! })
      expect(await callers()).toEqual(["", id, id])
      await vm.ask("POST", "/auth/logout", { bearer: tokens[1]!, json: { all: true } })
      expect(await callers()).toEqual(["", "", ""])
      expect(await vm.caller({ bearer: bob.access_token })).toBe(bobId)
      expect(await vm.audited("session.logout")).toEqual(["session.logout success", "session.logout success"])
    })

    test("[C-2.7] beyond the cap the sign-in used least recently ends", async () => {
      const vm = await openVm(await newUrl())
      const id = await vm.addUser("ann@example.com")
      const oldest = await vm.logIn("ann@example.com")
      for (let i = 1; i < MAX_SESSIONS_PER_USER; i++)
        await vm.store.run(
          `INSERT INTO sessions (id, user_id, kind, client_ip, user_agent, created_at, last_used_at, expires_at)
           VALUES ($1, $2, 'token', '', '', $3, $3, $4)`,
          [`session-${i}`, id, vm.now + i, vm.now + DAY],
        )
      expect(await vm.caller({ bearer: oldest.access_token })).toBe(id)
      vm.pass(1000)
      const json = { login: "ann@example.com", password: PASSWORD }
      const newest = (await vm.ask("POST", "/auth/login", { json })).body
      expect(await vm.caller({ bearer: oldest.access_token })).toBe("")
      expect(await vm.caller({ bearer: newest.access_token })).toBe(id)
    })

    test("[C-2.7] a cookie's sign-in lives by use: it ends when idle, and at its longest life however used", async () => {
      const vm = await openVm(await newUrl(), { session: { ttl: "10d", idle: "2d" } })
      const id = await vm.addUser("ann@example.com")
      const idle = await logInByCookie(vm)
      const used = await logInByCookie(vm)
      for (let day = 1; day < 10; day++) {
        vm.pass(DAY)
        expect(await vm.caller(used)).toBe(id)
        if (day === 2) expect(await vm.caller(idle)).toBe("")
      }
      vm.pass(DAY)
      expect(await vm.caller(used)).toBe("")
    })

    test("[C-2.7] the last use of a cookie is written at most once a minute", async () => {
      const vm = await openVm(await newUrl())
      await vm.addUser("ann@example.com")
      const signedIn = await logInByCookie(vm)
      const start = vm.now
      const lastUse = async () =>
        (await vm.store.get<{ last_used_at: number }>("SELECT last_used_at FROM sessions"))!.last_used_at
      vm.pass(59_000)
      await vm.caller(signedIn)
      expect(await lastUse()).toBe(start)
      vm.pass(31_000)
      await vm.caller(signedIn)
      expect(await lastUse()).toBe(vm.now)
    })

    test("what has ended is swept a week later, and what goes on stays", async () => {
      const vm = await openVm(await newUrl())
      await vm.addUser("ann@example.com")
      const ended = await vm.logIn("ann@example.com")
      await vm.refresh(ended.refresh_token)
      await vm.ask("POST", "/auth/logout", { bearer: ended.access_token })
      const live = await vm.logIn("ann@example.com")
      const rows = async () =>
        (await vm.store.all("SELECT id FROM sessions")).length * 10 +
        (await vm.store.all("SELECT token_hash FROM refresh_tokens")).length
      await vm.sweep()
      expect(await rows()).toBe(23)
      vm.pass(7 * DAY)
      await vm.sweep()
      expect(await rows()).toBe(11)
      expect((await vm.refresh(live.refresh_token)).status).toBe(200)
      vm.pass(60 * DAY)
      await vm.sweep()
      expect(await rows()).toBe(0)
    })
  })

describe("cookies", () => {
  async function opened(auth: object = {}) {
    const vm = await openVm(sqliteUrl(), auth)
    const id = await vm.addUser("ann@example.com")
    return { vm, id }
  }

  test("[C-2.7 V-auth.6] over https the session is HttpOnly, Secure, SameSite and bound to the host", async () => {
    const { vm, id } = await opened()
    const { set, cookie } = await logInByCookie(vm)
    expect(set).toEqual([
      expect.stringMatching(
        /^__Host-gh_session=gh_st_[\w-]{43}; Path=\/; Max-Age=2592000; SameSite=Lax; Secure; HttpOnly$/,
      ),
      expect.stringMatching(/^gh_csrf=[\w-]{43}; Path=\/; Max-Age=2592000; SameSite=Lax; Secure$/),
    ])
    expect(await vm.caller({ cookie })).toBe(id)
  })

  test("in development over http it has neither Secure nor the prefix", async () => {
    const { vm } = await opened({ https: "off", session: { same_site: "strict" } })
    const { set } = await logInByCookie(vm, "http")
    expect(set[0]).toMatch(/^gh_session=\S+; Path=\/; Max-Age=2592000; SameSite=Strict; HttpOnly$/)
    expect(set.join()).not.toContain("Secure")
  })

  test("[C-2.9] a logout ends the cookie's sign-in and makes the browser forget both cookies", async () => {
    const { vm } = await opened()
    const { cookie } = await logInByCookie(vm)
    const answer = await vm.ask("POST", "/auth/logout", { cookie })
    expect(answer.status).toBe(200)
    expect(answer.headers.getSetCookie()).toEqual([
      "__Host-gh_session=; Path=/; Max-Age=0; SameSite=Lax; Secure; HttpOnly",
      "gh_csrf=; Path=/; Max-Age=0; SameSite=Lax; Secure",
    ])
    expect(await vm.caller({ cookie })).toBe("")
  })

  test("[C-2.3] roles of a cookie's caller are those of now", async () => {
    const { vm } = await opened()
    await vm.store.run(`UPDATE users SET roles = '["admin"]'`)
    const { cookie } = await logInByCookie(vm)
    const { body } = await vm.ask("GET", "/users/me", { cookie })
    expect(body).toMatchObject({ method: "session", roles: ["admin"], scopes: ["read", "write", "admin"] })
    expect(body.permissions).toEqual(["*"])
  })

  test("a cookie that is made up proves nothing", async () => {
    const { vm } = await opened()
    await logInByCookie(vm)
    for (const value of [`gh_st_${"A".repeat(43)}`, "' OR 1=1 --", "A".repeat(400)])
      expect(await vm.caller({ cookie: `__Host-gh_session=${value}` })).toBe("")
  })
})

describe("hostile", () => {
  test("[F-54] the sign-in of somebody else can neither be seen nor ended: as if there were none", async () => {
    const vm = await openVm(sqliteUrl())
    await vm.addUser("ann@example.com")
    const malloryId = await vm.addUser("mallory@example.com")
    const ann = await vm.logIn("ann@example.com")
    const mallory = await vm.logIn("mallory@example.com")
    const { body } = await vm.ask("GET", "/auth/sessions", { bearer: ann.access_token })
    const end = (id: string) =>
      vm.ask("DELETE", `/auth/sessions/${encodeURIComponent(id)}`, { bearer: mallory.access_token })
    const others = await end(body.sessions[0].id)
    const made = await end("018f0000000000000000000000000000")
    expect([others.status, others.text]).toEqual([404, made.text])
    for (const id of ["' OR 1=1 --", "%", "A".repeat(5000)]) expect((await end(id)).status).toBe(404)
    expect((await vm.refresh(ann.refresh_token)).status).toBe(200)
    const own = await vm.ask("GET", "/auth/sessions", { bearer: mallory.access_token })
    expect(own.body.sessions).toHaveLength(1)
    expect(await vm.caller({ bearer: mallory.access_token })).toBe(malloryId)
  })

  test.each([[{ all: "yes" }], [{ everything: true }], [[true]]])(
    "a logout that says %j is refused, and nobody is logged out",
    async (json) => {
      const vm = await openVm(sqliteUrl())
      const id = await vm.addUser("ann@example.com")
      const { access_token } = await vm.logIn("ann@example.com")
      expect((await vm.ask("POST", "/auth/logout", { bearer: access_token, json })).status).toBe(400)
      expect(await vm.caller({ bearer: access_token })).toBe(id)
    },
  )

  test("[C-2.8] a service that logs out loses this token, not those of its other instances", async () => {
    const vm = await openVm(sqliteUrl())
    await vm.addClient("billing", "a-client-secret", ["read"])
    const get = async () => {
      const sent = {
        form: { grant_type: "client_credentials" },
        basic: ["billing", "a-client-secret"] as const,
      }
      return (await vm.ask("POST", "/auth/token", sent)).body.access_token
    }
    const [one, two] = [await get(), await get()]
    const logout = await vm.ask("POST", "/auth/logout", { bearer: one, json: { all: true } })
    expect(logout.status).toBe(200)
    expect(await vm.caller({ bearer: one })).toBe("")
    expect(await vm.caller({ bearer: two })).toBe("billing")
  })
})

test("[I-auth T-4.1] who is calling: profile, roles, scopes, tier and method", async () => {
  const vm = await openVm(sqliteUrl())
  const id = await vm.addUser("ann@example.com", ["parent"])
  const { access_token } = await vm.logIn("ann@example.com", "read")
  const { body, text } = await vm.ask("GET", "/users/me", { bearer: access_token })
  expect(body).toMatchObject({
    id,
    login: "ann@example.com",
    display_name: "ann@example.com",
    roles: ["parent", "user"],
    scopes: ["read"],
    tier: "free",
    kind: "user",
    method: "jwt",
    issuer: "gatehouse",
  })
  expect(text).not.toContain("argon2")
  expect(body.session_id).toBeString()
})

test("[F-44] a browser stays signed in while the store can only be read", async () => {
  const vm = await openVm(sqliteUrl())
  const id = await vm.addUser("ann@example.com")
  const { cookie } = await logInByCookie(vm)
  await vm.store.get("PRAGMA query_only = ON")
  // Longer than the last use goes unwritten, and than a worker remembers.
  vm.pass(120_000)
  expect(await vm.caller({ cookie })).toBe(id)
  expect((await vm.ask("POST", "/auth/logout", { cookie })).status).toBe(503)
})

test("[F-54] however short access tokens live, a revocation outlives what workers remember of a cookie", async () => {
  const vm = await openVm(sqliteUrl(), { access_token_ttl: "1s", leeway: "0s" })
  await vm.addUser("ann@example.com")
  const { cookie } = await logInByCookie(vm)
  expect((await vm.ask("POST", "/auth/logout", { cookie })).status).toBe(200)
  const row = await vm.store.get<{ expires_at: number }>("SELECT expires_at FROM revocations")
  expect(row!.expires_at - vm.now).toBeGreaterThan(30_000)
})

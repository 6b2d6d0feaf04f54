import { afterEach, expect, test } from "bun:test"
import { sweepAccounts } from "../../../src/identity/account_sweep.ts"
import { sweepEvents } from "../../../src/store/events.ts"
import { openAccounts } from "../../support/accounts.ts"
import { makePrincipal } from "../../support/principal.ts"
import { closeStores } from "../../support/store.ts"

afterEach(closeStores)

test("people change their display name", async () => {
  const { ask, addUser, caller, audits } = await openAccounts()
  await addUser("ann@example.com")
  const principal = await caller("ann@example.com")
  const { body } = await ask("PATCH", "/users/me", { body: { display_name: "Ann ❤️" }, principal })
  expect(body.display_name).toBe("Ann ❤️")
  expect(body).not.toHaveProperty("password_hash")
  expect((await audits()).at(-1)).toMatchObject({ action: "account.change", outcome: "success" })
})

test.each([
  ["roles", ["admin"]],
  ["tier", "enterprise"],
  ["status", "active"],
  ["email", "x@example.com"],
  ["email_verified_at", 1],
  ["parent_id", "x"],
  ["age_limit", null],
  ["password_hash", "x"],
])("[V-authz.1] nobody sets their own %s", async (name, value) => {
  const { ask, addUser, caller, store } = await openAccounts()
  await addUser("ann@example.com")
  const principal = await caller("ann@example.com")
  const before = await store.get("SELECT * FROM users")
  const answer = await ask("PATCH", "/users/me", { body: { display_name: "x", [name]: value }, principal })
  expect(answer.body.details.errors).toEqual([{ field: `/${name}`, message: "is not known here" }])
  expect(await store.get("SELECT * FROM users")).toEqual(before)
})

test("who deletes an account leaves nothing about the person in it, has no session, and frees the login", async () => {
  const { ask, addUser, caller, store, revoked, logIn } = await openAccounts({
    auth: { registration: { enabled: true } },
  })
  await addUser("ann@example.com", { displayName: "Ann", blockedContent: ["horror"], ageLimit: 3 })
  const principal = await caller("ann@example.com")
  expect((await ask("DELETE", "/users/me", { principal })).status).toBe(204)
  expect(await store.get("SELECT * FROM users")).toMatchObject({
    login: `deleted:${principal.id}`,
    email: null,
    password_hash: null,
    display_name: "",
    roles: "[]",
    status: "deleted",
    blocked_content: "[]",
  })
  expect(revoked.map(({ subject }) => subject)).toEqual([principal.sessionId])
  expect((await logIn("ann@example.com")).code).toBe("AUTH_ERROR")
  expect((await logIn(`deleted:${principal.id}`)).code).toBe("AUTH_ERROR")
  expect((await ask("PATCH", "/users/me", { body: { display_name: "x" }, principal })).code).toBe(
    "AUTH_ERROR",
  )
  const again = { email: "ann@example.com", password: "yet another password" }
  await ask("POST", "/auth/register", { body: again })
  expect((await logIn(again.email, again.password)).status).toBe(200)
})

test("[V-auth.5] children are deleted with their parent, and not by themselves", async () => {
  const { ask, addUser, caller, store } = await openAccounts()
  const parent = await addUser("ann@example.com", { roles: ["parent"] })
  await addUser("kim", { parentId: parent.id, roles: ["child"] })
  const kim = await caller("kim")
  expect((await ask("DELETE", "/users/me", { principal: kim })).code).toBe("FORBIDDEN")
  await ask("DELETE", "/users/me", { principal: await caller("ann@example.com") })
  expect(await store.all("SELECT id FROM users WHERE status <> 'deleted'")).toEqual([])
  expect(await store.all("SELECT id FROM sessions WHERE ended_at IS NULL")).toEqual([])
})

const ENDPOINTS: [string, string, object | undefined][] = [
  ["PATCH", "/users/me", { display_name: "x" }],
  ["DELETE", "/users/me", undefined],
  ["PUT", "/users/me/password", { old: "x", new: "y" }],
  ["GET", "/users/me/children", undefined],
]

test.each(ENDPOINTS)(
  "[V-authz.1] %s %s is not for an id another issuer vouches for, nor for keys",
  async (method, path, body) => {
    const { ask, addUser, store } = await openAccounts()
    const ann = await addUser("ann@example.com", { roles: ["parent"] })
    for (const changes of [
      { issuer: "https://other.example", method: "jwt" },
      { issuer: "gatehouse", method: "api_key" },
      { issuer: "gatehouse", method: "certificate" },
    ] as const) {
      const principal = makePrincipal({ id: ann.id, scopes: ["read", "write"], ...changes })
      expect((await ask(method, path, { body, principal })).code).toBe("FORBIDDEN")
    }
    expect(await store.get("SELECT status, display_name FROM users")).toEqual({
      status: "active",
      display_name: "Somebody",
    })
  },
)

test.each(ENDPOINTS)("[V-auth.1] %s %s needs a caller", async (method, path, body) => {
  const { ask } = await openAccounts()
  expect((await ask(method, path, { body })).code).toBe("AUTH_ERROR")
})

test("[V-auth.4] a token for reading only changes nothing", async () => {
  const { ask, addUser, caller } = await openAccounts()
  await addUser("ann@example.com")
  const principal = { ...(await caller("ann@example.com")), scopes: ["read"] }
  const answer = await ask("DELETE", "/users/me", { principal })
  expect(answer.body.details).toEqual({ missing: { scopes: ["write"] } })
})

test("what has expired is deleted, and nothing else", async () => {
  const { ask, addUser, context, store, pass, deliver, logIn } = await openAccounts()
  const sweep = async () => {
    await sweepAccounts(context)
    await sweepEvents(store, context.wallClock())
  }
  await addUser("ann@example.com")
  await ask("POST", "/auth/password/forgot", { body: { email: "ann@example.com" } })
  await deliver()
  await logIn("ann@example.com", "wrong")
  const count = async () => {
    const tables = ["one_time_tokens", "events", "login_failures"]
    return Promise.all(tables.map(async (table) => (await store.all(`SELECT * FROM ${table}`)).length))
  }
  await sweep()
  expect(await count()).toEqual([1, 1, 4])
  pass(900_000)
  await sweep()
  expect(await count()).toEqual([1, 1, 0])
  pass(3_600_000)
  await sweep()
  expect(await count()).toEqual([0, 0, 0])
})

import { afterEach, expect, test } from "bun:test"
import { PASSWORD } from "../../support/accounts.ts"
import { openPeople } from "../../support/people.ts"
import { closeStores } from "../../support/store.ts"
import { STORES } from "../../support/store_urls.ts"

afterEach(closeStores)

test("[C-11.1] an account made by an operator gets its first password by the token, without mail", async () => {
  const { admin, ask, logIn, deliver } = await openPeople()
  const made = await admin("POST", "/users", {
    email: " Ann@Example.com ",
    roles: ["parent"],
    tier: "premium",
  })
  expect(made.status).toBe(201)
  expect(made.body).toMatchObject({ login: "ann@example.com", roles: ["parent"], tier: "premium" })
  expect(await deliver()).toEqual([])
  const { token } = made.body.password_token
  const reset = await ask("POST", "/auth/password/reset", { body: { token, password: PASSWORD } })
  expect([reset.status, reset.code]).toEqual([expect.any(Number), undefined])
  expect((await logIn("ann@example.com")).status).toBe(200)
})

test("[C-11.1] two accounts with one address there are not", async () => {
  const { admin, addUser } = await openPeople()
  await addUser("ann@example.com")
  const refused = await admin("POST", "/users", { email: "ANN@example.com" })
  expect([refused.status, refused.body.error.code]).toEqual([409, "LOGIN_TAKEN"])
})

for (const [name, url] of STORES)
  test(`[C-11.1, C-11.6] on ${name}: accounts are searched, read in pages, and deleted ones left out`, async () => {
    const { admin, addUser } = await openPeople({ url: await url() })
    for (let i = 0; i < 7; i++) await addUser(`ann${i}@example.com`)
    const bob = await addUser("bob_1@example.com")
    const gone = await addUser("gone@example.com")
    expect((await admin("DELETE", `/users/${gone.id}`)).status).toBe(200)
    const first = (await admin("GET", "/users?limit=5")).body
    const second = (await admin("GET", `/users?limit=5&cursor=${first.next_cursor}`)).body
    expect([first.users.length, second.users.length, second.next_cursor]).toEqual([5, 3, null])
    const found = (await admin("GET", "/users?search=B_1")).body.users
    expect(found.map(({ id }: { id: string }) => id)).toEqual([bob.id])
    expect((await admin("GET", "/users?search=%25")).body.users).toEqual([])
    expect((await admin("GET", "/users?search=a%00b")).status).toBe(422)
    expect((await admin("GET", "/audit?actor=a%00b")).status).toBe(422)
    expect((await admin("GET", `/users/${gone.id}`)).status).toBe(404)
  })

test("[F-54, C-11.6] new roles end the sessions of an account, so that they hold at once", async () => {
  const world = await openPeople()
  const ann = await world.addUser("ann@example.com")
  const { sessionId } = await world.caller("ann@example.com")
  const changed = await world.admin("PATCH", `/users/${ann.id}`, { roles: ["admin"] })
  expect(changed.body.roles).toEqual(["admin"])
  expect(world.revoked).toMatchObject([{ kind: "session", subject: sessionId }])
})

test("[C-11.2] a new tier or name, and roles that stay, end nothing", async () => {
  const world = await openPeople()
  const ann = await world.addUser("ann@example.com")
  await world.caller("ann@example.com")
  const changes = { tier: "enterprise", display_name: "Ann", roles: ["user"] }
  const { body } = await world.admin("PATCH", `/users/${ann.id}`, changes)
  expect(body).toMatchObject(changes)
  expect(world.revoked).toEqual([])
})

test("[F-54] a disabled account cannot sign in, and its sessions end", async () => {
  const world = await openPeople()
  const ann = await world.addUser("ann@example.com")
  const { sessionId } = await world.caller("ann@example.com")
  await world.admin("PATCH", `/users/${ann.id}`, { status: "disabled" })
  expect(world.revoked).toMatchObject([{ kind: "session", subject: sessionId }])
  expect((await world.logIn("ann@example.com")).code).toBe("AUTH_ERROR")
  await world.admin("PATCH", `/users/${ann.id}`, { status: "active" })
  expect((await world.logIn("ann@example.com")).status).toBe(200)
})

test("[C-11.1] sign-ins of an account are listed, and ended one by one or all", async () => {
  const world = await openPeople()
  const ann = await world.addUser("ann@example.com")
  const first = await world.caller("ann@example.com")
  await world.caller("ann@example.com")
  await world.caller("ann@example.com")
  const path = `/users/${ann.id}/sessions`
  expect((await world.admin("GET", path)).body.sessions).toHaveLength(3)
  expect((await world.admin("DELETE", `${path}/${first.sessionId}`)).body).toEqual({ ended: 1 })
  expect((await world.admin("DELETE", `${path}/${first.sessionId}`)).status).toBe(404)
  expect((await world.admin("DELETE", path)).body).toEqual({ ended: 2 })
  expect((await world.admin("GET", path)).body.sessions).toEqual([])
  const ended = (await world.admin("GET", "/audit?action=session.end")).body.records
  expect(ended.map(({ actor }: { actor: string }) => actor)).toEqual(["admin", "admin", "admin"])
})

test("[F-63] a sign-in is not ended by way of another account", async () => {
  const world = await openPeople()
  const bob = await world.addUser("bob@example.com")
  await world.addUser("ann@example.com")
  const { sessionId } = await world.caller("ann@example.com")
  expect((await world.admin("DELETE", `/users/${bob.id}/sessions/${sessionId}`)).status).toBe(404)
  expect(world.revoked).toEqual([])
})

test("[F-63] no answer about accounts holds a password's hash", async () => {
  const { admin, addUser } = await openPeople()
  const { id } = await addUser("ann@example.com")
  for (const path of ["/users", `/users/${id}`, `/users/${id}/sessions`, "/audit"])
    expect((await admin("GET", path)).text).not.toMatch(/argon2|password_hash|passwordHash/)
})

test.each([
  ["nothing", {}],
  ["a password", { password: PASSWORD }],
  ["a hash", { password_hash: "$argon2id$…" }],
  ["a login", { login: "root@example.com" }],
  ["an id", { id: "1" }],
  ["a parent", { parent_id: "1" }],
  ["a verified address", { email_verified: true }],
  ["deleted", { status: "deleted" }],
  ["an unknown role", { roles: ["user", "root"] }],
  ["an unknown tier", { tier: "gold" }],
  ["a prototype", '{"__proto__":{"roles":["admin"]}}'],
  ["roles twice", '{"roles":["user"],"roles":["admin"]}'],
])("[F-63] mass assignment: a change of an account to %s is refused", async (_what, change) => {
  const { admin, addUser } = await openPeople()
  const { id } = await addUser("ann@example.com")
  const before = (await admin("GET", `/users/${id}`)).body
  expect([400, 422]).toContain((await admin("PATCH", `/users/${id}`, change)).status)
  expect((await admin("GET", `/users/${id}`)).body).toEqual(before)
})

test.each(["ann", "ann@localhost", "a@b@c.de", "", `${"x".repeat(65)}@example.com`, 7, null])(
  "[F-63] %p is no address of an account",
  async (email) => {
    const { admin } = await openPeople()
    expect((await admin("POST", "/users", { email })).status).toBe(422)
  },
)

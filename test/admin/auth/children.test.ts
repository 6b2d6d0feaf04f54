import { afterEach, expect, test } from "bun:test"
import { openAccounts, PASSWORD, principalOf } from "../../support/accounts.ts"
import { sharedPostgres } from "../../support/postgres.ts"
import { closeStores, openTransaction } from "../../support/store.ts"

afterEach(closeStores)

const KIM = {
  login: "Kim.2017",
  password: PASSWORD,
  display_name: "Kim",
  age_limit: 9,
  blocked_content: ["horror"],
}

async function openFamily(auth: object = {}, url = "sqlite::memory:") {
  const world = await openAccounts({ auth, url })
  await world.addUser("ann@example.com", { roles: ["parent"], tier: "premium" })
  const ann = await world.caller("ann@example.com")
  const create = (body: object = KIM) => world.ask("POST", "/users/me/children", { body, principal: ann })
  return { ...world, ann, create }
}

test("[V-auth.5] a parent makes an account for a child, which signs in with the parent's tier and its own limits", async () => {
  const { create, logIn, ann, audits } = await openFamily()
  const { status, body } = await create()
  expect(status).toBe(201)
  expect(body).toMatchObject({
    login: "kim.2017",
    roles: ["child"],
    tier: "premium",
    parent_id: ann.id,
    age_limit: 9,
    blocked_content: ["horror"],
  })
  expect(JSON.stringify(body)).not.toContain("argon2")
  expect(principalOf((await logIn("kim.2017")).body.access_token)).toMatchObject({
    roles: ["child"],
    parentId: ann.id,
    ageLimit: 9,
    blockedContent: ["horror"],
  })
  expect((await audits()).find(({ action }) => action === "child.create")).toMatchObject({ subject: body.id })
})

test("[V-auth.5] a parent lists, shows and deletes children", async () => {
  const { create, ask, ann, logIn, store } = await openFamily()
  const { body: kim } = await create()
  const { body: lou } = await create({ ...KIM, login: "lou" })
  await logIn("lou")
  const list = await ask("GET", "/users/me/children", { principal: ann })
  expect(list.body.children.map(({ login }: { login: string }) => login)).toEqual(["kim.2017", "lou"])
  expect((await ask("GET", `/users/me/children/${kim.id}`, { principal: ann })).body).toEqual(kim)
  expect((await ask("DELETE", `/users/me/children/${lou.id}`, { principal: ann })).status).toBe(204)
  expect((await ask("GET", `/users/me/children/${lou.id}`, { principal: ann })).code).toBe("NOT_FOUND")
  expect((await ask("DELETE", `/users/me/children/${lou.id}`, { principal: ann })).code).toBe("NOT_FOUND")
  expect((await logIn("lou")).code).toBe("AUTH_ERROR")
  expect(
    await store.get("SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL", [lou.id]),
  ).toBeUndefined()
})

test.each([
  ["age_limit", { age_limit: 12 }],
  ["no age limit", { age_limit: null }],
  ["blocked_content", { blocked_content: [] }],
  ["password", { password: "something else entirely" }],
])("[V-authz.3] a new %s ends the child's sessions on every worker", async (_name, changes) => {
  const { create, ask, ann, logIn, revoked } = await openFamily()
  const { body: kim } = await create()
  const { sessionId } = principalOf((await logIn("kim.2017")).body.access_token)
  const answer = await ask("PATCH", `/users/me/children/${kim.id}`, { body: changes, principal: ann })
  expect(answer.status).toBe(200)
  expect(revoked.map(({ subject }) => subject)).toEqual([sessionId])
})

test("[V-authz.3] what the parent sets is in the child's next token", async () => {
  const { create, ask, ann, logIn } = await openFamily()
  const { body: kim } = await create()
  await ask("PATCH", `/users/me/children/${kim.id}`, {
    body: { age_limit: 12, blocked_content: ["war", "horror"] },
    principal: ann,
  })
  expect(principalOf((await logIn("kim.2017")).body.access_token)).toMatchObject({
    ageLimit: 12,
    blockedContent: ["war", "horror"],
  })
})

test("a new name ends no session", async () => {
  const { create, ask, ann, logIn, revoked } = await openFamily()
  const { body: kim } = await create()
  await logIn("kim.2017")
  const answer = await ask("PATCH", `/users/me/children/${kim.id}`, {
    body: { display_name: "K" },
    principal: ann,
  })
  expect(answer.body.display_name).toBe("K")
  expect(revoked).toEqual([])
})

test("[V-authz.1] for another parent the child does not exist, nor do accounts that are nobody's child", async () => {
  const { create, ask, addUser, caller, store } = await openFamily()
  const { body: kim } = await create()
  const bob = await addUser("bob@example.com", { roles: ["parent"] })
  const principal = await caller("bob@example.com")
  const before = await store.get("SELECT * FROM users WHERE id = $1", [kim.id])
  const answers: string[] = []
  for (const id of [kim.id, bob.id, crypto.randomUUID(), "' OR 1=1 --", "%00", "..%2f"]) {
    const path = `/users/me/children/${encodeURIComponent(id)}`
    answers.push((await ask("GET", path, { principal })).text)
    answers.push((await ask("PATCH", path, { body: { age_limit: 18 }, principal })).text)
    answers.push((await ask("DELETE", path, { principal })).text)
  }
  expect(new Set(answers).size).toBe(1)
  expect(answers[0]).toContain("NOT_FOUND")
  expect(await store.get("SELECT * FROM users WHERE id = $1", [kim.id])).toEqual(before)
})

test("[V-authz.1] only parents have children, by the roles they have now and not those of the token", async () => {
  const { create, ask, ann, addUser, caller, store } = await openFamily()
  const { body: kim } = await create()
  await addUser("bob@example.com")
  const bob = { ...(await caller("bob@example.com")), roles: ["parent", "admin"] }
  await store.run("UPDATE users SET roles = '[\"user\"]' WHERE id = $1", [ann.id])
  for (const principal of [bob, ann]) {
    for (const [method, path, body] of [
      ["GET", "/users/me/children", undefined],
      ["POST", "/users/me/children", { ...KIM, login: "lou" }],
      ["GET", `/users/me/children/${kim.id}`, undefined],
      ["PATCH", `/users/me/children/${kim.id}`, { age_limit: 18 }],
      ["DELETE", `/users/me/children/${kim.id}`, undefined],
    ] as const) {
      const answer = await ask(method, path, { body, principal })
      expect(answer.code).toBe("FORBIDDEN")
      expect(answer.body.details).toEqual({ missing: { roles: ["parent"] } })
    }
  }
})

test("[V-authz.1] a child manages neither itself nor its siblings", async () => {
  const { create, ask, caller } = await openFamily()
  const { body: kim } = await create()
  const principal = await caller("kim.2017")
  expect(
    (await ask("PATCH", `/users/me/children/${kim.id}`, { body: { age_limit: 18 }, principal })).code,
  ).toBe("FORBIDDEN")
})

for (const database of ["sqlite", "postgres"] as const)
  test(`[V-auth.5] max_children holds for children made at once (${database})`, async () => {
    const url = database === "sqlite" ? "sqlite::memory:" : await (await sharedPostgres()).createDatabase()
    const { create } = await openFamily({ family: { max_children: 2 } }, url)
    const answers = await Promise.all(["a.a", "b.b", "c.c", "d.d"].map((login) => create({ ...KIM, login })))
    expect(answers.map(({ status, code }) => code ?? status).sort()).toEqual([
      201,
      201,
      "CONFLICT",
      "CONFLICT",
    ])
  })

test("[V-auth.5] a child made while another one is being made counts that one too", async () => {
  const url = await (await sharedPostgres()).createDatabase()
  const { create, ann, store } = await openFamily({ family: { max_children: 1 } }, url)
  const { body: kim } = await create()
  await store.run("UPDATE users SET parent_id = NULL WHERE id = $1", [kim.id])
  const other = await openTransaction(store)
  await other.sql.run("UPDATE users SET parent_id = $2 WHERE id = $1", [kim.id, ann.id])
  await other.sql.run("UPDATE users SET status = status WHERE id = $1", [ann.id])
  const second = create({ ...KIM, login: "lou" })
  let waiting = 0
  for (let looks = 0; waiting === 0 && looks < 2000; looks++) {
    const row = await store.get<{ n: number }>("SELECT count(*) AS n FROM pg_locks WHERE NOT granted")
    waiting = row!.n
  }
  expect(waiting).toBe(1)
  await other.end()
  expect((await second).code).toBe("CONFLICT")
})

test("a login that is taken is a conflict, in whatever spelling", async () => {
  const { create } = await openFamily()
  await create()
  for (const login of ["kim.2017", "KIM.2017", "ｋｉｍ.2017"])
    expect((await create({ ...KIM, login })).code).toBe("CONFLICT")
})

test.each([
  ["login", "bob@example.com"],
  ["login", "ki"],
  ["login", "kіm"],
  ["login", "deleted:1"],
  ["login", "a b c"],
  ["login", "../kim"],
  ["login", "kim\u200b"],
  ["login", "x".repeat(65)],
  ["age_limit", -1],
  ["age_limit", 9.5],
  ["age_limit", "9"],
  ["blocked_content", ["a,b"]],
  ["blocked_content", ["a", "a"]],
  ["blocked_content", Array.from({ length: 51 }, (_, i) => `t${i}`)],
  ["roles", ["admin"]],
  ["tier", "enterprise"],
  ["parent_id", "x"],
  ["password", "kim.2017 is mine"],
])("[V-auth.5] a child's %s cannot be %j", async (name, value) => {
  const { create } = await openFamily()
  const answer = await create({ ...KIM, [name]: value })
  expect(answer.code).toBe("INVALID_FIELD")
  expect(answer.body.details.errors[0].field).toStartWith(`/${name}`)
})

test.each(["мария", "田中さん", "josé-luis", "kim_7"])("a child's login may be %p", async (login) => {
  const { create, logIn } = await openFamily()
  expect((await create({ ...KIM, login })).status).toBe(201)
  expect((await logIn(login)).status).toBe(200)
})

test("[V-auth.5] no mail and no reset for a child, which has no address", async () => {
  const { create, ask, deliver } = await openFamily()
  await create()
  await ask("POST", "/auth/password/forgot", { body: { email: "kim.2017" } })
  expect(await deliver()).toEqual([])
})

import { afterEach, beforeAll, expect, spyOn, test } from "bun:test"
import { openAccounts, PASSWORD } from "../../support/accounts.ts"
import { closeStores } from "../../support/store.ts"
import { STORES } from "../../support/store_urls.ts"

afterEach(closeStores)
// Starting a server takes longer than a test may.
beforeAll(async () => {
  for (const [, url] of STORES) await url()
}, 30_000)

const open = (registration: object = {}) =>
  openAccounts({ auth: { registration: { enabled: true, ...registration } } })
const ANN = { email: "ann@example.com", password: PASSWORD }

test("[V-auth.1] nobody registers unless an operator has opened it", async () => {
  const { ask, store } = await openAccounts()
  const answer = await ask("POST", "/auth/register", { body: ANN })
  expect(answer.code).toBe("FORBIDDEN")
  expect(answer.body.message).toContain("auth.registration.enabled")
  expect(await store.get("SELECT * FROM users")).toBeUndefined()
})

test("[V-auth.1] who registers has an account of the role and tier config names, and can sign in", async () => {
  const { ask, store, logIn, audits } = await open({ role: "parent" })
  expect((await ask("POST", "/auth/register", { body: { ...ANN, display_name: " Ann " } })).status).toBe(202)
  expect(await store.get("SELECT login, display_name, roles, tier, status FROM users")).toEqual({
    login: "ann@example.com",
    display_name: "Ann",
    roles: '["parent"]',
    tier: "free",
    status: "active",
  })
  expect((await logIn("ann@example.com")).status).toBe(200)
  expect((await audits())[0]).toMatchObject({ action: "account.register", outcome: "success" })
})

test("[V-auth.1] the answer and the work are the same when there is an account already, and it stays as it is", async () => {
  const { ask, accounts, logIn, store } = await open()
  const hash = spyOn(accounts.hasher, "hash")
  const first = await ask("POST", "/auth/register", { body: ANN })
  const second = await ask("POST", "/auth/register", {
    body: { email: "ANN@example.com", password: "another password!!" },
  })
  expect(second.text).toBe(first.text)
  expect(hash).toHaveBeenCalledTimes(2)
  expect((await logIn("ann@example.com", "another password!!")).code).toBe("AUTH_ERROR")
  expect((await logIn("ann@example.com")).status).toBe(200)
  expect(await store.all("SELECT id FROM users")).toHaveLength(1)
})

test("[V-auth.1] the owner is sent a token to verify the address, or told that there is an account", async () => {
  const { ask, addUser, deliver } = await open()
  await addUser("old@example.com")
  for (const email of ["new@example.com", "old@example.com"])
    await ask("POST", "/auth/register", { body: { email, password: PASSWORD } })
  expect((await deliver()).map(({ type, payload }) => [type, payload.email, typeof payload.token])).toEqual([
    ["auth.email_verification_requested", "new@example.com", "string"],
    ["auth.registration_repeated", "old@example.com", "undefined"],
  ])
})

test("[V-auth.1] with verify_email the first sign-in waits for the token, which works once", async () => {
  const { ask, deliver, logIn, counts } = await open({ verify_email: true })
  await ask("POST", "/auth/register", { body: ANN })
  const token = (await deliver())[0]!.payload.token
  const verify = (body: object) =>
    ask("POST", "/auth/email/verify", { body: { password: PASSWORD, ...body } })
  expect((await logIn("ann@example.com")).code).toBe("AUTH_ERROR")
  expect((await verify({ token: `${token}x` })).code).toBe("INVALID_FIELD")
  expect((await verify({ token })).body).toEqual({ status: "verified" })
  expect((await verify({ token })).code).toBe("INVALID_FIELD")
  expect((await logIn("ann@example.com")).status).toBe(200)
  expect(counts.get("email_verified success")).toBe(1)
})

for (const [name, url] of STORES)
  test(`[V-auth.1] on ${name}: whoever registers somebody else's address has no password to the account its owner verifies`, async () => {
    const registration = { enabled: true, verify_email: true }
    const { ask, deliver, logIn } = await openAccounts({ auth: { registration }, url: await url() })
    const mallory = "a password of mallory's"
    await ask("POST", "/auth/register", { body: { ...ANN, password: mallory } })
    const early = (await deliver())[0]!.payload.token
    await ask("POST", "/auth/register", { body: ANN })
    // Even before the next mail is on its way.
    const verify = (token: string | undefined, password: string) =>
      ask("POST", "/auth/email/verify", { body: { token, password } })
    for (const password of [mallory, PASSWORD])
      expect((await verify(early, password)).code).toBe("INVALID_FIELD")
    const token = (await deliver()).at(-1)!.payload.token
    expect((await verify(token, PASSWORD)).status).toBe(200)
    expect((await logIn("ann@example.com", mallory)).code).toBe("AUTH_ERROR")
    expect((await logIn("ann@example.com")).status).toBe(200)
    await ask("POST", "/auth/register", { body: { ...ANN, password: mallory } })
    expect((await logIn("ann@example.com", mallory)).code).toBe("AUTH_ERROR")
  })

for (const verify_email of [true, false])
  test(`[V-auth.1] with verify_email ${verify_email}, the owner of an address who clicks makes nobody else's registration good`, async () => {
    const { ask, deliver, store } = await open({ verify_email })
    // Ann registers; before she clicks, somebody else registers her address.
    await ask("POST", "/auth/register", { body: ANN })
    await ask("POST", "/auth/register", { body: { ...ANN, password: "a password of mallory's" } })
    const token = (await deliver()).at(-1)!.payload.token
    const verify = (body: object) => ask("POST", "/auth/email/verify", { body: { token, ...body } })
    const wrong = await verify({ token: `${token}x`, password: PASSWORD })
    expect(wrong.code).toBe("INVALID_FIELD")
    for (const body of [{}, { password: "" }, { password: "another password!!" }])
      expect((await verify(body)).code).toBe("INVALID_FIELD")
    expect((await verify({ password: "another password!!" })).text).toBe(wrong.text)
    expect(await store.get("SELECT email_verified_at FROM users")).toEqual({ email_verified_at: null })
    // What was refused has not used it up.
    const last = verify_email ? "a password of mallory's" : PASSWORD
    expect((await verify({ password: last })).status).toBe(200)
  })

test("[V-auth.1] passwords are not guessed with a token that was mailed: the address is locked", async () => {
  const { ask, deliver } = await openAccounts({
    auth: { registration: { enabled: true }, lockout: { ip_attempts: 5 } },
  })
  await ask("POST", "/auth/register", { body: ANN })
  const token = (await deliver())[0]!.payload.token
  const codes: unknown[] = []
  for (let i = 0; i < 6; i++)
    codes.push((await ask("POST", "/auth/email/verify", { body: { token, password: `guess ${i}` } })).code)
  expect(codes.slice(0, 4)).toEqual(Array(4).fill("INVALID_FIELD"))
  expect(codes.at(-1)).toBe("TOO_MANY_ATTEMPTS")
})

test("[V-auth.1] an account an operator has made gets no password by registration", async () => {
  const { ask, addUser, store } = await open({ verify_email: true })
  await addUser("ann@example.com", { emailVerifiedAt: undefined, passwordHash: undefined, roles: ["admin"] })
  expect((await ask("POST", "/auth/register", { body: ANN })).status).toBe(202)
  expect(await store.get("SELECT password_hash FROM users")).toEqual({ password_hash: null })
})

test("a token to verify is void after two days, and after a newer one", async () => {
  const { ask, deliver, pass } = await open()
  await ask("POST", "/auth/register", { body: ANN })
  const first = (await deliver())[0]!.payload.token
  await ask("POST", "/auth/register", { body: ANN })
  const second = (await deliver()).at(-1)!.payload.token
  const verify = (token: string | undefined) =>
    ask("POST", "/auth/email/verify", { body: { token, password: PASSWORD } })
  expect((await verify(first)).code).toBe("INVALID_FIELD")
  pass(172_800_000)
  expect((await verify(second)).code).toBe("INVALID_FIELD")
})

test.each([
  "ann",
  "ann@localhost",
  "ann@@example.com",
  "@example.com",
  ".ann@example.com",
  "ann@-example.com",
  "ann@example.com\nbcc: x@y.example",
  "ann@example.com, x@y.example",
  "<ann@example.com>",
  "аnn@example.com",
  "ann@exämple.com",
  `${"a".repeat(65)}@example.com`,
  `ann@${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(63)}`,
  "'; DROP TABLE users; --",
])("[V-auth.1] %p is no address of an account", async (email) => {
  const { ask, store } = await open()
  const answer = await ask("POST", "/auth/register", { body: { email, password: PASSWORD } })
  expect(answer.body.details.errors[0].field).toBe("/email")
  expect(await store.get("SELECT * FROM users")).toBeUndefined()
})

test.each(["roles", "tier", "status", "id", "email_verified_at", "parent_id"])(
  "[V-authz.1] nobody registers with a %s of their choice",
  async (name) => {
    const { ask } = await open()
    const answer = await ask("POST", "/auth/register", { body: { ...ANN, [name]: "admin" } })
    expect(answer.body.details.errors).toEqual([{ field: `/${name}`, message: "is not known here" }])
  },
)

test("[V-auth.1] a bad password is refused with its reasons, whether there is an account or not", async () => {
  const { ask, addUser } = await open()
  await addUser("ann@example.com")
  const [taken, fresh] = await Promise.all(
    ["ann@example.com", "bob@example.com"].map((email) =>
      ask("POST", "/auth/register", { body: { email, password: "qwerty" } }),
    ),
  )
  expect(taken!.text).toBe(fresh!.text)
  expect(taken!.body.details.errors).toEqual([
    { field: "/password", message: "must have at least 12 characters" },
    { field: "/password", message: "is one of the most common passwords" },
  ])
})

test.each(["\u202eevil", "a\nb", "\u0000", "   "])("the name %j is refused", async (display_name) => {
  const { ask } = await open()
  const answer = await ask("POST", "/auth/register", { body: { ...ANN, display_name } })
  expect(answer.body.details.errors[0].field).toBe("/display_name")
})

test("one address cannot register accounts without end", async () => {
  const { ask } = await openAccounts({
    auth: { registration: { enabled: true }, lockout: { ip_attempts: 3 } },
  })
  const codes: unknown[] = []
  for (let i = 0; i < 4; i++)
    codes.push((await ask("POST", "/auth/register", { body: { ...ANN, email: `a${i}@example.com` } })).code)
  expect(codes).toEqual([undefined, undefined, undefined, "TOO_MANY_ATTEMPTS"])
})

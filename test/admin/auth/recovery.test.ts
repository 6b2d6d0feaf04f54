import { afterEach, expect, spyOn, test } from "bun:test"
import { openAccounts, PASSWORD } from "../../support/accounts.ts"
import { sharedPostgres } from "../../support/postgres.ts"
import { closeStores } from "../../support/store.ts"

afterEach(closeStores)

const NEW = "something else entirely"
type World = Awaited<ReturnType<typeof openAccounts>>

async function resetToken({ ask, deliver }: World, email = "ann@example.com"): Promise<string> {
  await ask("POST", "/auth/password/forgot", { body: { email } })
  const event = (await deliver()).findLast(({ type }) => type === "auth.password_reset_requested")
  return event!.payload.token!
}

test("[V-auth.7] whoever has the mailed token sets a new password; all sessions end and the old one is of no use", async () => {
  const world = await openAccounts()
  const { ask, addUser, logIn, store, revoked } = world
  await addUser("ann@example.com")
  await logIn("ann@example.com")
  await logIn("ann@example.com")
  const token = await resetToken(world)
  const answer = await ask("POST", "/auth/password/reset", { body: { token, password: NEW } })
  expect(answer.body).toEqual({ status: "changed" })
  expect(await store.all("SELECT id FROM sessions WHERE ended_at IS NULL")).toEqual([])
  expect(revoked.map(({ kind }) => kind)).toEqual(["session", "session"])
  expect((await logIn("ann@example.com")).code).toBe("AUTH_ERROR")
  expect((await logIn("ann@example.com", NEW)).status).toBe(200)
})

test("[V-auth.7] asking tells nobody whether there is an account: same answer, same statements", async () => {
  const { ask, addUser, store, deliver } = await openAccounts()
  await addUser("ann@example.com")
  await addUser("off@example.com", { status: "disabled" })
  const run = spyOn(store, "transaction")
  const answers: string[] = []
  for (const email of ["ann@example.com", "ghost@example.com", "off@example.com", "no address at all"])
    answers.push((await ask("POST", "/auth/password/forgot", { body: { email } })).text)
  expect(new Set(answers).size).toBe(1)
  expect(answers[0]).toStartWith("202 ")
  expect(run).toHaveBeenCalledTimes(4)
  expect((await deliver()).map(({ type, payload }) => [type, payload.email])).toEqual([
    ["auth.password_reset_requested", "ann@example.com"],
  ])
})

test("[V-auth.7] a token holds an hour, once, and only until a newer one", async () => {
  const world = await openAccounts()
  const { ask, addUser, pass } = world
  await addUser("ann@example.com")
  const reset = (token: string) => ask("POST", "/auth/password/reset", { body: { token, password: NEW } })
  const first = await resetToken(world)
  const second = await resetToken(world)
  expect((await reset(first)).code).toBe("INVALID_FIELD")
  expect((await reset(second)).status).toBe(200)
  expect((await reset(second)).code).toBe("INVALID_FIELD")
  const third = await resetToken(world)
  pass(3_600_000)
  expect((await reset(third)).code).toBe("INVALID_FIELD")
})

test("[V-auth.7] a token to verify an address sets no password", async () => {
  const { ask, deliver } = await openAccounts({ auth: { registration: { enabled: true } } })
  await ask("POST", "/auth/register", { body: { email: "ann@example.com", password: PASSWORD } })
  const token = (await deliver())[0]!.payload.token
  expect((await ask("POST", "/auth/password/reset", { body: { token, password: NEW } })).code).toBe(
    "INVALID_FIELD",
  )
})

test("a password that is refused leaves the token as it was", async () => {
  const world = await openAccounts()
  await world.addUser("ann@example.com")
  const token = await resetToken(world)
  const weak = await world.ask("POST", "/auth/password/reset", {
    body: { token, password: "ann@example.com 1" },
  })
  expect(weak.body.details.errors[0]).toEqual({
    field: "/password",
    message: "must not contain the login, the email address or the name",
  })
  expect((await world.ask("POST", "/auth/password/reset", { body: { token, password: NEW } })).status).toBe(
    200,
  )
})

for (const database of ["sqlite", "postgres"] as const)
  test(`[V-auth.7] a token used ten times at once sets one password (${database})`, async () => {
    const url = database === "sqlite" ? "sqlite::memory:" : await (await sharedPostgres()).createDatabase()
    const world = await openAccounts({ url })
    await world.addUser("ann@example.com")
    const token = await resetToken(world)
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        world.ask("POST", "/auth/password/reset", { body: { token, password: `${NEW} ${i}` } }),
      ),
    )
    const right = answers.findIndex(({ status }) => status === 200)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect((await world.logIn("ann@example.com", `${NEW} ${right}`)).status).toBe(200)
  })

test("[V-auth.7] a reset lifts the lock of the account and verifies its address", async () => {
  const world = await openAccounts({ auth: { lockout: { free_attempts: 1, attempts: 2 } } })
  const { ask, addUser, logIn, store } = world
  await addUser("ann@example.com", { emailVerifiedAt: undefined })
  for (let i = 0; i < 2; i++) await logIn("ann@example.com", "wrong")
  expect((await logIn("ann@example.com")).code).toBe("TOO_MANY_ATTEMPTS")
  const token = await resetToken(world)
  await ask("POST", "/auth/password/reset", { body: { token, password: NEW } })
  expect((await logIn("ann@example.com", NEW)).status).toBe(200)
  expect(await store.get("SELECT id FROM users WHERE email_verified_at IS NOT NULL")).toBeDefined()
})

test("[V-auth.7] nobody's mailbox is flooded: soon no more mail goes out, with the same answer", async () => {
  const { ask, addUser, deliver } = await openAccounts()
  await addUser("ann@example.com")
  const answers: string[] = []
  for (let i = 0; i < 20; i++)
    answers.push(
      (
        await ask("POST", "/auth/password/forgot", {
          body: { email: "ann@example.com" },
          client: `192.0.2.${i}`,
        })
      ).text,
    )
  expect(new Set(answers).size).toBe(1)
  expect(await deliver()).toHaveLength(4)
})

test("tokens are not guessed without end from one address", async () => {
  const { ask } = await openAccounts({ auth: { lockout: { ip_attempts: 3 } } })
  const codes: unknown[] = []
  for (let i = 0; i < 4; i++)
    codes.push((await ask("POST", "/auth/password/reset", { body: { token: `t${i}`, password: NEW } })).code)
  expect(codes).toEqual(["INVALID_FIELD", "INVALID_FIELD", "INVALID_FIELD", "TOO_MANY_ATTEMPTS"])
})

test("[V-auth.7] tokens are stored as hashes only", async () => {
  const world = await openAccounts()
  await world.addUser("ann@example.com")
  const token = await resetToken(world)
  expect(JSON.stringify(await world.store.all("SELECT * FROM one_time_tokens"))).not.toContain(token)
  expect(JSON.stringify([await world.audits(), world.log.events])).not.toContain(token)
})

test("[V-auth.1] who is signed in changes the password with the old one; other sessions end, this one goes on", async () => {
  const { ask, addUser, caller, store, logIn } = await openAccounts()
  await addUser("ann@example.com")
  await logIn("ann@example.com")
  const principal = await caller("ann@example.com")
  const answer = await ask("PUT", "/users/me/password", { body: { old: PASSWORD, new: NEW }, principal })
  expect(answer.body).toEqual({ status: "changed" })
  expect(await store.all("SELECT id FROM sessions WHERE ended_at IS NULL")).toEqual([
    { id: principal.sessionId },
  ])
  expect((await logIn("ann@example.com", NEW)).status).toBe(200)
})

test("[V-auth.1] a wrong old password counts as a failed sign-in", async () => {
  const { ask, addUser, caller } = await openAccounts()
  await addUser("ann@example.com")
  const principal = await caller("ann@example.com")
  const codes: unknown[] = []
  for (let i = 0; i < 5; i++)
    codes.push((await ask("PUT", "/users/me/password", { body: { old: "wrong", new: NEW }, principal })).code)
  expect(codes.slice(3)).toEqual(["INVALID_FIELD", "TOO_MANY_ATTEMPTS"])
})

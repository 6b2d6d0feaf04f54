import { afterEach, expect, spyOn, test } from "bun:test"
import { PasswordHasher } from "../../../src/identity/passwords.ts"
import { openAccounts, PASSWORD } from "../../support/accounts.ts"
import { sharedPostgres } from "../../support/postgres.ts"
import { closeStores } from "../../support/store.ts"

afterEach(closeStores)

test("[V-auth.1, T-4.1] login and password give tokens that no cache keeps", async () => {
  const { addUser, logIn } = await openAccounts()
  await addUser("ann@example.com")
  const { status, body, fields } = await logIn("ann@example.com")
  expect(status).toBe(200)
  expect(body).toMatchObject({ token_type: "Bearer", expires_in: 900, scope: "read write" })
  expect(fields).toContain("no-store")
})

test.each(["ANN@Example.COM", " ann@example.com ", "ａｎｎ@example.com"])(
  "[V-auth.1] %p is the same login",
  async (login) => {
    const { addUser, logIn } = await openAccounts()
    await addUser("ann@example.com")
    expect((await logIn(login)).status).toBe(200)
  },
)

test("[V-auth.1] a login of letters that only look alike is another one", async () => {
  const { addUser, logIn } = await openAccounts()
  await addUser("ann@example.com")
  expect((await logIn("аnn@example.com")).code).toBe("AUTH_ERROR")
})

test("[V-auth.1] nobody is told whether it was the account, the password, or that it is disabled", async () => {
  const { addUser, ask, accounts } = await openAccounts({ auth: { registration: { verify_email: true } } })
  await addUser("ann@example.com")
  await addUser("off@example.com", { status: "disabled" })
  await addUser("new@example.com", { emailVerifiedAt: undefined })
  await addUser("elsewhere@example.com", { passwordHash: undefined })
  const verify = spyOn(accounts.hasher, "verify")
  const bodies = [
    { login: "nobody@example.com", password: PASSWORD },
    { login: "ann@example.com", password: "wrong" },
    { login: "off@example.com", password: PASSWORD },
    { login: "new@example.com", password: "wrong" },
    { login: "elsewhere@example.com", password: PASSWORD },
    { login: "x".repeat(320), password: "y".repeat(1024) },
    { login: "' OR 1=1 --", password: "' OR '1'='1" },
  ]
  const answers = await Promise.all(bodies.map((body) => ask("POST", "/auth/login", { body })))
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  expect(answers[0]!.code).toBe("AUTH_ERROR")
  expect(answers[0]!.fields).toContain("www-authenticate")
  expect(verify).toHaveBeenCalledTimes(bodies.length)
})

test("[V-auth.1] nobody learns by registering and signing in whether an address had an account", async () => {
  const registration = { enabled: true, verify_email: true }
  const { addUser, ask, logIn, audits } = await openAccounts({ auth: { registration } })
  await addUser("old@example.com")
  const mine = "a password of my own"
  for (const email of ["old@example.com", "new@example.com"])
    await ask("POST", "/auth/register", { body: { email, password: mine } })
  const [old, fresh] = [await logIn("old@example.com", mine), await logIn("new@example.com", mine)]
  expect(old.code).toBe("AUTH_ERROR")
  expect([fresh.text, fresh.fields]).toEqual([old.text, old.fields])
  const form = async (username: string) => {
    const body = { grant_type: "password", username, password: mine }
    return (await ask("POST", "/auth/token", { body })).text
  }
  expect(await form("new@example.com")).toBe(await form("old@example.com"))
  // Both are locked after as many tries.
  const tries = async (login: string) => {
    const codes: unknown[] = []
    for (let i = 0; i < 4; i++) codes.push((await logIn(login, mine)).code)
    return codes
  }
  expect(await tries("new@example.com")).toEqual(await tries("old@example.com"))
  const reasons = (await audits()).map(({ details }) => JSON.parse(String(details)).reason)
  expect(reasons).toContain("unverified")
})

test("[C-2.6] every attempt is recorded with its reason, and no password is", async () => {
  const { addUser, logIn, audits, counts, log } = await openAccounts()
  await addUser("ann@example.com")
  await logIn("ann@example.com", "guess number one")
  await logIn("ghost@example.com", "guess number one")
  await logIn("ann@example.com")
  const records = (await audits()).filter(({ action }) => action === "session.start")
  expect(
    records.map(({ outcome, subject, details }) => [outcome, subject, JSON.parse(details).reason]),
  ).toEqual([
    ["failure", "ann@example.com", "wrong_password"],
    ["failure", "ghost@example.com", "unknown_account"],
    ["success", expect.any(String), undefined],
  ])
  expect(counts.get("login failure")).toBe(2)
  expect(counts.get("login success")).toBe(1)
  expect(JSON.stringify([records, log.events])).not.toMatch(/guess|battery/)
})

for (const database of ["sqlite", "postgres"] as const)
  test(`[V-auth.1] of twenty wrong sign-ins at once four are tried, the others wait (${database})`, async () => {
    const url = database === "sqlite" ? "sqlite::memory:" : await (await sharedPostgres()).createDatabase()
    const { addUser, logIn, accounts } = await openAccounts({ url })
    await addUser("ann@example.com")
    const verify = spyOn(accounts.hasher, "verify")
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => logIn("ann@example.com", "wrong", `192.0.2.${i}`)),
    )
    expect(answers.filter(({ code }) => code === "AUTH_ERROR")).toHaveLength(4)
    expect(
      answers.filter(({ code, retryAfterS }) => code === "TOO_MANY_ATTEMPTS" && retryAfterS === 1),
    ).toHaveLength(16)
    expect(verify).toHaveBeenCalledTimes(4)
  })

test("[V-auth.1] a lock holds against the right password, alike for accounts that do not exist, and ends", async () => {
  const { addUser, logIn, pass, counts } = await openAccounts({
    auth: { lockout: { free_attempts: 1, attempts: 2, duration: "15m" } },
  })
  await addUser("ann@example.com")
  for (const login of ["ann@example.com", "ghost@example.com"])
    for (let i = 0; i < 2; i++) await logIn(login, "wrong")
  const [ann, ghost] = [await logIn("ann@example.com"), await logIn("ghost@example.com")]
  expect(ann).toMatchObject({ code: "TOO_MANY_ATTEMPTS", retryAfterS: 900 })
  expect(ghost.text).toBe(ann.text)
  expect(counts.get("login_throttled failure")).toBe(2)
  pass(900_000)
  expect((await logIn("ann@example.com")).status).toBe(200)
})

test("right sign-ins, however many, are no reason to wait", async () => {
  const { addUser, logIn } = await openAccounts({ auth: { lockout: { attempts: 3, ip_attempts: 5 } } })
  await addUser("ann@example.com")
  for (let i = 0; i < 12; i++) expect((await logIn("ann@example.com")).status).toBe(200)
})

test("when too many passwords are being hashed, the answer is to come again, and nothing is counted", async () => {
  const { addUser, logIn, ask, accounts, store } = await openAccounts()
  await addUser("ann@example.com")
  const ends: (() => void)[] = []
  const hash = spyOn(Bun.password, "hash").mockImplementation(async () => {
    await new Promise<void>((resolve) => ends.push(resolve))
    return "$argon2id$none"
  })
  try {
    const all = Promise.allSettled(Array.from({ length: 66 }, () => accounts.hasher.hash("x")))
    const answer = await logIn("ann@example.com")
    expect(answer).toMatchObject({ code: "OVERLOADED", retryAfterS: 2 })
    expect(await store.get("SELECT * FROM login_failures WHERE failures > 0")).toBeUndefined()
    for (let ended = 0; ended < 66; ) {
      const end = ends.shift()
      if (end === undefined) await Promise.resolve()
      else {
        end()
        ended++
      }
    }
    await all
  } finally {
    hash.mockRestore()
  }
  expect(
    (await ask("POST", "/auth/login", { body: { login: "ann@example.com", password: PASSWORD } })).status,
  ).toBe(200)
})

test("a hash of another cost is replaced at the next sign-in", async () => {
  const { addUser, logIn, store, accounts } = await openAccounts()
  const passwordHash = await new PasswordHasher({ memoryKiB: 16, passes: 1 }).hash(PASSWORD)
  await addUser("ann@example.com", { passwordHash })
  await logIn("ann@example.com")
  const row = await store.get<{ password_hash: string }>("SELECT password_hash FROM users")
  expect(row!.password_hash).not.toBe(passwordHash)
  expect(accounts.hasher.isOutdated(row!.password_hash)).toBe(false)
  expect((await logIn("ann@example.com")).status).toBe(200)
})

test("a sign-in whose password is changed while it is checked fails", async () => {
  const { addUser, logIn, accounts, store } = await openAccounts()
  await addUser("ann@example.com")
  const verify = spyOn(accounts.hasher, "verify").mockImplementation(async () => {
    await store.run("UPDATE users SET password_hash = 'another'")
    return true
  })
  expect((await logIn("ann@example.com")).code).toBe("AUTH_ERROR")
  expect(verify).toHaveBeenCalledTimes(1)
  expect(await store.get("SELECT * FROM sessions")).toBeUndefined()
})

test("[V-auth.6] a browser gets a session cookie no script reads, and a CSRF token", async () => {
  const { addUser, ask } = await openAccounts()
  await addUser("ann@example.com")
  const { status, body, fields } = await ask("POST", "/auth/login", {
    body: { email: "ann@example.com", password: PASSWORD, session: "cookie" },
    headers: { origin: "http://gate.example" },
  })
  expect(status).toBe(200)
  expect(Object.keys(body)).toEqual(["csrf_token", "expires_in"])
  expect(fields.filter((text) => /^gh_session=.*HttpOnly$/.test(text))).toHaveLength(1)
})

test.each(["https://evil.example", "null", "https://gate.example", "http://gate.example.evil.example"])(
  "[V-auth.6] a page of %s cannot sign a browser in",
  async (origin) => {
    const { addUser, ask, accounts } = await openAccounts()
    await addUser("ann@example.com")
    const verify = spyOn(accounts.hasher, "verify")
    const answer = await ask("POST", "/auth/login", {
      body: { email: "ann@example.com", password: PASSWORD, session: "cookie" },
      headers: { origin },
    })
    expect(answer.code).toBe("ORIGIN_NOT_ALLOWED")
    expect(verify).not.toHaveBeenCalled()
  },
)

test("an origin of `auth.session.return_to` may sign a browser in", async () => {
  const { addUser, ask } = await openAccounts({ auth: { session: { return_to: ["https://app.example"] } } })
  await addUser("ann@example.com")
  const answer = await ask("POST", "/auth/login", {
    body: { email: "ann@example.com", password: PASSWORD, session: "cookie" },
    headers: { origin: "https://app.example" },
  })
  expect(answer.status).toBe(200)
})

const JSON_BODY = JSON.stringify({ login: "ann@example.com", password: PASSWORD })

test.each([
  ["a form", "login=ann&password=x", "application/x-www-form-urlencoded", "UNSUPPORTED_MEDIA_TYPE"],
  ["JSON as text", JSON_BODY, "text/plain", "UNSUPPORTED_MEDIA_TYPE"],
  ["JSON of another charset", JSON_BODY, "application/json; charset=utf-16", "UNSUPPORTED_MEDIA_TYPE"],
  ["no JSON", "{", "application/json", "INVALID_REQUEST"],
  ["a list", "[]", "application/json", "INVALID_REQUEST"],
  ["nothing", "", "application/json", "INVALID_REQUEST"],
  ["a key twice", '{"login":"a","login":"b","password":"x"}', "application/json", "INVALID_REQUEST"],
  ["a prototype", '{"login":"a","password":"x","__proto__":{}}', "application/json", "INVALID_REQUEST"],
  ["an unknown field", '{"login":"a","password":"x","admin":true}', "application/json", "INVALID_FIELD"],
  ["an object as password", '{"login":"a","password":{"$ne":1}}', "application/json", "INVALID_FIELD"],
  ["two logins", '{"login":"a","email":"b","password":"x"}', "application/json", "INVALID_FIELD"],
  ["no login", '{"password":"x"}', "application/json", "INVALID_FIELD"],
  ["a NUL", '{"login":"a\\u0000b","password":"x"}', "application/json", "INVALID_FIELD"],
  ["a line break", '{"login":"a\\nb","password":"x"}', "application/json", "INVALID_FIELD"],
  ["a huge login", `{"login":"${"a".repeat(60_000)}","password":"x"}`, "application/json", "INVALID_FIELD"],
  ["an odd scope", '{"login":"a","password":"x","scope":"a  b"}', "application/json", "INVALID_FIELD"],
  ["an odd session", '{"login":"a","password":"x","session":"both"}', "application/json", "INVALID_FIELD"],
])(
  "[V-auth.1] %s is refused before any work, and not repeated in the answer",
  async (_name, raw, type, code) => {
    const { ask, accounts } = await openAccounts()
    const verify = spyOn(accounts.hasher, "verify")
    const answer = await ask("POST", "/auth/login", { raw, type })
    expect(answer.code).toBe(code)
    expect(answer.text.length).toBeLessThan(400)
    expect(verify).not.toHaveBeenCalled()
  },
)

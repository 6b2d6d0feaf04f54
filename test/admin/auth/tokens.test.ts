import { afterEach, describe, expect, test } from "bun:test"
import { closeVms, openVm, PASSWORD, type Sent } from "../../support/identity_vm.ts"
import { closeStores } from "../../support/store.ts"
import { sqliteUrl } from "../../support/store_urls.ts"

afterEach(async () => {
  closeVms()
  await closeStores()
})

const SECRET = "a-client-secret-of-many-bits"

async function openWithUser(auth: object = {}) {
  const vm = await openVm(sqliteUrl(), auth)
  const userId = await vm.addUser("ann@example.com")
  await vm.addClient("billing", SECRET, ["read", "introspect"])
  const token = (sent: Sent) => vm.ask("POST", "/auth/token", sent)
  const passwordForm = { username: "ann@example.com", password: PASSWORD }
  return { vm, userId, token, passwordForm }
}

describe("password grant", () => {
  test("[T-4.1 I-auth] a form of user name and password gives tokens as RFC 6749 has them", async () => {
    const { vm, userId, token, passwordForm } = await openWithUser()
    const answer = await token({ form: passwordForm })
    expect(answer.status).toBe(200)
    expect(answer.headers.get("cache-control")).toBe("no-store")
    expect(answer.body).toEqual({
      access_token: expect.stringMatching(/^ey/),
      token_type: "Bearer",
      expires_in: 900,
      refresh_token: expect.stringMatching(/^gh_rt_[\w-]{43}$/),
      scope: "read write",
    })
    expect(await vm.caller({ bearer: answer.body.access_token })).toBe(userId)
    expect(await vm.audited("token.issue")).toEqual(["token.issue success"])
    expect(vm.counted).toContain("token_issued success")
  })

  test("[I-auth] the same as JSON", async () => {
    const { token, passwordForm } = await openWithUser()
    const answer = await token({ json: { grant_type: "password", ...passwordForm, scope: "read" } })
    expect([answer.status, answer.body.scope]).toEqual([200, "read"])
  })

  test("[C-2.6] a wrong password, and an account that does not exist, look alike", async () => {
    const { token } = await openWithUser()
    const wrong = await token({ form: { username: "ann@example.com", password: "not her password" } })
    const unknown = await token({ form: { username: "bob@example.com", password: "not her password" } })
    expect([wrong.status, wrong.body.error]).toEqual([400, "invalid_grant"])
    expect(unknown.text).toBe(wrong.text)
  })

  test("passwords are throttled here as they are at sign-in", async () => {
    const { token } = await openWithUser()
    const form = { grant_type: "password", username: "ann@example.com", password: "wrong password" }
    for (let i = 0; i < 4; i++) expect((await token({ form })).status).toBe(400)
    const throttled = await token({ form })
    expect([throttled.status, throttled.body.error]).toEqual([429, "temporarily_unavailable"])
    expect(Number(throttled.headers.get("retry-after"))).toBeGreaterThan(0)
  })

  test("[C-2.3] a scope the roles do not give is refused, and no session is left over", async () => {
    const { vm, token, passwordForm } = await openWithUser()
    const answer = await token({ form: { ...passwordForm, scope: "read admin" } })
    expect([answer.status, answer.body.error]).toEqual([400, "invalid_scope"])
    const live = await vm.store.all("SELECT id FROM sessions WHERE ended_at IS NULL")
    expect(live).toEqual([])
  })
})

describe("client credentials", () => {
  test("[C-2.8] a client gets a service token by Basic, without a refresh token", async () => {
    const { vm, token } = await openWithUser()
    const answer = await token({
      form: { grant_type: "client_credentials", scope: "read" },
      basic: ["billing", SECRET],
    })
    expect(answer.status).toBe(200)
    expect(Object.keys(answer.body).toSorted()).toEqual(["access_token", "expires_in", "scope", "token_type"])
    const me = await vm.ask("GET", "/users/me", { bearer: answer.body.access_token })
    expect(me.body).toMatchObject({ id: "billing", kind: "service", scopes: ["read"], session_id: null })
  })

  test("[C-2.8] a client may show its secret in the body, of a form or of JSON", async () => {
    const { token } = await openWithUser()
    const fields = { grant_type: "client_credentials", client_id: "billing", client_secret: SECRET }
    expect((await token({ form: fields })).status).toBe(200)
    expect((await token({ json: fields })).status).toBe(200)
  })

  test.each([
    ["a wrong secret", { basic: ["billing", "wrong"] as const }],
    ["an unknown client", { basic: ["nobody", SECRET] as const }],
    ["no credentials", {}],
  ])("[C-2.8] %s is refused with 401 and a challenge", async (_, shown) => {
    const { token } = await openWithUser()
    const answer = await token({ form: { grant_type: "client_credentials" }, ...shown })
    expect([answer.status, answer.body.error]).toEqual([401, "invalid_client"])
    expect(answer.headers.get("www-authenticate")).toStartWith("Basic ")
  })

  test("[C-2.8] an id with a NUL, which PostgreSQL would choke on, is no id of a client", async () => {
    const { token } = await openWithUser()
    const answer = await token({ form: { grant_type: "client_credentials" }, basic: ["a%00b", SECRET] })
    expect([answer.status, answer.body.error]).toEqual([400, "invalid_request"])
  })

  test("a disabled client is refused", async () => {
    const { vm, token } = await openWithUser()
    await vm.store.run("UPDATE clients SET status = 'disabled'")
    const answer = await token({ form: { grant_type: "client_credentials" }, basic: ["billing", SECRET] })
    expect(answer.status).toBe(401)
  })

  test("wrong secrets are throttled by address; the right one is taken all the same", async () => {
    const { token } = await openWithUser({ lockout: { ip_attempts: 3 } })
    const form = { grant_type: "client_credentials" }
    for (let i = 0; i < 3; i++) expect((await token({ form, basic: ["billing", `${i}`] })).status).toBe(401)
    expect((await token({ form, basic: ["billing", "wrong"] })).status).toBe(429)
    const elsewhere = await token({ form, basic: ["billing", "wrong"], client: "198.51.100.7" })
    expect(elsewhere.status).toBe(401)
    expect((await token({ form, basic: ["billing", SECRET] })).status).toBe(200)
  })

  test("[C-2.3] a client cannot get a scope it does not have", async () => {
    const { token } = await openWithUser()
    const form = { grant_type: "client_credentials", scope: "read admin" }
    const answer = await token({ form, basic: ["billing", SECRET] })
    expect([answer.status, answer.body.error]).toEqual([400, "invalid_scope"])
  })

  test("two ways of showing a secret at once are refused (RFC 6749 section 2.3)", async () => {
    const { token } = await openWithUser()
    const form = { grant_type: "client_credentials", client_id: "billing", client_secret: SECRET }
    const answer = await token({ form, basic: ["billing", SECRET] })
    expect([answer.status, answer.body.error]).toEqual([400, "invalid_request"])
  })
})

describe("what is no request for a token", () => {
  const BAD: readonly (readonly [string, Sent, string])[] = [
    ["a parameter twice", { form: "grant_type=password&grant_type=refresh_token" }, "invalid_request"],
    ["a parameter twice, once escaped", { form: "username=a&user%6Eame=b&password=c" }, "invalid_request"],
    ["a bad escape", { form: "grant_type=%zz" }, "invalid_request"],
    ["bytes that are no UTF-8", { form: "grant_type=%ff" }, "invalid_request"],
    ["a NUL", { form: "grant_type=client_credentials&client_id=a%00b&client_secret=c" }, "invalid_request"],
    ["33 parameters", { form: Array.from({ length: 33 }, (_, i) => `p${i}=1`).join("&") }, "invalid_request"],
    ["nothing", { form: "" }, "invalid_request"],
    ["another grant", { form: "grant_type=implicit" }, "unsupported_grant_type"],
    ["a scope of control characters", { form: "grant_type=password&scope=a%0Ab" }, "invalid_scope"],
    ["no refresh token", { form: "grant_type=refresh_token" }, "invalid_request"],
    [
      "SQL as a client",
      { form: "grant_type=client_credentials", basic: ["' OR 1=1 --", "x"] },
      "invalid_client",
    ],
  ]
  test.each(BAD)("%s is refused in the form of RFC 6749", async (_, sent, error) => {
    const { token } = await openWithUser()
    const answer = await token(sent)
    expect(answer.body.error).toBe(error)
    expect(answer.status).toBe(error === "invalid_client" ? 401 : 400)
  })

  test("JSON gets the gateway's own errors", async () => {
    const { vm, token } = await openWithUser()
    expect((await token({ json: { grant_type: "implicit" } })).code).toBe("INVALID_REQUEST")
    expect((await token({ json: { grant_type: ["password"] } })).code).toBe("INVALID_REQUEST")
    const wrong = await token({ json: { username: "ann@example.com", password: "wrong password" } })
    expect([wrong.status, wrong.code]).toEqual([401, "AUTH_ERROR"])
    const twice = { headers: { "content-type": "application/json" } }
    expect((await vm.ask("POST", "/auth/refresh", twice)).code).toBe("INVALID_REQUEST")
  })
})

describe("introspection (RFC 7662)", () => {
  async function introspecting() {
    const opened = await openWithUser()
    const tokens = await opened.vm.logIn("ann@example.com")
    const introspect = (token: string, sent: Sent = { basic: ["billing", SECRET] }) =>
      opened.vm.ask("POST", "/auth/introspect", { form: { token }, ...sent })
    return { ...opened, ...tokens, introspect }
  }

  test("tells of an access token whose it is and what it gives", async () => {
    const { introspect, access_token, userId } = await introspecting()
    const { body } = await introspect(access_token)
    expect(body).toMatchObject({ active: true, token_type: "Bearer", sub: userId, scope: "read write" })
    expect(body.exp - body.iat).toBe(900)
  })

  test("tells of a refresh token, until it is used", async () => {
    const { vm, introspect, refresh_token, userId } = await introspecting()
    expect((await introspect(refresh_token)).body).toMatchObject({ active: true, sub: userId })
    await vm.refresh(refresh_token)
    expect((await introspect(refresh_token)).body).toEqual({ active: false })
  })

  test("[F-54] says of unknown, forged, expired and revoked tokens that they are inactive, and no more", async () => {
    const { vm, introspect, access_token } = await introspecting()
    const forged = `${access_token.slice(0, -8)}AAAAAAAA`
    for (const token of ["x", forged, "gh_rt_x", "' OR 1=1", "gh_live_x"])
      expect((await introspect(token)).body).toEqual({ active: false })
    const other = await vm.logIn("ann@example.com")
    await vm.ask("POST", "/auth/logout", { bearer: other.access_token })
    expect((await introspect(other.access_token)).body).toEqual({ active: false })
    vm.pass(16 * 60_000)
    expect((await introspect(access_token)).body).toEqual({ active: false })
  })

  test("needs a client, or a service token with a scope for it; a user's token will not do", async () => {
    const { vm, introspect, token, access_token } = await introspecting()
    expect((await introspect(access_token, {})).status).toBe(401)
    expect((await introspect(access_token, { bearer: access_token })).status).toBe(401)
    expect((await introspect(access_token, { basic: ["billing", "wrong"] })).status).toBe(401)
    const service = await token({ form: { grant_type: "client_credentials" }, basic: ["billing", SECRET] })
    const asked = await introspect(access_token, { bearer: service.body.access_token })
    expect([asked.status, asked.body.active]).toEqual([200, true])
    expect((await vm.audited("token.introspect")).toSorted()).toEqual([
      ...Array(3).fill("token.introspect failure"),
      "token.introspect success",
    ])
  })
})

describe("revocation (RFC 7009)", () => {
  test("[F-54] a revoked refresh token ends its sign-in", async () => {
    const { vm } = await openWithUser()
    const { access_token, refresh_token } = await vm.logIn("ann@example.com")
    const answer = await vm.ask("POST", "/auth/revoke", { form: { token: refresh_token } })
    expect(answer.status).toBe(200)
    expect((await vm.refresh(refresh_token)).status).toBe(401)
    expect(await vm.caller({ bearer: access_token })).toBe("")
    expect(await vm.audited("token.revoke")).toEqual(["token.revoke success"])
  })

  test("a revoked access token is dead, and the sign-in goes on", async () => {
    const { vm, userId } = await openWithUser()
    const { access_token, refresh_token } = await vm.logIn("ann@example.com")
    await vm.ask("POST", "/auth/revoke", { form: { token: access_token } })
    expect(await vm.caller({ bearer: access_token })).toBe("")
    const { body } = await vm.refresh(refresh_token)
    expect(await vm.caller({ bearer: body.access_token })).toBe(userId)
  })

  test("what is no token is answered alike, and nothing happens", async () => {
    const { vm } = await openWithUser()
    for (const token of ["x", `gh_rt_${"A".repeat(43)}`, "ey.ey.ey", "'; DELETE FROM sessions; --"])
      expect((await vm.ask("POST", "/auth/revoke", { form: { token } })).status).toBe(200)
    expect(await vm.audited("token.revoke")).toEqual([])
  })

  test("a client cannot revoke the token of another client", async () => {
    const { vm, token } = await openWithUser()
    await vm.addClient("other", "another-secret", ["read"])
    const { body } = await token({ form: { grant_type: "client_credentials" }, basic: ["billing", SECRET] })
    const by = (basic: readonly [string, string]) =>
      vm.ask("POST", "/auth/revoke", { form: { token: body.access_token }, basic })
    expect((await by(["other", "another-secret"])).status).toBe(200)
    expect(await vm.caller({ bearer: body.access_token })).toBe("billing")
    expect((await by(["other", "wrong"])).status).toBe(401)
    expect((await by(["billing", SECRET])).status).toBe(200)
    expect(await vm.caller({ bearer: body.access_token })).toBe("")
  })
})

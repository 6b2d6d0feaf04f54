import { afterAll, describe, expect, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { PASSWORD, runExample, runExampleWithAccounts } from "../support/example.ts"

const example = runExample("storyverse.yaml")
const whole = await runExampleWithAccounts("storyverse.yaml")
afterAll(() => {
  example.close()
  whole.close()
})

const parent = {
  authorization: `Bearer ${accessToken({ roles: ["parent"], scopes: ["read", "write", "generate"] })}`,
}
const json = { headers: { ...parent, "content-type": "application/json" }, body: '{"title":"The fox"}' }

/** The endpoint table of the document, without its rows on authentication: method, path, service. */
const ENDPOINTS = [
  ["GET", "/api/stories", "STORIES"],
  ["POST", "/api/stories", "STORIES"],
  ["GET", "/api/stories/42", "STORIES"],
  ["PUT", "/api/stories/42", "STORIES"],
  ["DELETE", "/api/stories/42", "STORIES"],
  ["GET", "/api/characters", "CHARACTERS"],
  ["GET", "/api/characters/fox", "CHARACTERS"],
  ["GET", "/api/universes", "UNIVERSES"],
  ["GET", "/api/universes/sea", "UNIVERSES"],
  ["POST", "/api/generate/text", "GENERATION"],
  ["POST", "/api/generate/image", "GENERATION"],
  ["POST", "/api/generate/audio", "GENERATION"],
] as const

describe("[V-endpoints] each row of the endpoint table reaches its service", () => {
  for (const [method, path, service] of ENDPOINTS) {
    test(`${method} ${path}`, async () => {
      const { response, arrived } = await example.call(
        method,
        path,
        method === "GET" ? { headers: parent } : json,
      )
      expect(response.status).toBe(200)
      expect(arrived).toMatchObject({ method, path })
      expect(arrived!.instance).toStartWith(`${service}_`)
    })
  }
})

describe("[V-endpoints] what is not in the table is refused by the gateway", () => {
  for (const [method, path, allow] of [
    ["DELETE", "/api/stories", "GET, HEAD, POST, OPTIONS"],
    ["PATCH", "/api/stories/42", "GET, HEAD, PUT, DELETE, OPTIONS"],
    ["POST", "/api/characters", "GET, HEAD, OPTIONS"],
    ["GET", "/api/generate/text", "POST, OPTIONS"],
  ] as const) {
    test(`${method} ${path} is 405 with Allow: ${allow}`, async () => {
      const { response, arrived } = await example.call(method, path)
      expect(response.status).toBe(405)
      expect(response.headers.get("allow")).toBe(allow)
      expect(arrived).toBeUndefined()
    })
  }

  test("an unknown path is 404", async () => {
    const { response, arrived } = await example.call("GET", "/api/toys")
    expect(response.status).toBe(404)
    expect(arrived).toBeUndefined()
  })
})

test("[V-endpoints] a generation that failed is not asked twice", async () => {
  let asked = 0
  const busy = () => {
    asked++
    return new Response("busy", { status: 503 })
  }
  example.answer("GENERATION_1", busy)
  example.answer("GENERATION_2", busy)
  const { response } = await example.call("POST", "/api/generate/text", json)
  expect(response.status).toBe(503)
  expect(asked).toBe(1)
})

const statusOf = async (method: string, path: string, token?: string) =>
  (await whole.ask(method, path, { ...(token !== undefined && { token }) })).status

/** A new account, and a sign-in of it, as the document says. */
async function signUp(email: string) {
  const registered = await whole.ask("POST", "/api/auth/register", { body: { email, password: PASSWORD } })
  expect(registered.status).toBe(202)
  const { status, body } = await whole.ask("POST", "/api/auth/login", { body: { email, password: PASSWORD } })
  expect(status).toBe(200)
  return body as { access_token: string; refresh_token: string; expires_in: number }
}

/** A child of the parent, signed in. */
async function addChild(parent: string, login: string, settings: object) {
  const body = { login, password: PASSWORD, display_name: login, ...settings }
  const { status } = await whole.ask("POST", "/api/users/me/children", { token: parent, body })
  expect(status).toBe(201)
  const signedIn = await whole.ask("POST", "/api/auth/login", { body: { login, password: PASSWORD } })
  return signedIn.body.access_token as string
}

describe("[V-endpoints] [C-2.6] the rows on authentication are the gateway's own", () => {
  test("register, login, call, refresh, logout, and nothing after that", async () => {
    const first = await signUp("ada@example.com")
    expect(first.expires_in).toBe(900)
    const { status, arrived } = await whole.ask("GET", "/api/stories", { token: first.access_token })
    expect(status).toBe(200)
    expect(arrived!.headers).toMatchObject({
      "x-user-roles": "parent",
      "x-user-tier": "basic",
      "x-user-scopes": "read write generate",
    })
    const refreshed = await whole.ask("POST", "/api/auth/refresh", {
      body: { refresh_token: first.refresh_token },
    })
    const second = refreshed.body as typeof first
    expect(second.refresh_token).not.toBe(first.refresh_token)
    expect(await statusOf("GET", "/api/stories/42", second.access_token)).toBe(200)
    expect(await statusOf("POST", "/api/auth/logout", second.access_token)).toBe(200)
    for (const { access_token } of [first, second])
      expect(await statusOf("GET", "/api/stories", access_token)).toBe(401)
    const again = await whole.ask("POST", "/api/auth/refresh", {
      body: { refresh_token: second.refresh_token },
    })
    expect(again.status).toBe(401)
  })

  test("a wrong password is AUTH_ERROR, and so is everything without a token", async () => {
    const wrong = await whole.ask("POST", "/api/auth/login", {
      body: { email: "nobody@example.com", password: PASSWORD },
    })
    expect([wrong.status, wrong.body.error.code]).toEqual([401, "AUTH_ERROR"])
    for (const [method, path] of ENDPOINTS) {
      const { status, body, arrived } = await whole.ask(method, path)
      expect([status, body.error.code, arrived]).toEqual([401, "AUTH_ERROR", undefined])
    }
  })

  test("they answer over https only, and to POST only", async () => {
    const plain = { "x-forwarded-proto": "http" }
    const { status, body } = await whole.ask("POST", "/api/auth/login", { headers: plain, body: {} })
    expect([status, body.error.code]).toEqual([403, "HTTPS_REQUIRED"])
    for (const name of ["register", "login", "refresh", "logout"]) {
      const answer = await whole.ask("GET", `/api/auth/${name}`)
      expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST, OPTIONS"])
    }
  })

  test("the public documentation needs nobody", async () => {
    expect((await whole.call("GET", "/docs/json")).response.status).toBe(200)
  })
})

describe("[V-auth] [C-2.5] parents and children", () => {
  test("a parent makes an account for a child, whose age and blocked content restrict what it may", async () => {
    const { access_token: eve } = await signUp("eve@example.com")
    const small = await addChild(eve, "small", { age_limit: 6 })
    const big = await addChild(eve, "big", { age_limit: 10, blocked_content: ["audio"] })
    const generate = (what: string, token: string) => statusOf("POST", `/api/generate/${what}`, token)
    expect(await generate("text", small)).toBe(200)
    expect(await generate("audio", small)).toBe(200)
    expect(await generate("image", big)).toBe(200)
    const young = await whole.ask("POST", "/api/generate/image", { token: small })
    expect([young.status, young.body.error.code, young.arrived]).toEqual([403, "FORBIDDEN", undefined])
    expect(young.body.error.details.missing).toEqual({ min_age: 8 })
    const blocked = await whole.ask("POST", "/api/generate/audio", { token: big })
    expect([blocked.status, blocked.body.error.details.missing]).toEqual([403, { content: ["audio"] }])
    for (const what of ["text", "image", "audio"]) expect(await generate(what, eve)).toBe(200)
  })

  test("a child may write stories, and neither delete them nor have children; services are told its parent", async () => {
    const { access_token: dan } = await signUp("dan@example.com")
    const kid = await addChild(dan, "kid", {})
    const created = await whole.ask("POST", "/api/stories", { token: kid, body: { title: "The fox" } })
    const { sub } = JSON.parse(Buffer.from(dan.split(".")[1]!, "base64url").toString())
    expect(created.arrived!.headers["x-user-parent-id"]).toBe(sub)
    const deleted = await whole.ask("DELETE", "/api/stories/42", { token: kid })
    expect([deleted.status, deleted.body.error.details.missing]).toEqual([
      403,
      { permissions: ["stories:delete"] },
    ])
    expect(await statusOf("DELETE", "/api/stories/42", dan)).toBe(200)
    expect(await statusOf("GET", "/api/users/me/children", kid)).toBe(403)
  })

  test("a token for reading does not write", async () => {
    await signUp("pat@example.com")
    const { body } = await whole.ask("POST", "/api/auth/login", {
      body: { email: "pat@example.com", password: PASSWORD, scope: "read" },
    })
    expect(await statusOf("GET", "/api/stories", body.access_token)).toBe(200)
    const {
      status,
      body: refusal,
      headers,
    } = await whole.ask("POST", "/api/stories", {
      token: body.access_token,
      body: {},
    })
    expect([status, refusal.error.details.missing]).toEqual([403, { scopes: ["write"] }])
    expect(headers.get("www-authenticate")).toContain('error="insufficient_scope"')
  })
})

test("[C-6.6 V-rl.2] five stories a day for basic accounts, twenty for premium ones", async () => {
  for (const [tier, stories] of [
    ["basic", "5"],
    ["premium", "20"],
  ] as const) {
    const token = accessToken({ id: tier, roles: ["parent"], scopes: ["write"], tier })
    const { response } = await example.call("POST", "/api/stories", {
      ...json,
      headers: { ...json.headers, authorization: `Bearer ${token}` },
    })
    expect([response.status, response.headers.get("x-quota-limit")]).toEqual([200, stories])
  }
})

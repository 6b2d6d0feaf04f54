import { afterAll, describe, expect, test } from "bun:test"
import { csrfToken } from "../../src/identity/csrf.ts"
import { accessToken } from "../support/access_token.ts"
import { known, SECRET, TestAuthenticator } from "../support/authenticator.ts"
import { throughBothDoors } from "../support/doors.ts"
import { openEdge } from "../support/edge.ts"
import { type RawResponse, talk } from "../support/raw_client.ts"

const HOST = "Host: a.example\r\n"
const AUTH = { roles: { user: {}, admin: { includes: ["user"], permissions: ["*"] } } }
const worker = new TestAuthenticator(AUTH)
worker.answer = () => known({ id: "ann", roles: ["user"] })

throughBothDoors((door) => {
  const edge = openEdge({
    door,
    identity: worker.it,
    config: {
      auth: { secret: SECRET, ...AUTH },
      defaults: { access_log: {}, auth: {} },
      routes: [
        { path: "/open/*", service: "s", auth: { required: false } },
        { path: "/free/*", service: "s", without: ["auth"] },
        { path: "/admin/*", service: "s", auth: { roles: ["admin"] } },
        { path: "/users/:id", service: "s", auth: { owner: "path.id == principal.id" } },
        { path: "/jwt/*", service: "s", auth: { forward: "jwt" } },
        { path: "/*", service: "s" },
      ],
    },
  })
  afterAll(() => edge.close())

  const ANN = `Authorization: Bearer ${accessToken({ id: "ann", roles: ["user"] })}\r\n`
  const ROOT = `Authorization: Bearer ${accessToken({ id: "root", roles: ["admin"] })}\r\n`

  async function ask(target: string, fields = "", method = "GET"): Promise<RawResponse> {
    const [response] = await talk(edge.port, `${method} ${target} HTTP/1.1\r\n${HOST}${fields}\r\n`, 1, {
      methods: [method],
    })
    if (response === undefined) throw new Error("no response")
    return response
  }
  const statusOf = async (...request: Parameters<typeof ask>) => (await ask(...request)).status
  /** What the service got of a request that must pass. */
  async function passed(target: string, fields = "") {
    expect(await statusOf(target, fields)).toBe(200)
    return edge.received().at(-1)!
  }

  describe("through the door, with real tokens", () => {
    test("[C-2.3] nobody, a user and an administrator are told apart", async () => {
      expect(await statusOf("/admin/x")).toBe(401)
      expect(await statusOf("/admin/x", ANN)).toBe(403)
      expect(await statusOf("/admin/x", ROOT)).toBe(200)
      expect(await statusOf("/anything")).toBe(401)
      expect(await statusOf("/open/x")).toBe(200)
    })

    test("[C-2.5] another user's resource is refused", async () => {
      expect(await statusOf("/users/ann", ANN)).toBe(200)
      expect(await statusOf("/users/bob", ANN)).toBe(403)
    })

    test("[C-1.5] the access log says who called and how, also when refused", async () => {
      await ask("/users/bob", ANN)
      expect(edge.served.access.at(-1)).toMatchObject({
        user: "ann",
        auth: "jwt",
        status: 403,
        error: "FORBIDDEN",
      })
      await ask("/users/bob")
      expect(edge.served.access.at(-1)).toMatchObject({ user: "", auth: "", status: 401 })
    })
  })

  describe("[F-55] no spelling of a path gets around its route", () => {
    const spellings = [
      "//admin/x",
      "/admin//x",
      "/./admin/x",
      "/open/../admin/x",
      "/open/%2e%2e/admin/x",
      "/open/.%2e/admin/x",
      "/open/..%2fadmin/x",
      "/open/..%5cadmin/x",
      "/open/%252e%252e/admin/x",
      "/open/..;/admin/x",
      "/open;/../admin/x",
      "/%61dmin/x",
      "/%2561dmin/x",
      "/admin%2fx",
      "/admin;x=1/y",
      "/admin%00/x",
      "/admin\\x",
      "/admin.",
      "/ADMIN/x",
      "/admin%20/x",
      "/%EF%BC%8Fadmin/x",
      "/admin?/open/x",
      "/open/../../admin/x",
    ]
    for (const target of spellings) {
      test(`${target}: what reaches the service was allowed`, async () => {
        const before = edge.received().length
        const status = await statusOf(target, ANN)
        const reached = edge.received().slice(before)
        // A user may call everything but /admin: what does pass must not be read as that by the service.
        expect([200, 400, 401, 403, 404]).toContain(status)
        for (const { line } of reached) {
          const path = line.split(" ")[1]!
          expect(path).not.toMatch(/^\/admin(?:[/?]|$)/)
          expect(path).not.toMatch(/\.\.|%2e|%2f|%5c|%25|%00|;|\/\//i)
        }
      })
    }
  })

  describe("[F-56] what overrides method or path has no effect", () => {
    for (const field of [
      "X-Original-URL: /open/x",
      "X-Rewrite-URL: /open/x",
      "X-HTTP-Method-Override: OPTIONS",
      "X-Method-Override: OPTIONS",
      "X-Forwarded-Prefix: /open",
      "X-Forwarded-Host: open.example",
      "Access-Control-Request-Method: GET",
    ]) {
      test(field, async () => expect(await statusOf("/admin/x", `${field}\r\n`)).toBe(401))
    }

    test("a request in absolute form is decided by its own path", async () => {
      expect(await statusOf("http://a.example/admin/x", ANN)).toBe(403)
      expect([400, 403]).toContain(await statusOf("http://a.example/open/../admin/x", ANN))
    })

    test("no method is free", async () => {
      for (const method of ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
        expect(`${method} ${await statusOf("/admin/x", ANN, method)}`).toBe(`${method} 403`)
      expect([400, 405, 501]).toContain(await statusOf("/admin/x", ANN, "TRACE"))
    })
  })

  const FORGED = [
    "X-User-Id: root",
    "X-User-Roles: admin",
    "X-User-Anything: root",
    "X-Auth-Method: session",
    "X-Auth-User: root",
    "X-Client-Id: root",
    "X-API-Key-Id: root",
    "X_User_Id: root",
    "X-User_Roles: admin",
  ]
  const forged = FORGED.map((field) => `${field}\r\n`).join("")

  describe("[F-57] who calls is what was proved", () => {
    test("the service learns the caller, and nothing the client claims", async () => {
      const { lines, header } = await passed("/x", ANN + forged)
      expect([header("x-user-id"), header("x-user-roles"), header("x-auth-method")]).toEqual([
        "ann",
        "user",
        "jwt",
      ])
      expect(lines.filter((line) => /root|admin|session/.test(line))).toEqual([])
    })

    for (const target of ["/open/x", "/free/x"]) {
      test(`also on ${target}, where nobody has to prove anything`, async () => {
        const { lines } = await passed(target, forged)
        expect(lines.filter((line) => /root|admin|x[-_](user|auth|client|api)/i.test(line))).toEqual([])
      })
    }

    test("a token for the service takes the place of the client's", async () => {
      const { header } = await passed("/jwt/x", ANN + forged)
      const token = header("authorization")!.replace("Bearer ", "")
      expect(ANN).not.toContain(token)
      const claims = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString()) as {
        sub: string
        aud: string
      }
      expect([claims.sub, claims.aud]).toEqual(["ann", "s"])
    })

    test("a route without the policy still keeps the gateway's credentials from the service, and only those", async () => {
      const { lines } = await passed(
        "/free/x",
        "Cookie: a=1; gh_session=secret\r\nX-API-Key: gh_live_secret\r\nAuthorization: Bearer gh_live_secret\r\n",
      )
      expect(lines.filter((line) => line.includes("secret"))).toEqual([])
      expect(lines).toContain("cookie: a=1")
      const { header } = await passed("/free/x", "X-API-Key: of-the-service\r\nAuthorization: Basic b3Ro\r\n")
      expect([header("x-api-key"), header("authorization")]).toEqual(["of-the-service", "Basic b3Ro"])
    })
  })

  test("[F-58] Connection cannot take away what the gateway says, nor the client's own proof", async () => {
    const fields = "Connection: close, X-User-Id, X-User-Roles, Authorization, X-Auth-Method, Host\r\n"
    const { header } = await passed("/x", ANN + fields + forged)
    expect([header("x-user-id"), header("x-user-roles")]).toEqual(["ann", "user"])
    expect(await statusOf("/admin/x", ANN + fields)).toBe(403)
  })

  describe("[F-59] a wrong API key", () => {
    test("gets the same answer, malformed or unknown", async () => {
      worker.answer = () => ({ kind: "unknown" })
      const answers: string[] = []
      for (const made of ["gh_live_x", `gh_live_${"0".repeat(32)}_000000`, "else"]) {
        const { status, body } = await ask("/x", `X-API-Key: ${made}\r\n`)
        answers.push(`${status} ${body.replace(/"request_id":"[^"]*"/, "")}`)
      }
      expect(new Set(answers).size).toBe(1)
      expect(answers[0]).toStartWith("401 ")
      worker.answer = () => known({ id: "ann", roles: ["user"] })
    })
  })

  describe("[F-61] a session cookie of a browser on another site", () => {
    const cookie = "Cookie: gh_session=the-session-of-ann\r\n"
    const handshake =
      "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

    test("opens no WebSocket", async () => {
      for (const origin of ["Origin: https://evil.example\r\n", "Origin: null\r\n", ""])
        expect(await statusOf("/x", cookie + handshake + origin)).toBe(403)
      expect(await statusOf("/x", `${cookie + handshake}Origin: http://a.example\r\n`)).toBe(200)
    })

    test("changes nothing", async () => {
      expect(await statusOf("/x", cookie, "POST")).toBe(403)
      const csrf = `X-CSRF-Token: ${csrfToken("the-session-of-ann")}\r\n`
      expect(await statusOf("/x", `${cookie + csrf}Sec-Fetch-Site: cross-site\r\n`, "POST")).toBe(403)
      expect(await statusOf("/x", cookie + csrf, "POST")).toBe(200)
    })

    test("is not passed on", async () => {
      const { header } = await passed("/x", "Cookie: a=1; gh_session=the-session-of-ann\r\n")
      expect([header("cookie"), header("x-user-id"), header("x-auth-method")]).toEqual([
        "a=1",
        "ann",
        "session",
      ])
    })
  })
})

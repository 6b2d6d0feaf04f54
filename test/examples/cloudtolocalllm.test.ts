import { afterAll, describe, expect, test } from "bun:test"
import { issueApiKey, revokeApiKey } from "../../src/identity/api_keys.ts"
import { accessToken } from "../support/access_token.ts"
import { PASSWORD, runExample, runExampleWithAccounts } from "../support/example.ts"
import { issuerKey, TestIssuer } from "../support/issuer.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"

const example = runExample("cloudtolocalllm.yaml")
const auth0 = new TestIssuer([await issuerKey("auth0", "RS256")])
const AUDIENCE = "https://api.cloudtolocalllm.example"
const whole = await runExampleWithAccounts("cloudtolocalllm.yaml", { AUTH0_ISSUER: auth0.url })
afterAll(() => {
  example.close()
  whole.close()
  return auth0.close()
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
/** An administrator with the highest tier. */
const headers = bearer(accessToken({ id: "7", roles: ["admin"], tier: "enterprise" }))

const ENDPOINTS = [
  ["TUNNEL_SERVICE", "/api/v1/tunnels", ["GET", "POST"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7", ["GET", "PUT", "PATCH", "DELETE"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/start", ["POST"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/stop", ["POST"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/status", ["GET"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/config", ["GET", "PUT"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/metrics", ["GET"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/diagnostics", ["GET"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/usage", ["GET"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/shares", ["GET", "POST"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/shares/ada", ["DELETE"]],
  ["TUNNEL_SERVICE", "/api/v1/tunnels/7/webhooks", ["GET", "POST"]],
  ["STREAMING_PROXY", "/api/v1/proxies", ["GET", "POST"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7", ["GET", "PUT", "PATCH", "DELETE"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7/start", ["POST"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7/stop", ["POST"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7/status", ["GET"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7/config", ["GET", "PUT"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7/metrics", ["GET"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7/diagnostics", ["GET"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7/usage", ["GET"]],
  ["STREAMING_PROXY", "/api/v1/proxies/7/webhooks", ["GET", "POST"]],
  ["STREAMING_PROXY", "/api/v1/streaming/chat", ["GET", "POST"]],
  ["ADMIN_SERVICE", "/api/v1/admin/users/7/tier", ["GET", "PUT"]],
  ["USER_SERVICE", "/api/v1/users/7/preferences", ["GET", "PUT", "PATCH"]],
  ["USER_SERVICE", "/api/v1/users/7", ["DELETE"]],
] as const

describe("[C-1.2] every endpoint reaches its service", () => {
  for (const [service, path, methods] of ENDPOINTS)
    for (const method of methods) {
      test(`${method} ${path}`, async () => {
        const { response, arrived } = await example.call(method, path, { headers })
        expect(response.status).toBe(200)
        expect(arrived).toMatchObject({ method, path })
        expect(arrived!.instance).toStartWith(`${service}_`)
      })
    }
})

describe("[C-1.2] other methods are 405", () => {
  for (const [method, path] of [
    ["DELETE", "/api/v1/tunnels"],
    ["GET", "/api/v1/tunnels/7/start"],
    ["POST", "/api/v1/tunnels/7/status"],
    ["GET", "/api/v1/proxies/7/stop"],
    ["DELETE", "/api/v1/streaming/chat"],
  ] as const) {
    test(`${method} ${path}`, async () => {
      const { response, arrived } = await example.call(method, path)
      expect(response.status).toBe(405)
      expect(arrived).toBeUndefined()
    })
  }
})

test("[C-1.2] streams run over WebSockets too", async () => {
  const client = await openWs(`${example.gateway.url.replace("http", "ws")}/api/v1/streaming/chat`, {
    headers,
  })
  client.socket.send("a prompt")
  await until(() => client.messages.length > 0, "the echo")
  expect(client.messages).toEqual(["a prompt"])
  client.socket.close()
})

test("[C-1.6] the app's origin may send cookies, others may not", async () => {
  const preflight = (origin: string) =>
    example.call("OPTIONS", "/api/v1/tunnels", {
      headers: { origin, "access-control-request-method": "POST" },
    })
  const { response: own, arrived } = await preflight("https://app.cloudtolocalllm.example")
  expect(own.headers.get("access-control-allow-origin")).toBe("https://app.cloudtolocalllm.example")
  expect(own.headers.get("access-control-allow-credentials")).toBe("true")
  expect(arrived).toBeUndefined()
  const { response: foreign } = await preflight("https://evil.example")
  expect(foreign.headers.get("access-control-allow-origin")).toBeNull()
})

test("[C-1.7] answers are compressed with gzip or deflate, streams are not", async () => {
  const long = (): Response => Response.json({ text: "long ".repeat(1000) })
  for (const instance of ["TUNNEL_SERVICE_1", "TUNNEL_SERVICE_2", "STREAMING_PROXY_1", "STREAMING_PROXY_2"])
    example.answer(instance, long)
  const encoding = async (path: string, accepted: string) => {
    const { response } = await example.call("GET", path, {
      headers: { ...headers, "accept-encoding": accepted },
    })
    return response.headers.get("content-encoding")
  }
  expect(await encoding("/api/v1/tunnels", "br, gzip")).toBe("gzip")
  expect(await encoding("/api/v1/tunnels", "deflate")).toBe("deflate")
  expect(await encoding("/api/v1/streaming/chat", "br, gzip")).toBeNull()
})

test("[C-1.4] a body over the limit of its route is 413", async () => {
  const body = "x".repeat(100_000)
  expect((await example.call("POST", "/api/v1/tunnels", { headers, body })).response.status).toBe(413)
  expect((await example.call("PUT", "/api/v1/users/7/avatar", { headers, body })).response.status).toBe(200)
})

test("[C-7.6] when no user service answers, clients get the fallback", async () => {
  const down = runExample("cloudtolocalllm.yaml")
  try {
    await Promise.all([down.stop("USER_SERVICE_1"), down.stop("USER_SERVICE_2")])
    const { response, body } = await down.call("GET", "/api/v1/users/7", { headers })
    expect(response.status).toBe(503)
    expect(response.headers.get("retry-after")).toBe("30")
    expect(JSON.parse(body).error.message).toBe("Profiles cannot be read just now.")
  } finally {
    down.close()
  }
})

/** A token as Auth0 makes it for a user. */
const tokenOf = (sub: string, roles: readonly string[] = ["user"], tier = "free", claims = {}) =>
  auth0.token({
    sub,
    aud: AUDIENCE,
    "https://cloudtolocalllm.example/roles": roles,
    "https://cloudtolocalllm.example/tier": tier,
    ...claims,
  })

describe("[C-2.1] tokens of Auth0", () => {
  test("are taken on every endpoint; the service is told who it is", async () => {
    const token = await tokenOf("auth0|7", ["user"], "premium")
    const { status, arrived } = await whole.ask("GET", "/api/v1/tunnels", { token })
    expect(status).toBe(200)
    expect(arrived!.headers).toMatchObject({
      "x-user-id": "auth0|7",
      "x-user-roles": "user",
      "x-user-tier": "premium",
    })
  })

  test("without one, with one of another audience or an expired one: 401 and no service is asked", async () => {
    for (const token of [
      undefined,
      await tokenOf("auth0|7", [], "free", { aud: "https://else.example" }),
      await tokenOf("auth0|7", [], "free", { exp: 1_600_000_000 }),
    ]) {
      for (const [, path, [method]] of ENDPOINTS) {
        const answer = await whole.ask(method!, path, token === undefined ? {} : { token })
        expect([answer.status, answer.body.error.code, answer.arrived]).toEqual([
          401,
          "AUTH_ERROR",
          undefined,
        ])
      }
    }
  })
})

test("[C-2.3] administration: support looks, administrators change, users stay out", async () => {
  const statuses = async (...roles: string[]) => {
    const token = await tokenOf("auth0|7", roles)
    const path = "/api/v1/admin/users/9/tier"
    return [
      (await whole.ask("GET", path, { token })).status,
      (await whole.ask("PUT", path, { token })).status,
    ]
  }
  expect(await statuses("user")).toEqual([403, 403])
  expect(await statuses("support")).toEqual([200, 403])
  expect(await statuses("admin")).toEqual([200, 200])
  expect(await statuses("root")).toEqual([403, 403])
})

test("[C-2.4] sharing and webhooks are for the tiers that pay; an unknown tier is the lowest", async () => {
  const statusOf = async (tier: string) => {
    const token = await tokenOf("auth0|7", ["user"], tier)
    return (await whole.ask("POST", "/api/v1/tunnels/7/shares", { token })).status
  }
  expect(await Promise.all(["free", "premium", "enterprise", "platinum"].map(statusOf))).toEqual([
    403, 200, 200, 403,
  ])
})

test("[C-2.5] a user's resources are for the user and for administrators", async () => {
  const statusOf = async (sub: string, id: string, ...roles: string[]) => {
    const token = await tokenOf(sub, roles)
    return (await whole.ask("GET", `/api/v1/users/${id}/preferences`, { token })).status
  }
  expect(await statusOf("auth0|7", "auth0%7C7")).toBe(200)
  expect(await statusOf("auth0|7", "me")).toBe(200)
  expect(await statusOf("auth0|7", "auth0%7C8")).toBe(403)
  expect(await statusOf("auth0|7", "auth0%7C8", "support")).toBe(403)
  expect(await statusOf("auth0|7", "auth0%7C8", "admin")).toBe(200)
})

describe("[C-2.7] [C-2.9] a session in a browser", () => {
  const logIn = async (login: string) => {
    await whole.addUser(login, ["user"])
    const { headers } = await whole.ask("POST", "/api/v1/auth/login", {
      body: { login, password: PASSWORD, session: "cookie" },
    })
    const cookies = headers.getSetCookie()
    const session = cookies.find((each) => each.startsWith("__Host-gh_session="))!
    const csrf = /^gh_csrf=([^;]+)/.exec(cookies.find((each) => each.startsWith("gh_csrf="))!)![1]!
    return { session, cookie: session.split(";", 1)[0]!, csrf }
  }

  test("is a cookie no script and no other site can read", async () => {
    const { session } = await logIn("grace")
    expect(session).toMatch(/; Path=\/; Max-Age=\d+; SameSite=Lax; Secure; HttpOnly$/)
  })

  test("reads, changes only with the token against CSRF, and ends with logout", async () => {
    const { cookie, csrf } = await logIn("hedy")
    const call = async (method: string, path: string, more = {}) =>
      (await whole.ask(method, path, { headers: { cookie, ...more } })).status
    expect(await call("GET", "/api/v1/tunnels")).toBe(200)
    expect(await call("POST", "/api/v1/tunnels")).toBe(403)
    expect(await call("POST", "/api/v1/tunnels", { "x-csrf-token": csrf })).toBe(200)
    expect(await call("POST", "/api/v1/auth/logout", { "x-csrf-token": csrf })).toBe(200)
    expect(await call("GET", "/api/v1/tunnels")).toBe(401)
  })
})

test("[C-2.8] a service comes with an API key, which opens no administration and ends when it is revoked", async () => {
  const operator = { id: "operator", client: "", requestId: "r1" }
  const wanted = {
    ...{ name: "billing", owner: "billing", roles: ["user", "admin"], scopes: ["read"], tier: "enterprise" },
    ...{ allowedIps: [], expiresAt: undefined },
  }
  const made = await issueApiKey(whole.context, wanted, operator)
  if (made.kind !== "made") throw new Error("no key")
  const call = (path: string) => whole.ask("GET", path, { headers: { "x-api-key": made.secret } })
  const { status, arrived } = await call("/api/v1/tunnels/7/usage")
  expect(status).toBe(200)
  expect(arrived!.headers).toMatchObject({ "x-user-id": "billing", "x-auth-method": "api_key" })
  expect(arrived!.headers["x-api-key"]).toBeUndefined()
  expect((await call("/api/v1/admin/users")).status).toBe(403)
  await revokeApiKey(whole.context, made.key.id, operator)
  expect((await call("/api/v1/tunnels/7/usage")).status).toBe(401)
})

test("[C-2.10] sign-in is refused over plain http", async () => {
  const { status, body } = await whole.ask("POST", "/api/v1/auth/login", {
    headers: { "x-forwarded-proto": "http" },
    body: { login: "grace", password: PASSWORD },
  })
  expect([status, body.error.code]).toEqual([403, "HTTPS_REQUIRED"])
})

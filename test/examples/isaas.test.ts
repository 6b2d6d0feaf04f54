import { afterAll, afterEach, describe, expect, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { PASSWORD, type RunningExample, runExample, runExampleWithAccounts } from "../support/example.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"

const example = runExample("isaas.yaml")
afterAll(() => example.close())

const scopes = (...given: string[]) => ({ authorization: `Bearer ${accessToken({ scopes: given })}` })
const caller = scopes("read", "write")
const privacyOnly = { "x-privacy-consent": "granted", "x-privacy-purpose": "context" }
const privacy = { ...caller, ...privacyOnly }
const SERVICES = ["context", "intent", "predict", "realtime"] as const

describe("[I-routes] each core service gets GET and POST under its prefix, path unchanged", () => {
  for (const service of SERVICES)
    for (const [method, path] of [
      ["GET", `/api/v1/${service}`],
      ["POST", `/api/v1/${service}`],
      ["GET", `/api/v1/${service}/users/7?since=1`],
      ["POST", `/api/v1/${service}/users/7`],
    ] as const) {
      test(`${method} ${path}`, async () => {
        const { response, arrived } = await example.call(method, path, { headers: privacy })
        expect(response.status).toBe(200)
        expect(arrived).toMatchObject({ instance: `${service.toUpperCase()}_SERVICE_URL`, method, path })
      })
    }
})

test("[I-routes] other methods are 405", async () => {
  for (const service of SERVICES) {
    const { response, arrived } = await example.call("DELETE", `/api/v1/${service}/7`, { headers: privacy })
    expect(response.status).toBe(405)
    expect(response.headers.get("allow")).toBe("GET, HEAD, POST, OPTIONS")
    expect(arrived).toBeUndefined()
  }
})

test("[I-routes] realtime takes WebSockets", async () => {
  const client = await openWs(`${example.gateway.url.replace("http", "ws")}/api/v1/realtime/feed`, {
    headers: caller,
  })
  client.socket.send("ping")
  await until(() => client.messages.length > 0, "the echo")
  expect(client.messages).toEqual(["ping"])
  client.socket.close()
})

test("[I-routes] the others refuse WebSockets", async () => {
  const client = await openWs(`${example.gateway.url.replace("http", "ws")}/api/v1/context/feed`, {
    headers: privacy,
  })
  expect(client.closed).toBeDefined()
  expect(client.messages).toEqual([])
})

describe("[I-auth I-scope] callers", () => {
  for (const service of SERVICES) {
    const path = `/api/v1/${service}/users/7`
    const statusOf = async (method: string, headers: Record<string, string>) => {
      const { response, arrived } = await example.call(method, path, { headers: { ...privacy, ...headers } })
      expect(arrived !== undefined).toBe(response.status === 200)
      return response.status
    }

    test(`${service} reads with the scope read and writes with the scope write`, async () => {
      expect(await statusOf("GET", scopes("read"))).toBe(200)
      expect(await statusOf("POST", scopes("read"))).toBe(403)
      expect(await statusOf("GET", scopes("write"))).toBe(403)
      expect(await statusOf("POST", scopes("write"))).toBe(200)
    })

    test(`${service} refuses a token of another secret`, async () => {
      const [head, claims] = accessToken({ scopes: ["read"] }).split(".")
      const forged = `${head}.${claims}.${"A".repeat(43)}`
      expect(await statusOf("GET", { authorization: `Bearer ${forged}` })).toBe(401)
    })

    test(`${service} refuses callers without a token, with AUTH_ERROR`, async () => {
      const { response, body } = await example.call("GET", path)
      expect([response.status, JSON.parse(body).error.code]).toEqual([401, "AUTH_ERROR"])
      expect(response.headers.get("www-authenticate")).toBe('Bearer realm="gatehouse"')
    })
  }
})

test("[I-auth] POST /api/v1/auth/token gives a token with the scopes of the account, or fewer", async () => {
  const whole = await runExampleWithAccounts("isaas.yaml")
  try {
    await whole.addUser("ada", ["user"])
    const ask = async (more: Record<string, string>) => {
      const form = { grant_type: "password", username: "ada", password: PASSWORD, ...more }
      const { body, response } = await whole.call("POST", "/api/v1/auth/token", {
        headers: {
          "x-forwarded-proto": "https",
          "content-type": "application/x-www-form-urlencoded",
        },
        body: new URLSearchParams(form).toString(),
      })
      return { status: response.status, ...JSON.parse(body) }
    }
    const all = await ask({})
    expect(all).toMatchObject({ status: 200, token_type: "Bearer", expires_in: 900, scope: "read write" })
    const less = await ask({ scope: "read" })
    expect(less.scope).toBe("read")
    expect((await ask({ password: "wrong" })).status).toBe(400)
    expect((await ask({ scope: "admin" })).status).toBe(400)
    const statusOf = async (method: string, token: string) =>
      (await whole.ask(method, "/api/v1/intent/7", { token, headers: privacyOnly })).status
    expect(await statusOf("POST", all.access_token)).toBe(200)
    expect(await statusOf("GET", less.access_token)).toBe(200)
    expect(await statusOf("POST", less.access_token)).toBe(403)
    const { status, body } = await whole.ask("GET", "/api/v1/users/me", { token: all.access_token })
    expect([status, body.scopes, body.roles]).toEqual([200, ["read", "write"], ["user"]])
  } finally {
    whole.close()
  }
})

describe("[I-priv] privacy headers", () => {
  for (const [what, headers, header] of [
    ["no privacy header", caller, "x-privacy-consent"],
    ["no purpose", { ...caller, "x-privacy-consent": "granted" }, "x-privacy-purpose"],
    ["consent denied", { ...privacy, "x-privacy-consent": "denied" }, "x-privacy-consent"],
    ["an unknown purpose", { ...privacy, "x-privacy-purpose": "advertising" }, "x-privacy-purpose"],
  ] as const) {
    test(`${what} is refused before any service sees the request`, async () => {
      const { response, body, arrived } = await example.call("GET", "/api/v1/context/7", { headers })
      expect(response.status).toBe(400)
      expect(arrived).toBeUndefined()
      const { error, request_id } = JSON.parse(body)
      expect(error.code).toBe("MISSING_HEADER")
      expect(error.details.header).toBe(header)
      expect(response.headers.get("x-request-id")).toBe(request_id)
    })
  }

  test("realtime needs none, as browsers cannot send them with a handshake", async () => {
    const { response } = await example.call("GET", "/api/v1/realtime/events", { headers: caller })
    expect(response.status).toBe(200)
  })
})

describe("[I-cb] the documented breaker", () => {
  let fresh: RunningExample | undefined
  afterEach(() => fresh?.close())

  /** What comes after a service has failed so many times. */
  async function afterFailures(service: string, times: number) {
    fresh = runExample("isaas.yaml")
    fresh.answer(`${service.toUpperCase()}_SERVICE_URL`, () => new Response("broken", { status: 500 }))
    for (let i = 0; i < times; i++) {
      const { response } = await fresh.call("POST", `/api/v1/${service}`, { headers: privacy })
      expect(response.status).toBe(500)
    }
    return fresh.call("POST", `/api/v1/${service}`, { headers: privacy })
  }

  test("opens after 5 failures: CIRCUIT_OPEN, and back in 60 seconds", async () => {
    const { response, body, arrived } = await afterFailures("predict", 5)
    expect(response.status).toBe(503)
    expect(response.headers.get("retry-after")).toBe("60")
    expect(JSON.parse(body).error.code).toBe("CIRCUIT_OPEN")
    expect(arrived).toBeUndefined()
  })

  test("does not open after 4", async () => {
    expect((await afterFailures("intent", 4)).response.status).toBe(500)
  })

  test("is not there for realtime", async () => {
    expect((await afterFailures("realtime", 12)).response.status).toBe(500)
  })
})

test("[I-err] a service that is down is told in the standard error format", async () => {
  const down = runExample("isaas.yaml")
  try {
    await down.stop("INTENT_SERVICE_URL")
    const { response, body } = await down.call("POST", "/api/v1/intent", { headers: privacy })
    expect(response.status).toBe(502)
    expect(JSON.parse(body)).toEqual({
      error: { code: "BAD_GATEWAY", message: expect.any(String), details: {} },
      request_id: expect.any(String),
    })
  } finally {
    down.close()
  }
})

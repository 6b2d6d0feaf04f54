import { afterAll, describe, expect, test } from "bun:test"
import { createClient } from "../../src/identity/clients.ts"
import { accessToken } from "../support/access_token.ts"
import { PASSWORD, runExample, runExampleWithAccounts } from "../support/example.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"

const example = runExample("tta.yaml")
const whole = await runExampleWithAccounts("tta.yaml")
afterAll(() => {
  example.close()
  whole.close()
})

const bearer = (id: string, ...roles: string[]) => ({
  authorization: `Bearer ${accessToken({ id, roles, scopes: ["read", "write"] })}`,
})
const headers = bearer("7", "therapist_supervisor")

const ENDPOINTS = [
  ["PLAYERS", "/api/v1/players", ["GET", "POST"]],
  ["PLAYERS", "/api/v1/players/7", ["GET", "PUT", "PATCH", "DELETE"]],
  ["PLAYERS", "/api/v1/players/7/characters", ["GET", "POST"]],
  ["PLAYERS", "/api/v1/players/7/characters/3", ["GET", "PUT", "PATCH", "DELETE"]],
  ["PLAYERS_V2", "/api/v2/players/7/characters", ["GET", "POST"]],
  ["SESSIONS", "/api/v1/sessions/9", ["GET", "POST", "PUT", "PATCH", "DELETE"]],
  ["NARRATIVE", "/api/v1/narratives/9/next", ["GET", "POST"]],
  ["SAFETY", "/api/v1/safety/checks", ["GET", "POST"]],
  ["SAFETY", "/api/v1/safety/escalations", ["GET", "POST"]],
] as const

describe("[T-1.1] [T-2.1] every endpoint reaches its service, with its path and method", () => {
  for (const [service, path, methods] of ENDPOINTS)
    for (const method of methods) {
      test(`${method} ${path}`, async () => {
        const { response, arrived } = await example.call(method, path, { headers })
        expect(response.status).toBe(200)
        expect(arrived).toMatchObject({ method, path })
        expect(arrived!.instance).toMatch(service === "PLAYERS_V2" ? /^PLAYERS_V2$/ : `${service}_`)
      })
    }
})

describe("[T-2.2] other methods are 405 with Allow", () => {
  for (const [method, path, allow] of [
    ["DELETE", "/api/v1/players", "GET, HEAD, POST, OPTIONS"],
    ["POST", "/api/v1/players/7", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"],
    ["PUT", "/api/v1/players/7/characters", "GET, HEAD, POST, OPTIONS"],
    ["DELETE", "/api/v1/narratives/9", "GET, HEAD, POST, OPTIONS"],
  ] as const) {
    test(`${method} ${path}`, async () => {
      const { response, arrived } = await example.call(method, path)
      expect(response.status).toBe(405)
      expect(response.headers.get("allow")).toBe(allow)
      expect(arrived).toBeUndefined()
    })
  }
})

test("[T-1.1] there is nothing beside the documented paths", async () => {
  const { response, arrived } = await example.call("GET", "/api/v3/players")
  expect(response.status).toBe(404)
  expect(arrived).toBeUndefined()
})

test("[T-2.4] version 1 says that version 2 takes its place", async () => {
  const { response } = await example.call("GET", "/api/v1/players/7", { headers })
  expect(response.headers.get("deprecation")).toBe(`@${Date.UTC(2026, 0, 31) / 1000}`)
  expect(response.headers.get("sunset")).toBe("Sun, 31 Jan 2027 00:00:00 GMT")
  expect(response.headers.get("link")).toBe('<https://docs.tta.example/migrate-to-v2>; rel="deprecation"')
  const { response: current } = await example.call("GET", "/api/v2/players/7", { headers })
  expect(current.headers.get("deprecation")).toBeNull()
})

test("[T-2.4] version 1 answers while version 2 is down", async () => {
  const down = runExample("tta.yaml")
  try {
    await down.stop("PLAYERS_V2")
    const { response, arrived } = await down.call("GET", "/api/v2/players/7", { headers })
    expect(response.status).toBe(200)
    expect(arrived!.instance).toMatch(/^PLAYERS_[12]$/)
  } finally {
    down.close()
  }
})

test("[T-2.5] clients that take no JSON are told so", async () => {
  const { response, arrived } = await example.call("GET", "/api/v2/players", {
    headers: { ...headers, accept: "text/html" },
  })
  expect(response.status).toBe(406)
  expect(arrived).toBeUndefined()
})

test("[T-1.2] both copies of a service get work", async () => {
  const instances = new Set<string>()
  for (let i = 0; i < 50; i++)
    instances.add((await example.call("GET", "/api/v1/players", { headers })).arrived?.instance ?? "none")
  expect([...instances].sort()).toEqual(["PLAYERS_1", "PLAYERS_2"])
})

test("[T-1.1] clients of one chat session come to one copy, by WebSocket", async () => {
  const { gateway } = example
  for (let i = 0; i < 6; i++) {
    const url = `${gateway.url.replace("http", "ws")}/ws/chat/room`
    const client = await openWs(url, { headers: { ...headers, "x-session-id": "session-1" } })
    client.socket.send("hello")
    await until(() => client.messages.length > 0, "the echo")
    expect(client.messages).toEqual(["hello"])
    client.socket.close()
    // One after another: a copy that is far busier than the others hands its next clients on.
    await until(() => gateway.relays.size === 0, "the relay to end")
  }
  const lines = gateway.access.filter((line) => line.route === "GET /ws/chat/*")
  expect(lines.length).toBe(6)
  expect(new Set(lines.map((line) => line.instance)).size).toBe(1)
})

const PATHS = ENDPOINTS.flatMap(([, path, methods]) => methods.map((method) => [method, path] as const))

describe("[T-4.2] nobody comes to a service without a caller, and none with rights it lacks", () => {
  test("without a token everything is 401 with AUTH_ERROR", async () => {
    for (const [method, path] of PATHS) {
      const { response, body, arrived } = await example.call(method, path)
      expect([response.status, JSON.parse(body).error.code, arrived]).toEqual([401, "AUTH_ERROR", undefined])
    }
  })

  test("[T-3.1] a WebSocket needs one too", async () => {
    const url = `${example.gateway.url.replace("http", "ws")}/ws/chat/room`
    expect((await openWs(url)).closed).toBeDefined()
    expect((await openWs(url, { headers: bearer("9", "platform_admin") })).closed).toBeDefined()
    const client = await openWs(url, { headers: bearer("9", "patient") })
    expect(client.closed).toBeUndefined()
    client.socket.close()
  })

  const allowed = async (who: Record<string, string>) => {
    const found: string[] = []
    for (const [method, path] of PATHS) {
      const { response, arrived } = await example.call(method, path, { headers: who })
      expect([200, 403]).toContain(response.status)
      expect(arrived !== undefined).toBe(response.status === 200)
      if (response.status === 200) found.push(`${method} ${path}`)
    }
    return found
  }
  const every = PATHS.map(([method, path]) => `${method} ${path}`)
  const about = (...parts: RegExp[]) => every.filter((each) => parts.some((part) => part.test(each)))

  test("a patient has its own player, sessions and narratives", async () => {
    const own = about(/players\/7/, /POST .*players$/, /sessions|narratives/)
    expect(await allowed(bearer("7", "patient"))).toEqual(own)
    const ofAnother = about(/POST .*players$/, /sessions|narratives/)
    expect(await allowed(bearer("8", "patient"))).toEqual(ofAnother)
  })

  test("[T-4.4] a clinician has all players and safety checks, and does not escalate", async () => {
    const all = every.filter((each) => each !== "POST /api/v1/safety/escalations")
    expect(await allowed(bearer("c1", "clinician"))).toEqual(all)
  })

  test("[T-4.4] a supervisor may do what a clinician may, and escalate", async () => {
    expect(await allowed(bearer("s1", "therapist_supervisor"))).toEqual(every)
  })

  test("[T-4.4] who runs the platform sees nothing of therapy", async () => {
    expect(await allowed(bearer("a1", "platform_admin"))).toEqual(about(/ .*\/players$/))
  })

  test("[T-7.2] a service with client credentials checks and escalates", async () => {
    const service = bearer("chat", "safety_service")
    expect(await allowed(service)).toEqual(about(/POST .*(?:players|safety.*)$/))
  })
})

describe("[T-4.1] [T-4.3] tokens", () => {
  test("one sign-in is good for all services, each told by a token of its own; it is refreshed, and ends", async () => {
    const email = "pat@example.com"
    const registered = await whole.ask("POST", "/api/v1/auth/register", {
      body: { email, password: PASSWORD },
    })
    expect(registered.status).toBe(202)
    const { body: first } = await whole.ask("POST", "/api/v1/auth/login", {
      body: { email, password: PASSWORD },
    })
    const { body: me } = await whole.ask("GET", "/api/v1/users/me", { token: first.access_token })
    expect(me).toMatchObject({ roles: ["patient"], permissions: ["sessions:take"] })
    const audiences: string[] = []
    for (const path of [`/api/v1/players/${me.id}`, "/api/v1/sessions/9", "/api/v1/narratives/9"]) {
      const { status, arrived } = await whole.ask("GET", path, { token: first.access_token })
      expect(status).toBe(200)
      const token = arrived!.headers.authorization!.split(" ")[1]!
      const claims = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString())
      expect([claims.sub, claims.roles]).toEqual([me.id, ["patient"]])
      audiences.push(claims.aud)
    }
    expect(audiences).toEqual(["players", "sessions", "narrative"])
    const { body: second } = await whole.ask("POST", "/api/v1/auth/refresh", {
      body: { refresh_token: first.refresh_token },
    })
    const session = async () =>
      (await whole.ask("GET", "/api/v1/sessions/9", { token: second.access_token })).status
    expect(await session()).toBe(200)
    await whole.ask("POST", "/api/v1/auth/logout", { token: second.access_token })
    expect(await session()).toBe(401)
  })

  test("[T-7.2] a service gets one for its client id and secret", async () => {
    const operator = { id: "operator", client: "", requestId: "r1" }
    const wanted = { name: "chat", roles: ["safety_service"], scopes: ["read", "write"] }
    const made = await createClient(whole.context, wanted, operator)
    if (made.kind !== "made") throw new Error("no client")
    const basic = Buffer.from(`${made.client.id}:${made.secret}`).toString("base64")
    const { body } = await whole.call("POST", "/api/v1/auth/token", {
      headers: {
        "x-forwarded-proto": "https",
        authorization: `Basic ${basic}`,
        "content-type": "application/x-www-form-urlencoded",
      },
      body: "grant_type=client_credentials",
    })
    const token = JSON.parse(body).access_token
    const statusOf = async (path: string) => (await whole.ask("POST", path, { token })).status
    expect(await statusOf("/api/v1/safety/escalations")).toBe(200)
    expect(await statusOf("/api/v1/sessions/9")).toBe(403)
  })

  test("[T-4.5] staff may sign in with the clinic's provider", async () => {
    const { body } = await whole.ask("GET", "/api/v1/auth/providers")
    expect(JSON.stringify(body)).toContain("clinic")
  })
})

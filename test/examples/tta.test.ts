import { afterAll, describe, expect, test } from "bun:test"
import { runExample } from "../support/example.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"

const example = runExample("tta.yaml")
afterAll(() => example.close())

const ENDPOINTS = [
  ["PLAYERS", "/api/v1/players", ["GET", "POST"]],
  ["PLAYERS", "/api/v1/players/7", ["GET", "PUT", "PATCH", "DELETE"]],
  ["PLAYERS", "/api/v1/players/7/characters", ["GET", "POST"]],
  ["PLAYERS", "/api/v1/players/7/characters/3", ["GET", "PUT", "PATCH", "DELETE"]],
  ["PLAYERS_V2", "/api/v2/players/7/characters", ["GET", "POST"]],
  ["SESSIONS", "/api/v1/sessions/9", ["GET", "POST", "PUT", "PATCH", "DELETE"]],
  ["NARRATIVE", "/api/v1/narratives/9/next", ["GET", "POST"]],
  ["SAFETY", "/api/v1/safety/checks", ["GET", "POST"]],
] as const

describe("[T-1.1] [T-2.1] every endpoint reaches its service, with its path and method", () => {
  for (const [service, path, methods] of ENDPOINTS)
    for (const method of methods) {
      test(`${method} ${path}`, async () => {
        const { response, arrived } = await example.call(method, path)
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
  const { response } = await example.call("GET", "/api/v1/players/7")
  expect(response.headers.get("deprecation")).toBe(`@${Date.UTC(2026, 0, 31) / 1000}`)
  expect(response.headers.get("sunset")).toBe("Sun, 31 Jan 2027 00:00:00 GMT")
  expect(response.headers.get("link")).toBe('<https://docs.tta.example/migrate-to-v2>; rel="deprecation"')
  const { response: current } = await example.call("GET", "/api/v2/players/7")
  expect(current.headers.get("deprecation")).toBeNull()
})

test("[T-2.4] version 1 answers while version 2 is down", async () => {
  const down = runExample("tta.yaml")
  try {
    await down.stop("PLAYERS_V2")
    const { response, arrived } = await down.call("GET", "/api/v2/players/7")
    expect(response.status).toBe(200)
    expect(arrived!.instance).toMatch(/^PLAYERS_[12]$/)
  } finally {
    down.close()
  }
})

test("[T-2.5] clients that take no JSON are told so", async () => {
  const { response, arrived } = await example.call("GET", "/api/v2/players", {
    headers: { accept: "text/html" },
  })
  expect(response.status).toBe(406)
  expect(arrived).toBeUndefined()
})

test("[T-1.2] both copies of a service get work", async () => {
  const instances = new Set<string>()
  for (let i = 0; i < 50; i++)
    instances.add((await example.call("GET", "/api/v1/players")).arrived?.instance ?? "none")
  expect([...instances].sort()).toEqual(["PLAYERS_1", "PLAYERS_2"])
})

test("[T-1.1] clients of one chat session come to one copy, by WebSocket", async () => {
  const { gateway } = example
  for (let i = 0; i < 6; i++) {
    const url = `${gateway.url.replace("http", "ws")}/ws/chat/room`
    const client = await openWs(url, { headers: { "x-session-id": "session-1" } })
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

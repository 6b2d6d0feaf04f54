import { afterAll, describe, expect, test } from "bun:test"
import { runExample } from "../support/example.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"

const example = runExample("cloudtolocalllm.yaml")
afterAll(() => example.close())

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
        const { response, arrived } = await example.call(method, path)
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
  const client = await openWs(`${example.gateway.url.replace("http", "ws")}/api/v1/streaming/chat`)
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
    const { response } = await example.call("GET", path, { headers: { "accept-encoding": accepted } })
    return response.headers.get("content-encoding")
  }
  expect(await encoding("/api/v1/tunnels", "br, gzip")).toBe("gzip")
  expect(await encoding("/api/v1/tunnels", "deflate")).toBe("deflate")
  expect(await encoding("/api/v1/streaming/chat", "br, gzip")).toBeNull()
})

test("[C-1.4] a body over the limit of its route is 413", async () => {
  const body = "x".repeat(100_000)
  expect((await example.call("POST", "/api/v1/tunnels", { body })).response.status).toBe(413)
  expect((await example.call("PUT", "/api/v1/users/7/avatar", { body })).response.status).toBe(200)
})

test("[C-7.6] when no user service answers, clients get the fallback", async () => {
  const down = runExample("cloudtolocalllm.yaml")
  try {
    await Promise.all([down.stop("USER_SERVICE_1"), down.stop("USER_SERVICE_2")])
    const { response, body } = await down.call("GET", "/api/v1/users/7")
    expect(response.status).toBe(503)
    expect(response.headers.get("retry-after")).toBe("30")
    expect(JSON.parse(body).error.message).toBe("Profiles cannot be read just now.")
  } finally {
    down.close()
  }
})

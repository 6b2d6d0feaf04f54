import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, startGateway } from "../support/gateway_process.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { startWsService } from "../support/ws_service.ts"

setDefaultTimeout(30_000)

const services: { stop(): Promise<void> }[] = []

afterEach(async () => {
  await endGateways()
  for (const service of services.splice(0)) await service.stop()
})

/** A gateway that relays to an echoing service, with these limits. */
async function relaying(websocket: object) {
  const service = startWsService()
  services.push(service)
  const gateway = await startGateway({
    server: { workers: 1, websocket },
    services: { app: { instances: [`http://127.0.0.1:${service.port}`] } },
    routes: [{ path: "/", service: "app", websocket: "relay" }],
  })
  return openWs(`ws://127.0.0.1:${gateway.port}/`)
}

test("a message over server.websocket.max_message closes both ends with 1009", async () => {
  const client = await relaying({ max_message: "1KB" })
  client.socket.send("x".repeat(1024))
  await until(() => client.messages.length === 1, "the echo of a message at the limit")
  client.socket.send("x".repeat(1025))
  await until(() => client.closed !== undefined, "the close")
  expect(client.closed!.code).toBe(1009)
})

test("server.websocket.max_message may be more than its default", async () => {
  const client = await relaying({ max_message: "24MB" })
  client.socket.send("x".repeat(20 * 1024 * 1024))
  await until(() => client.messages.length === 1, "the echo", 10_000)
})

test("a WebSocket without a message for server.websocket.idle_timeout is closed with 1001", async () => {
  const client = await relaying({ idle_timeout: "500ms" })
  await until(() => client.closed !== undefined, "the close", 10_000)
  expect(client.closed!.code).toBe(1001)
})

test("server.websocket.max_connections bounds the relays of a worker, and a reload moves the bound", async () => {
  const service = startWsService()
  services.push(service)
  const config = (max: number) => ({
    server: { workers: 1, websocket: { max_connections: max } },
    services: { app: { instances: [`http://127.0.0.1:${service.port}`] } },
    routes: [{ path: "/", service: "app", websocket: "relay" }],
  })
  const gateway = await startGateway(config(1))
  const url = `ws://127.0.0.1:${gateway.port}/`
  const first = await openWs(url)
  expect((await openWs(url)).error).toContain("503")
  gateway.writeConfig(config(2))
  await until(() => gateway.log.some((line) => line.event === "config.applied"), "the reload")
  const second = await openWs(url)
  second.socket.send("still there")
  await until(() => second.messages.length === 1, "the echo")
  expect(first.closed).toBeUndefined()
})

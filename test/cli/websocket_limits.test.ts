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

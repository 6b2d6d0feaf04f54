import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, startGateway } from "../support/gateway_process.ts"
import { askOnce, startRawLoad } from "../support/raw_load.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { startWsService } from "../support/ws_service.ts"

setDefaultTimeout(30_000)

const services: { stop(force: boolean): Promise<void> }[] = []

afterEach(async () => {
  await endGateways()
  for (const service of services.splice(0)) await service.stop(true)
})

/** A connection that still works when its echo has come. */
async function reconnect(url: string): Promise<Awaited<ReturnType<typeof openWs>>> {
  for (;;) {
    const client = await openWs(url)
    if (client.closed === undefined) client.socket.send("echo")
    await until(() => client.closed !== undefined || client.messages.length > 0, "an echo or the end")
    if (client.closed === undefined) return client
  }
}

test("[F-48] two processes are replaced one after the other: no request fails, streams and WebSockets end in order", async () => {
  const sockets = startWsService()
  services.push(sockets)
  const gate = Promise.withResolvers<void>()
  let slow = 0
  const service = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname === "/slow") {
        slow++
        await gate.promise
        return new Response("late but whole")
      }
      if (pathname !== "/events") return new Response("hello")
      const first = new TextEncoder().encode("data: one\n\n")
      const stream = new ReadableStream({ start: (controller) => controller.enqueue(first) })
      return new Response(stream, { headers: { "content-type": "text/event-stream" } })
    },
  })
  services.push(service)
  const config = (port: number) => ({
    server: { port, drain_delay: "500ms", shutdown_timeout: "1s" },
    services: {
      app: { instances: [service.url.origin] },
      ws: { instances: [`http://127.0.0.1:${sockets.port}`] },
    },
    routes: [
      { path: "/*", service: "app" },
      { path: "/ws", service: "ws", websocket: "relay" },
    ],
  })

  const first = await startGateway(config(0))
  const load = startRawLoad(first.port, 8)
  await until(() => load.total() > 200, "load")
  const inFlight = Array.from({ length: 5 }, () => askOnce(first.port, "/slow"))
  await until(() => slow === 5, "slow requests under way")
  const events = await fetch(`${first.url}/events`)
  const reader = events.body!.getReader()
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("data: one\n\n")
  const client = await openWs(`ws://127.0.0.1:${first.port}/ws`)
  client.socket.send("echo")
  await until(() => client.messages.length === 1, "the echo")

  const second = await startGateway(config(first.port))
  first.signal("SIGTERM")
  await until(() => client.closed !== undefined, "the WebSocket to be closed")
  expect([1001, 1012]).toContain(client.closed!.code)
  // Who reconnects finds the other process, at the latest when every worker of the first has closed its port.
  const again = await reconnect(`ws://127.0.0.1:${first.port}/ws`)
  gate.resolve()
  expect(await Promise.all(inFlight)).toEqual(Array(5).fill("200 late but whole"))
  // The stream would go on for ever: the deadline ends it, visibly.
  expect(await reader.read().catch((error: Error) => error)).toBeInstanceOf(Error)
  expect(await first.exited).toBe(0)

  const before = load.total()
  await until(() => load.total() > before + 200, "load on the second")
  const third = await startGateway(config(first.port))
  second.signal("SIGTERM")
  expect(await second.exited).toBe(0)
  await until(() => again.closed !== undefined, "the other WebSocket to be closed")
  expect([1001, 1012]).toContain(again.closed!.code)
  await load.stop()
  expect(load.failures).toEqual([])
  expect([...load.answers.keys()]).toEqual(["200 hello"])
  expect((await third.admin("/admin/v1/status")).status).toBe(200)
})

import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)

const services: { stop(force: boolean): Promise<void> }[] = []

afterEach(async () => {
  await endGateways()
  for (const service of services.splice(0)) await service.stop(true)
})

/** A service that answers when it is told to. */
function startHeldService() {
  const release = Promise.withResolvers<void>()
  const asked: string[] = []
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    async fetch(request) {
      asked.push(new URL(request.url).pathname)
      await release.promise
      return new Response("done")
    },
  })
  services.push(server)
  return { url: `http://127.0.0.1:${server.port}`, asked, release: () => release.resolve() }
}

/** Each on a connection of its own: the kernel spreads them over the workers. */
const ask = (gateway: GatewayProcess, path: string) =>
  fetch(gateway.url + path, { headers: { connection: "close" }, keepalive: false })

const ROUTES = [
  { path: "/critical", service: "care", priority: "critical" },
  { path: "/low", service: "care", priority: "low" },
  { path: "/normal", service: "care" },
]

test("[T-5.2 C-6.7] with two workers, critical requests pass while low ones find no room, and the circuit stays closed", async () => {
  const service = startHeldService()
  const gateway = await startGateway({
    services: {
      care: {
        instances: [service.url],
        concurrency: { mode: "fixed", max: 8 },
        breaker: { failure_threshold: 2, min_throughput: 2 },
      },
    },
    routes: ROUTES,
  })
  const low = Array.from({ length: 40 }, () => ask(gateway, "/low"))
  const refused: Response[] = []
  for (const each of low) void each.then((response) => refused.push(response))
  // Each worker has 4 of the 8, of which low requests may have 2.
  await until(() => service.asked.length + refused.length === 40, "all that can be told of the low ones")
  expect(service.asked.length).toBe(4)
  expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([503]))
  expect(refused[0]!.headers.get("retry-after")).toBe("1")
  expect(((await refused[0]!.json()) as { error: { code: string } }).error.code).toBe("OVERLOADED")

  const critical = [ask(gateway, "/critical"), ask(gateway, "/critical")]
  await until(() => service.asked.filter((path) => path === "/critical").length === 2, "the critical ones")
  service.release()
  expect((await Promise.all(critical)).map(({ status }) => status)).toEqual([200, 200])
  expect((await ask(gateway, "/low")).status).toBe(200)

  const page = await (await gateway.admin("/metrics")).text()
  expect(page).toContain('gatehouse_shed_total{class="low",reason="concurrency"} 36')
  expect(page).toContain('gatehouse_shed_total{class="critical",reason="concurrency"} 0')
  expect(page).toContain('gatehouse_concurrency_limit{service="care"} 8')
  expect(page).toContain('gatehouse_breaker_state{service="care"} 0')
  expect(gateway.log.filter(({ event }) => event === "request.failed")).toEqual([])
})

test("[F-50 T-5.2] a process beyond its memory refuses all but critical requests and health checks, until it may again", async () => {
  const service = startHeldService()
  service.release()
  const config = { services: { care: { instances: [service.url] } }, routes: ROUTES }
  const gateway = await startGateway({ server: { shedding: { max_memory: "32MB" } }, ...config })
  const statuses = (path: string) =>
    Promise.all(Array.from({ length: 10 }, async () => (await ask(gateway, path)).status))
  expect(new Set(await statuses("/low"))).toEqual(new Set([503]))
  expect(new Set(await statuses("/normal"))).toEqual(new Set([503]))
  expect(new Set(await statuses("/critical"))).toEqual(new Set([200]))
  expect(new Set(await statuses("/health/ready"))).toEqual(new Set([200]))
  expect((await ask(gateway, "/low")).headers.get("retry-after")).toBe("2")
  await until(() => gateway.log.some(({ event }) => event === "load.shedding"), "the line of it")
  const page = await (await gateway.admin("/metrics")).text()
  expect(page).toContain('gatehouse_shed_total{class="low",reason="memory"} 11')
  expect(page).toContain('gatehouse_shed_total{class="normal",reason="memory"} 10')
  expect(page).toMatch(/gatehouse_shedding_level\{worker="[01]"\} 3\n/)

  gateway.writeConfig(config)
  expect((await gateway.admin("/admin/v1/reload", { method: "POST" })).status).toBe(200)
  expect(new Set(await statuses("/low"))).toEqual(new Set([200]))
  await until(() => gateway.log.filter(({ event }) => event === "load.normal").length === 2, "the end of it")
})

test("[T-5.4] what a WebSocket needs of a service is not bounded by its concurrency", async () => {
  const sockets = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("http")),
    websocket: { message: (socket, text) => void socket.send(text) },
  })
  services.push(sockets)
  const gateway = await startGateway({
    services: {
      ws: {
        instances: [`http://127.0.0.1:${sockets.port}`],
        concurrency: { mode: "fixed", max: 1 },
      },
    },
    routes: [{ path: "/ws", service: "ws", websocket: "relay" }],
  })
  const open = Array.from({ length: 5 }, () => new WebSocket(`ws://127.0.0.1:${gateway.port}/ws`))
  await Promise.all(open.map((each) => new Promise((resolve) => each.addEventListener("open", resolve))))
  expect((await ask(gateway, "/ws")).status).toBe(200)
  for (const each of open) each.close()
})

import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, failedStart, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { startLoad } from "../support/load.ts"
import { until } from "../support/until.ts"

// Real processes on a machine that may be busy.
setDefaultTimeout(30_000)

const upstreams: { stop(force: boolean): Promise<void> }[] = []

afterEach(async () => {
  await endGateways()
  for (const upstream of upstreams.splice(0)) await upstream.stop(true)
})

function startUpstream(answer: (request: Request) => Response | Promise<Response>): string {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, development: false, fetch: answer })
  upstreams.push(server)
  return `http://127.0.0.1:${server.port}`
}

const config = (upstream: string, more: object = {}) => ({
  services: { app: { instances: [upstream] } },
  routes: [{ path: "/*", service: "app" }],
  ...more,
})

const events = (gateway: GatewayProcess, event: string) => gateway.log.filter((line) => line.event === event)
const loggedTimes = (gateway: GatewayProcess, event: string, times: number) =>
  until(() => events(gateway, event).length >= times, `${times} times ${event}`, 10_000)

test("it starts, answers through every worker, tells its version and address, and ends on SIGTERM with 0", async () => {
  const gateway = await startGateway(config(startUpstream(() => new Response("hello"))))
  expect(await (await fetch(gateway.url)).text()).toBe("hello")
  expect(events(gateway, "gateway.started")[0]).toMatchObject({ workers: 2, generation: 1, tls: false })
  gateway.signal("SIGTERM")
  expect(await gateway.exited).toBe(0)
})

test("[C-1.9] [F-48] SIGTERM: requests in flight get their answer, readiness is 503, then the process exits 0", async () => {
  const arrived = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  const upstream = startUpstream(async () => {
    arrived.resolve()
    await answer.promise
    return new Response("late but whole")
  })
  const gateway = await startGateway(config(upstream, { server: { drain_delay: "1s" } }))
  const slow = fetch(gateway.url)
  await arrived.promise
  expect((await fetch(`${gateway.url}/health/ready`)).status).toBe(200)
  gateway.signal("SIGTERM")
  await loggedTimes(gateway, "gateway.stopping", 1)
  // The worker is told a moment after the log.
  let ready = await fetch(`${gateway.url}/health/ready`)
  while (ready.status !== 503) ready = await fetch(`${gateway.url}/health/ready`)
  expect(ready.headers.get("connection")).toBe("close")
  // The port closes while the slow request is still under way.
  const refused = () =>
    fetch(`${gateway.url}/health`, { headers: { connection: "close" } }).then(
      () => false,
      () => true,
    )
  const deadline = Date.now() + 5000
  while (!(await refused()) && Date.now() < deadline) await Bun.sleep(20)
  answer.resolve()
  const response = await slow
  expect(response.status).toBe(200)
  expect(await response.text()).toBe("late but whole")
  expect(await gateway.exited).toBe(0)
})

test("[F-48] a request that outlasts shutdown_timeout is cut off, and the process still exits 0", async () => {
  const arrived = Promise.withResolvers<void>()
  const upstream = startUpstream(() => {
    arrived.resolve()
    return new Promise<Response>(() => {})
  })
  const gateway = await startGateway(config(upstream, { server: { shutdown_timeout: "300ms" } }))
  const slow = fetch(gateway.url).catch((error: Error) => error)
  await arrived.promise
  gateway.signal("SIGINT")
  expect(await gateway.exited).toBe(0)
  expect(await slow).toBeInstanceOf(Error)
  expect(events(gateway, "gateway.cut_off")).toHaveLength(1)
})

test("a second signal ends the process at once", async () => {
  const gateway = await startGateway(
    config(
      startUpstream(() => new Response()),
      { server: { drain_delay: "60s" } },
    ),
  )
  gateway.signal("SIGTERM")
  await loggedTimes(gateway, "gateway.stopping", 1)
  gateway.signal("SIGTERM")
  expect(await gateway.exited).toBe(143)
})

test("[F-48] a rolling restart on one port loses no request", async () => {
  const upstream = startUpstream(() => new Response("hello"))
  const first = await startGateway(config(upstream))
  const load = startLoad(first.url, 8)
  await until(() => load.total() > 200, "load")
  const second = await startGateway(config(upstream, { server: { port: first.port } }))
  first.signal("SIGTERM")
  expect(await first.exited).toBe(0)
  const before = load.total()
  await until(() => load.total() > before + 200, "load on the second")
  await load.stop()
  expect(load.failures).toEqual([])
  expect([...load.statuses.keys()]).toEqual([200])
  expect((await second.admin("/admin/v1/status")).status).toBe(200)
})

test("[F-47] 50 reloads under load lose no request, and the last one is in force", async () => {
  const upstream = startUpstream(() => new Response("hello"))
  const gateway = await startGateway(config(upstream))
  const load = startLoad(gateway.url, 8)
  for (let i = 1; i <= 50; i++) {
    gateway.writeConfig(
      config(upstream, {
        routes: [
          { path: "/*", service: "app" },
          { path: "/version", respond: { body: `v${i}` } },
        ],
      }),
    )
    const response = await gateway.admin("/admin/v1/reload", { method: "POST" })
    expect(await response.json()).toMatchObject({ result: "applied" })
    expect(await (await fetch(`${gateway.url}/version`)).text()).toBe(`v${i}`)
  }
  await load.stop()
  expect(load.failures).toEqual([])
  expect([...load.statuses.keys()]).toEqual([200])
  expect(load.total()).toBeGreaterThan(100)
})

test("[F-47] an invalid config is kept out with every problem named; the old one stays", async () => {
  const upstream = startUpstream(() => new Response("hello"))
  const gateway = await startGateway(config(upstream))
  gateway.writeConfig({ ...config(upstream), routes: [{ path: "/*", service: "nobody" }], color: "blue" })
  await loggedTimes(gateway, "config.rejected", 1)
  const [rejected] = events(gateway, "config.rejected")
  expect(JSON.stringify(rejected!.problems)).toContain("nobody")
  expect(JSON.stringify(rejected!.problems)).toContain("color")
  expect(await (await fetch(gateway.url)).text()).toBe("hello")
  const response = await gateway.admin("/admin/v1/reload", { method: "POST" })
  expect(response.status).toBe(422)
  expect((await response.json()).error).toMatchObject({ code: "CONFIG_REJECTED" })
  const metrics = await (await gateway.admin("/metrics")).text()
  expect(metrics).toMatch(/gatehouse_config_reloads_total\{result="rejected"\} [1-9]/)
  expect(metrics).toContain("gatehouse_config_generation 1")
})

test("a changed file is applied by itself, SIGHUP applies it too, and what needs a restart is named", async () => {
  const upstream = startUpstream(() => new Response("hello"))
  const gateway = await startGateway(config(upstream))
  const route = { path: "/new", respond: { body: "new" } }
  gateway.writeConfig(config(upstream, { routes: [route], server: { port: 1, drain_delay: "200ms" } }))
  await loggedTimes(gateway, "config.applied", 1)
  expect(await (await fetch(`${gateway.url}/new`)).text()).toBe("new")
  expect(events(gateway, "config.restart_needed")[0]!.settings).toEqual(["server.port"])
  gateway.signal("SIGHUP")
  await loggedTimes(gateway, "config.applied", 2)
})

test("the access log comes out as whole lines, also those of the last requests before the end", async () => {
  const upstream = startUpstream(() => new Response("hello"))
  const gateway = await startGateway(config(upstream, { defaults: { access_log: {} } }))
  const load = startLoad(gateway.url, 4)
  await until(() => load.total() > 300, "load")
  await load.stop()
  gateway.signal("SIGTERM")
  expect(await gateway.exited).toBe(0)
  await until(() => gateway.accessLog.length === load.total(), "every line")
  expect(gateway.errors).toEqual([])
})

test("a port held by another program: exit code 2 and a message that says which", async () => {
  const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() })
  upstreams.push(other)
  const { port } = other
  const server = await failedStart({ server: { port } })
  expect(server.code).toBe(2)
  expect(server.errors).toContain(`127.0.0.1:${port}: the port is taken by another program`)
  const admin = await failedStart({ admin: { port } })
  expect(admin.code).toBe(2)
  expect(admin.errors).toContain(`127.0.0.1:${port} for the admin API: the port is taken`)
})

test("an invalid config at start: exit code 1 and every problem", async () => {
  const { code, errors } = await failedStart({ routes: [{ path: "/", service: "nobody" }], color: 1 })
  expect(code).toBe(1)
  expect(errors).toContain("nobody")
  expect(errors).toContain("color")
})

test("without a configured token a random one is printed once and works", async () => {
  const gateway = await startGateway({ admin: { token: undefined } })
  const [line, ...more] = events(gateway, "admin.token")
  expect(more).toEqual([])
  const ask = (token: unknown) =>
    gateway.admin("/admin/v1/status", { headers: { authorization: `Bearer ${token}` } })
  expect((await ask(line!.token)).status).toBe(200)
  expect((await ask("0123456789abcdef")).status).toBe(401)
})

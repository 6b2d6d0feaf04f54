import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { startDnsServer } from "../support/dns_server.ts"
import { parseExposition, sampleValue } from "../support/exposition.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { openFiles } from "../support/proc.ts"
import { startRawLoad } from "../support/raw_load.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until, untilAsked } from "../support/until.ts"

/** How long Redis and the name server are away; `GATEHOUSE_AWAY_S=60` is the whole minute. */
const AWAY_MS = Number(process.env.GATEHOUSE_AWAY_S ?? 3) * 1000

setDefaultTimeout(40_000 + AWAY_MS)

const open: { stop(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop()
  await endGateways()
  await endRedis()
})

function startService(name: string, port = 0) {
  const counts = { checks: 0 }
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch(request) {
      if (request.url.endsWith("/health")) counts.checks++
      return new Response(name)
    },
  })
  open.push({ stop: () => server.stop(true) })
  return { port: server.port!, counts, stop: () => server.stop(true) }
}

async function registry(gateway: GatewayProcess, method: string, path: string, body?: object) {
  const init = { method, ...(body !== undefined && { body: JSON.stringify(body) }) }
  const response = await gateway.admin(`/admin/v1/registry/services${path}`, init)
  return (await response.json()) as { id: string }
}

const register = async (gateway: GatewayProcess, port: number, more: object = {}): Promise<string> =>
  (await registry(gateway, "POST", "", { service_name: "app", host: "127.0.0.1", port, ...more })).id

async function series(gateway: GatewayProcess): Promise<readonly string[]> {
  const text = await (await gateway.admin("/metrics")).text()
  return text.split("\n").filter((line) => line.includes("instance="))
}

test("[T-1.4] [F-38] [F-41] the registry's Redis and the name server are away: traffic goes on, and they are heard again", async () => {
  const redis = await startRedis()
  const dns = await startDnsServer()
  open.push({ stop: () => dns.close() })
  const [found, named] = [startService("found"), startService("named")]
  dns.records.set("named.test", [{ type: "A", address: "127.0.0.1", ttl: 1 }])
  const gateway = await startGateway({
    redis: redis.url,
    discovery: { allow: ["127.0.0.0/8"], dns_servers: [dns.address] },
    services: {
      app: { discover: { registry: true } },
      named: { discover: { dns: { name: "named.test", port: named.port } } },
    },
    routes: [
      { path: "/app", service: "app" },
      { path: "/named", service: "named" },
    ],
  })
  const beating = await register(gateway, found.port, { ttl: 5 })
  const load = [startRawLoad(gateway.port, 2, "/app"), startRawLoad(gateway.port, 2, "/named")]
  await until(() => load[0]!.answers.has("200 found") && load[1]!.answers.has("200 named"), "both services")
  for (const each of load) each.reset()

  await redis.kill()
  dns.mode = "fail"
  const awayAt = performance.now()
  await untilAsked(
    async () => {
      await registry(gateway, "PUT", `/app/instances/${beating}/heartbeat`)
      await Bun.sleep(250)
      return performance.now() - awayAt > AWAY_MS
    },
    "the outage to pass",
    AWAY_MS + 10_000,
  )
  expect(gateway.log.some(({ event }) => event === "discovery.failing")).toBe(true)
  await redis.start()
  dns.mode = "answer"
  await until(
    () => gateway.log.some(({ event }) => event === "discovery.recovered"),
    "the name server",
    35_000,
  )
  await untilAsked(
    async () => (await redis.client.hlen("{gatehouse:registry}:instances")) === 1,
    "Redis to be told again",
    10_000,
  )
  for (const each of load) await each.stop()
  for (const [i, name] of ["found", "named"].entries()) {
    expect([...load[i]!.answers.keys()]).toEqual([`200 ${name}`])
    expect(load[i]!.failures).toEqual([])
  }
})

test("[T-6.1] instances that leave, die and come back under load fail no request, and leave no check, series or socket", async () => {
  const ports = Array.from({ length: 40 }, () => startService("ok").port)
  for (const each of open.splice(0)) await each.stop()
  const services = ports.map((port) => startService("ok", port))
  const gateway = await startGateway({
    discovery: { allow: ["127.0.0.0/8"] },
    services: { app: { discover: { registry: true } } },
    routes: [{ path: "/", service: "app" }],
  })
  const check = { check_endpoint: "/health", check_interval: 1 }
  const ids = await Promise.all(ports.map((port) => register(gateway, port, check)))
  const before = { files: openFiles(gateway.pid) }
  const load = startRawLoad(gateway.port, 4)
  await untilAsked(async () => {
    load.reset()
    const asked = load.total() + 40
    await until(() => load.total() > asked, "traffic")
    return [...load.answers.keys()].join() === "200 ok"
  }, "all workers to know the instances")
  for (let move = 0; move < 60; move++) {
    const i = Math.floor(Math.random() * ports.length)
    if (move % 3 === 0) {
      // It dies, and is back at the same place.
      await services[i]!.stop()
      const asked = load.total() + 20
      await until(() => load.total() > asked, "traffic")
      services[i] = startService("ok", ports[i]!)
    } else {
      await registry(gateway, "DELETE", `/app/instances/${ids[i]}`)
      const asked = load.total() + 20
      await until(() => load.total() > asked, "traffic")
      ids[i] = await register(gateway, ports[i]!, check)
    }
  }
  await load.stop()
  expect([...load.answers.keys()]).toEqual(["200 ok"])
  expect(load.failures).toEqual([])

  for (const id of ids) await registry(gateway, "DELETE", `/app/instances/${id}`)
  await untilAsked(async () => (await series(gateway)).length === 0, "the series to be gone")
  const page = parseExposition(await (await gateway.admin("/metrics")).text())
  expect(sampleValue(page, "gatehouse_discovery_instances", { source: "registry" })).toBe(0)
  const checks = () => services.reduce((sum, { counts }) => sum + counts.checks, 0)
  const then = checks()
  await Bun.sleep(1500)
  expect(checks()).toBe(then)
  // Two workers keep some connections to each for a minute, in case it comes back.
  expect(openFiles(gateway.pid)).toBeLessThanOrEqual(before.files + 2 * 2 * ports.length)
})

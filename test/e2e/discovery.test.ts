import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type DnsServer, startDnsServer } from "../support/dns_server.ts"
import { parseExposition, sampleValue } from "../support/exposition.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

const open: { stop(): unknown }[] = []

afterEach(async () => {
  await endGateways()
  for (const each of open.splice(0)) await each.stop()
})

const LOOPBACK = { allow: ["127.0.0.0/8"] }

/** An instance that answers with its name; `gate`: what requests to /held wait for. */
function startInstance(name: string, gate?: Promise<void>) {
  const held: string[] = []
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    async fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname.endsWith("/held")) {
        held.push(pathname)
        await gate
      }
      return new Response(name)
    },
  })
  open.push({ stop: () => server.stop(true) })
  return { url: `http://127.0.0.1:${server.port}`, port: server.port!, held, stop: () => server.stop(true) }
}

const ask = async (gateway: GatewayProcess, path: string) => {
  const response = await fetch(gateway.url + path, { headers: { connection: "close" }, keepalive: false })
  return { status: response.status, text: await response.text() }
}

/** Waits until this many answers in a row are as told, so that every worker has heard. */
async function untilAnswers(gateway: GatewayProcess, path: string, wanted: string | number) {
  let row = 0
  await untilAsked(async () => {
    const { status, text } = await ask(gateway, path)
    row = status === wanted || text === wanted ? row + 1 : 0
    return row === 6
  }, `answers of ${wanted} to ${path}`)
}

function writeFile(directory: string, name: string, content: unknown): string {
  const path = join(directory, name)
  writeFileSync(`${path}.new`, typeof content === "string" ? content : JSON.stringify(content))
  renameSync(`${path}.new`, path)
  return path
}

async function metric(gateway: GatewayProcess, name: string, labels: Record<string, string>) {
  const page = parseExposition(await (await gateway.admin("/metrics")).text())
  return sampleValue(page, name, labels)
}

const FILE = {
  discovery: LOOPBACK,
  services: { app: { discover: { file: "app.yaml" } } },
  routes: [{ path: "/app/*", service: "app" }],
}

test("[T-1.4] [T-6.1] instances in a watched file come and go without a restart; a file with a mistake changes nothing", async () => {
  const one = startInstance("one")
  const two = startInstance("two")
  const gateway = await startGateway(FILE)
  expect((await ask(gateway, "/app/x")).status).toBe(503)
  writeFile(gateway.directory, "app.yaml", `- ${one.url}\n`)
  await untilAnswers(gateway, "/app/x", "one")
  writeFile(gateway.directory, "app.yaml", `- ${two.url}\n- not an address\n`)
  await until(() => gateway.log.some((line) => String(line.reason).includes("not an address")), "the refusal")
  await untilAnswers(gateway, "/app/x", "one")
  writeFile(gateway.directory, "app.yaml", { app: [{ url: two.url, weight: 3 }] })
  await untilAnswers(gateway, "/app/x", "two")
  expect(await metric(gateway, "gatehouse_discovery_instances", { source: "file" })).toBe(1)
  expect(
    await metric(gateway, "gatehouse_discovery_updates_total", { source: "file", result: "failed" }),
  ).toBeGreaterThan(0)
  // The move was not a reload.
  expect(await metric(gateway, "gatehouse_config_generation", {})).toBe(1)
})

test("[T-1.4] a link in place of the file, as Kubernetes mounts them, is followed when it is swapped", async () => {
  const one = startInstance("one")
  const two = startInstance("two")
  const gateway = await startGateway(FILE)
  const { directory } = gateway
  const swap = (target: string) => {
    symlinkSync(target, join(directory, "link.new"))
    renameSync(join(directory, "link.new"), join(directory, "app.yaml"))
  }
  swap(writeFile(directory, "v1.yaml", [one.url]))
  await untilAnswers(gateway, "/app/x", "one")
  swap(writeFile(directory, "v2.yaml", [two.url]))
  await untilAnswers(gateway, "/app/x", "two")
})

async function startDns(): Promise<DnsServer> {
  const server = await startDnsServer()
  open.push({ stop: () => server.close() })
  return server
}

test("[T-1.4] [F-38] instances of SRV records follow the name server, and traffic goes on while it is away", async () => {
  const one = startInstance("one")
  const two = startInstance("two")
  const dns = await startDns()
  const record = (port: number) => [
    { type: "SRV" as const, priority: 1, weight: 1, port, target: "host.test", ttl: 3600 },
  ]
  dns.records.set("host.test", [{ type: "A", address: "127.0.0.1", ttl: 3600 }])
  dns.records.set("_http._tcp.app.test", record(one.port))
  const gateway = await startGateway({
    discovery: { ...LOOPBACK, dns_servers: [dns.address] },
    services: {
      app: { discover: { dns: { name: "_http._tcp.app.test", type: "SRV", refresh: "1s" } } },
    },
    routes: [{ path: "/*", service: "app" }],
  })
  // Known at the first request: the start waits for it.
  expect(await ask(gateway, "/x")).toEqual({ status: 200, text: "one" })
  dns.records.set("_http._tcp.app.test", record(two.port))
  await untilAnswers(gateway, "/x", "two")
  dns.mode = "fail"
  await until(() => gateway.log.some(({ event }) => event === "discovery.failing"), "the failure")
  await untilAnswers(gateway, "/x", "two")
  dns.mode = "answer"
  dns.records.set("_http._tcp.app.test", record(one.port))
  await untilAnswers(gateway, "/x", "one")
})

test("[F-38] [F-69] a name server cannot lead the gateway to this machine or to metadata", async () => {
  const secret = startInstance("secret")
  const dns = await startDns()
  dns.records.set("app.test", [
    { type: "A", address: "127.0.0.1", ttl: 1 },
    { type: "A", address: "169.254.169.254", ttl: 1 },
  ])
  const gateway = await startGateway({
    discovery: { dns_servers: [dns.address] },
    services: { app: { discover: { dns: { name: "app.test", port: secret.port } } } },
    routes: [{ path: "/*", service: "app" }],
  })
  expect((await ask(gateway, "/x")).status).toBe(503)
  const refused = gateway.log.filter(({ event }) => event === "discovery.refused")
  expect(refused.map(({ instance }) => instance).sort()).toEqual([
    `http://127.0.0.1:${secret.port}`,
    `http://169.254.169.254:${secret.port}`,
  ])
})

test("[T-1.4] [T-6.1] a reload keeps what was found, and what is found keeps what was reloaded", async () => {
  const one = startInstance("one")
  const two = startInstance("two")
  const gateway = await startGateway(FILE)
  writeFile(gateway.directory, "app.yaml", [one.url])
  await untilAnswers(gateway, "/app/x", "one")
  gateway.writeConfig({ ...FILE, routes: [...FILE.routes, { path: "/new", respond: { body: "new" } }] })
  await untilAnswers(gateway, "/new", "new")
  await untilAnswers(gateway, "/app/x", "one")
  writeFile(gateway.directory, "app.yaml", [two.url])
  await untilAnswers(gateway, "/app/x", "two")
  await untilAnswers(gateway, "/new", "new")
  // One that is refused changes neither.
  gateway.writeConfig({ ...FILE, services: {} })
  await until(() => gateway.log.some(({ event }) => event === "config.rejected"), "the refusal")
  await untilAnswers(gateway, "/app/x", "two")
})

test("[T-6.1] a draining instance finishes what it has, shown in flight, and gets nothing new; then it is back", async () => {
  const gate = Promise.withResolvers<void>()
  const one = startInstance("one", gate.promise)
  const two = startInstance("two")
  const gateway = await startGateway(FILE)
  writeFile(gateway.directory, "app.yaml", [one.url])
  await untilAnswers(gateway, "/app/x", "one")
  const held = ask(gateway, "/app/held")
  await until(() => one.held.length === 1, "the request in flight")
  writeFile(gateway.directory, "app.yaml", [{ url: one.url, draining: true }, two.url])
  await untilAnswers(gateway, "/app/x", "two")
  const { services } = (await (await gateway.admin("/admin/v1/status")).json()) as {
    services: { instances: { url: string; draining: boolean; inFlight: number; source: string }[] }[]
  }
  expect(services[0]!.instances.find(({ url }) => url === one.url)).toMatchObject({
    draining: true,
    inFlight: 1,
    source: "file",
  })
  expect(await metric(gateway, "gatehouse_instance_draining", { service: "app", instance: one.url })).toBe(1)
  const health = (await (await fetch(`${gateway.url}/health/dependencies`)).json()) as {
    status: string
    services: { app: { instances: { draining?: boolean }[] } }
  }
  expect(health.services.app.instances.filter(({ draining }) => draining).length).toBe(1)
  expect(health.status).toBe("healthy")
  gate.resolve()
  expect(await held).toEqual({ status: 200, text: "one" })
  writeFile(gateway.directory, "app.yaml", [one.url])
  await untilAnswers(gateway, "/app/x", "one")
})

test("[T-6.5] [C-8.8] [C-8.6] what a service depends on decides its health, and 503s name the chain that failed", async () => {
  const gateway = await startGateway({
    services: {
      store: {
        instances: ["http://127.0.0.1:9"],
        health: { path: "/", interval: "200ms", timeout: "100ms", unhealthy_after: 1 },
      },
      model: { instances: [startInstance("model").url], depends_on: [{ service: "store" }] },
      story: {
        instances: ["http://127.0.0.1:9"],
        health: { path: "/", interval: "200ms", timeout: "100ms", unhealthy_after: 1 },
        panic_threshold: 0,
        depends_on: [{ service: "model" }],
      },
      extra: {
        instances: [startInstance("extra").url],
        depends_on: [{ service: "store", kind: "soft" }],
      },
    },
    routes: ["story", "model", "extra"].map((service) => ({ path: `/${service}/*`, service })),
  })
  await until(
    () => gateway.log.some(({ event, service }) => event === "service.down" && service === "story"),
    "the event",
  )
  const health = (await (await fetch(`${gateway.url}/health/dependencies`)).json()) as {
    status: string
    services: Record<string, { status: string; chain?: string[] }>
  }
  expect(health.status).toBe("down")
  const found = Object.entries(health.services).map(([name, { status, chain }]) => [name, status, chain])
  expect(found).toEqual([
    ["store", "down", undefined],
    ["model", "down", ["model", "store"]],
    ["story", "down", ["story", "model", "store"]],
    ["extra", "degraded", ["extra", "store"]],
  ])
  const refused = await ask(gateway, "/story/x")
  expect(refused.status).toBe(503)
  expect(JSON.parse(refused.text).error).toMatchObject({
    code: "SERVICE_UNAVAILABLE",
    details: { chain: ["story", "model", "store"] },
  })
  // It answers by itself, so it is asked.
  expect(await ask(gateway, "/model/x")).toEqual({ status: 200, text: "model" })
  const events = gateway.log.filter(({ event }) => String(event).startsWith("service."))
  expect(events.find(({ service }) => service === "model")!.chain).toEqual(["model", "store"])
  expect(await metric(gateway, "gatehouse_service_status", { service: "model" })).toBe(2)
  expect(
    await metric(gateway, "gatehouse_service_events_total", { service: "extra", event: "degraded" }),
  ).toBe(1)
})

test("[T-6.3] [T-6.4] instances and services that leave and come back are told of, in the log and in metrics", async () => {
  const one = startInstance("one")
  const gateway = await startGateway(FILE)
  const told = (event: string, more: object = {}) =>
    gateway.log.some(
      (line) => line.event === event && Object.entries(more).every(([key, value]) => line[key] === value),
    )
  await until(() => told("service.down", { service: "app" }), "the service without instances")
  writeFile(gateway.directory, "app.yaml", [one.url])
  await until(() => told("service.recovered", { service: "app" }), "its recovery")
  await until(() => told("instance.up", { instance: one.url, why: "joined" }), "the instance")
  writeFile(gateway.directory, "app.yaml", [])
  await until(() => told("instance.down", { instance: one.url, why: "left" }), "its end")
  expect(await metric(gateway, "gatehouse_instance_events_total", { service: "app", event: "up" })).toBe(1)
  expect(
    await metric(gateway, "gatehouse_service_events_total", { service: "app", event: "recovered" }),
  ).toBe(1)
})

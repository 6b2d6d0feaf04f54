import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { endRedis, type RedisServer, startRedis } from "../support/redis.ts"
import { cliOf } from "../support/registry_client.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(60_000)

const servers: Bun.Server<undefined>[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true)
  await endGateways()
  await endRedis()
})

/** What an operator and a service may count on; a busy machine has some more for itself. */
const WITHIN_MS = 1000
const SLACK_MS = 1500

function startService(name: string): number {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(name) })
  servers.push(server)
  return server.port!
}

const start = (redis: RedisServer, more: object = {}) =>
  startGateway({
    ...more,
    redis: redis.url,
    server: { workers: 1 },
    discovery: { routes: "/api/v1/{service}/*", allow: ["127.0.0.1"] },
  })

async function ask(gateway: GatewayProcess, method: string, path: string, body?: object): Promise<Response> {
  return gateway.admin(`/admin/v1/registry/services${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
}

async function register(gateway: GatewayProcess, port: number, more: object = {}): Promise<string> {
  const body = { service_name: "context", host: "127.0.0.1", port, ttl: 5, ...more }
  const response = await ask(gateway, "POST", "", body)
  return ((await response.json()) as { id: string }).id
}

async function asked(gateway: GatewayProcess): Promise<string> {
  const response = await fetch(`${gateway.url}/api/v1/context/x`)
  const text = await response.text()
  return response.status === 200 ? text : String(response.status)
}

/** How long it takes until the condition holds. */
async function took(condition: () => Promise<boolean>, what: string): Promise<number> {
  const began = performance.now()
  await untilAsked(condition, what)
  return performance.now() - began
}

test("[T-1.4] [T-6.1] what one gateway is told the other serves within a second: registration, draining, leaving", async () => {
  const redis = await startRedis()
  const [a, b] = await Promise.all([start(redis), start(redis)])
  const id = await register(a, startService("one"), { check_endpoint: "/", ttl: 3600 })
  const registered = await took(async () => (await asked(b)) === "one", "the service at the other gateway")
  const other = await register(b, startService("other"), { ttl: 3600 })
  await untilAsked(async () => (await asked(a)) === "other", "the other service")

  const said = await cliOf(b, "drain", "context", id)
  expect(said.code).toBe(0)
  const drained = await took(async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => asked(a)))
    return all.every((each) => each === "other")
  }, "the instance to get nothing new at the other gateway")

  await ask(a, "DELETE", `/context/instances/${other}`)
  const left = await took(
    async () => (await ask(b, "GET", `/context/instances/${other}`)).status === 404,
    "the instance to be gone at the other gateway",
  )
  for (const ms of [registered, drained, left]) expect(ms).toBeLessThan(WITHIN_MS + SLACK_MS)
})

test("[T-6.3] an instance drained at one gateway alone shows at the other within a second, which goes on using it", async () => {
  const redis = await startRedis()
  const port = startService("one")
  const config = {
    services: { context: { instances: [`http://127.0.0.1:${port}`] } },
    routes: [{ path: "/api/v1/context/*", service: "context" }],
  }
  const [a, b] = await Promise.all([start(redis, config), start(redis, config)])
  await untilAsked(async () => {
    const { services } = (await (await b.admin("/admin/v1/status")).json()) as {
      services: { elsewhere: { gateways: number } }[]
    }
    return services[0]!.elsewhere.gateways === 1
  }, "the other gateway to be heard of")
  const said = await cliOf(a, "drain", "context", `127.0.0.1:${port}`)
  expect(said.out).toContain("by this gateway")
  const shown = await took(
    async () => (await cliOf(b, "services")).out.includes("draining at 1 of 1"),
    "the other's draining to show",
  )
  expect(shown).toBeLessThan(WITHIN_MS + SLACK_MS)
  expect(await asked(b)).toBe("one")
})

test("[T-1.4] an instance whose heartbeats end leaves all gateways; those heard of by any stay", async () => {
  const redis = await startRedis()
  const [a, b] = await Promise.all([start(redis), start(redis)])
  const silent = await register(a, 8001)
  const kept = await register(a, 8002)
  await until(() => b.log.filter(({ event }) => event === "registry.registered").length === 2, "both")
  const known = async (gateway: GatewayProcess, id: string) =>
    (await ask(gateway, "GET", `/context/instances/${id}`)).status === 200
  await untilAsked(
    async () => {
      // By turns, as a load balancer would.
      await ask(a, "PUT", `/context/instances/${kept}/heartbeat`)
      await ask(b, "PUT", `/context/instances/${kept}/heartbeat`)
      return !(await known(a, silent)) && !(await known(b, silent))
    },
    "the silent one to leave",
    20_000,
  )
  expect(await known(a, kept)).toBe(true)
  expect(await known(b, kept)).toBe(true)
  expect(a.log.filter(({ event }) => event === "registry.expired")).toHaveLength(1)
})

test("[T-1.4] a gateway that starts anew knows who is there before it answers, and Redis away costs nothing", async () => {
  const redis = await startRedis()
  const a = await start(redis)
  const id = await register(a, startService("one"))
  await untilAsked(async () => (await asked(a)) === "one", "the service")
  await untilAsked(
    async () => (await redis.client.hlen("{gatehouse:registry}:instances")) === 1,
    "Redis to know",
  )
  const b = await start(redis)
  expect(await asked(b)).toBe("one")

  redis.signal("SIGSTOP")
  await until(() => a.log.some(({ event }) => event === "redis.unavailable"), "Redis to be away")
  expect((await ask(a, "PUT", `/context/instances/${id}/heartbeat`)).status).toBe(200)
  expect(await asked(a)).toBe("one")
  expect(await asked(b)).toBe("one")
  const later = await register(a, startService("two"))
  redis.signal("SIGCONT")
  await untilAsked(
    async () => (await ask(b, "GET", `/context/instances/${later}`)).status === 200,
    "what came in the meantime",
  )
})

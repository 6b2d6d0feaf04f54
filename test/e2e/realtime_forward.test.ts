import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { parseExposition, sampleValue } from "../support/exposition.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { openRealtime } from "../support/realtime_client.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)
const services: Bun.Server<undefined>[] = []
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop(true)
  await endGateways()
  await endRedis()
})

interface Delivery {
  readonly key: string
  readonly headers: Headers
  readonly body: {
    readonly channel: string
    readonly offset: number
    readonly user: { id: string }
    data: number
  }
}

/** A service that keeps what it is sent, and answers with a text; it can die and return at the same port. */
function startService() {
  const got: Delivery[] = []
  const serve = (port: number) => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port,
      development: false,
      async fetch(request) {
        const body = (await request.json()) as Delivery["body"]
        got.push({ key: request.headers.get("idempotency-key") ?? "", headers: request.headers, body })
        return new Response("thank you")
      },
    })
    services.push(server)
    return server
  }
  let server = serve(0)
  const port = server.port!
  return {
    got,
    url: `http://127.0.0.1:${port}`,
    keys: () => new Set(got.map(({ key }) => key)),
    die: () => server.stop(true),
    comeBack: () => {
      server = serve(port)
    },
  }
}

const config = (url: string, forward: object = {}) => ({
  server: { workers: 2 },
  auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
  services: { hook: { instances: [url] } },
  realtime: {
    rate: "1000/s",
    namespaces: {
      session: { subscribe: {}, publish: {}, forward: { service: "hook", path: "/messages", ...forward } },
    },
  },
})

const connect = ({ port }: GatewayProcess, id: string) =>
  openRealtime(`ws://127.0.0.1:${port}/api/v1/realtime`, {
    authorization: `Bearer ${accessToken({ id, tokenId: `token-${id}` })}`,
  })

const publish = (data: number) => ({ type: "publish", channel: "session:1", data })

test("[T-3.4 F-70] of two gateways with one Redis each forwards what it accepted, once, also when the service dies and returns", async () => {
  const service = startService()
  const redis = await startRedis()
  const settings = { ...config(service.url), redis: redis.url }
  const gateways = await Promise.all([startGateway(settings), startGateway(settings)])
  const [ada, bob] = [await connect(gateways[0]!, "ada"), await connect(gateways[1]!, "bob")]
  const both = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) {
      const { error } = await (n % 2 === 0 ? ada : bob).ask(publish(n))
      expect(error).toBeUndefined()
    }
  }
  await both(0, 20)
  await until(() => service.got.length === 20, "the first messages")
  await service.die()
  await both(20, 40)
  service.comeBack()
  await until(() => service.keys().size === 40, "all messages")
  expect(service.got.map(({ body }) => body.offset).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 40 }, (_, n) => n + 1),
  )
  for (const user of ["ada", "bob"]) {
    const own = service.got.filter(({ body }) => body.user.id === user).map(({ body }) => body.data)
    expect(own).toEqual([...own].sort((a, b) => a - b))
    expect(own).toHaveLength(20)
  }
  const { headers, body, key } = service.got[0]!
  expect(headers.get("x-gatehouse-channel")).toBe("session:1")
  expect(headers.get("x-gatehouse-user")).toBe("ada")
  expect(key).toBe(`${headers.get("x-gatehouse-epoch")}-${body.offset}`)
  const counted = async (name: string, result: object) => {
    const pages = await Promise.all(gateways.map(async (each) => (await each.admin("/metrics")).text()))
    return pages
      .map((page) => sampleValue(parseExposition(page), name, { namespace: "session", ...result }) ?? 0)
      .reduce((sum, each) => sum + each, 0)
  }
  await untilAsked(
    async () => (await counted("gatehouse_realtime_forwards_total", { result: "delivered" })) === 40,
    "the count",
  )
  expect(await counted("gatehouse_realtime_forwards_total", { result: "retried" })).toBeGreaterThanOrEqual(2)
  expect(await counted("gatehouse_realtime_forward_queue", {})).toBe(0)
})

test("what came by HTTP keeps its request id on the way to the service", async () => {
  const service = startService()
  const gateway = await startGateway({
    ...config(service.url, { from: "everybody" }),
    defaults: { request_id: {} },
  })
  const token = accessToken({ id: "backend", scopes: ["realtime:publish"] })
  const response = await fetch(`${gateway.url}/api/v1/realtime/channels/session:1/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ data: 1 }),
  })
  expect(response.status).toBe(200)
  await until(() => service.got.length === 1, "the message")
  expect(service.got[0]!.headers.get("x-request-id")).toBe(response.headers.get("x-request-id")!)
})

test("a gateway that is told to end delivers what waits first, if the service returns in time", async () => {
  const service = startService()
  const gateway = await startGateway(config(service.url))
  const ada = await connect(gateway, "ada")
  await service.die()
  for (let n = 0; n < 3; n++) await ada.ask(publish(n))
  gateway.signal("SIGTERM")
  await until(() => gateway.log.some(({ event }) => event === "gateway.stopping"), "the signal")
  service.comeBack()
  expect(await gateway.exited).toBe(0)
  expect(service.got.map(({ body }) => body.data)).toEqual([0, 1, 2])
  expect(gateway.log.filter(({ event }) => event === "realtime.not_forwarded")).toEqual([])
})

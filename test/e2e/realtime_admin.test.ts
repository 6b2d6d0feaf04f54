import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { openRealtime } from "../support/realtime_client.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

const NAMESPACES = {
  session: { subscribe: {}, publish: {} },
  small: { subscribe: {}, max_message: "100B" },
  hooked: { subscribe: {}, forward: { service: "hook", path: "/", from: "everybody" } },
  clients: { subscribe: {}, forward: { service: "hook", path: "/" } },
}

const forwarded: { channel: string; user: unknown }[] = []
const hook = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  async fetch(request) {
    forwarded.push((await request.json()) as { channel: string; user: unknown })
    return new Response()
  },
})

let gateway: GatewayProcess
beforeAll(async () => {
  gateway = await startGateway({
    server: { workers: 3 },
    auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
    store: "sqlite:./gatehouse.db",
    services: { hook: { instances: [hook.url.origin] } },
    realtime: { namespaces: NAMESPACES, max_connections_per_user: 100 },
  })
})
afterAll(async () => {
  await endGateways()
  await hook.stop(true)
})

const LIST = "/admin/v1/realtime/channels"

async function list(query: string) {
  const response = await gateway.admin(`${LIST}${query}`)
  expect(response.status).toBe(200)
  return (await response.json()) as {
    channels: { channel: string; namespace: string; subscribers: number; position: object }[]
    next_cursor: string | null
  }
}

const publish = (channel: string, body: object, headers: Record<string, string> = {}) =>
  gateway.admin(`${LIST}/${channel}/messages`, { method: "POST", headers, body: JSON.stringify(body) })

async function subscribe(...names: readonly string[]) {
  const client = await openRealtime(`ws://127.0.0.1:${gateway.port}/api/v1/realtime`, {
    authorization: `Bearer ${accessToken({ id: "ada" })}`,
  })
  for (const channel of names)
    expect((await client.ask({ type: "subscribe", channel })).error).toBeUndefined()
  return client
}

test("operators see which channels have how many subscribers on all workers, page by page", async () => {
  const numbers = Array.from({ length: 7 }, (_, n) => `session:page${n}`)
  const clients = await Promise.all(Array.from({ length: 6 }, () => subscribe(...numbers)))
  await clients[0]!.ask({ type: "publish", channel: numbers[3]!, data: 1 })
  const seen: { channel: string; subscribers: number }[] = []
  let cursor: string | null = null
  let pages = 0
  do {
    const after = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`
    const page = await list(`?prefix=session:page&limit=3${after}`)
    seen.push(...page.channels)
    cursor = page.next_cursor
    pages++
  } while (cursor !== null)
  expect(pages).toBe(3)
  expect(seen).toMatchObject(numbers.map((channel) => ({ channel, namespace: "session", subscribers: 6 })))
  expect(seen[3]).toMatchObject({ position: { offset: 1, epoch: expect.any(String) } })
  for (const client of clients) client.close()
  await untilAsked(async () => (await list("?prefix=session:page")).channels.length === 0, "the ends")
})

test("readers of server-sent events count as subscribers", async () => {
  const stop = new AbortController()
  const response = await fetch(`${gateway.url}/api/v1/realtime/sse?channel=session:sse`, {
    headers: { authorization: `Bearer ${accessToken({ id: "bob" })}` },
    signal: stop.signal,
  })
  expect(response.status).toBe(200)
  expect((await list("?prefix=session:sse")).channels).toMatchObject([{ subscribers: 1 }])
  stop.abort()
})

test("what an operator publishes reaches the subscribers, once a key, and is on record", async () => {
  const client = await subscribe("session:op")
  const headers = { "idempotency-key": "k1" }
  const first = await publish("session:op", { data: { text: "maintenance at 5" } }, headers)
  expect(first.status).toBe(200)
  const { position } = (await first.json()) as { position: { epoch: string; offset: number } }
  expect(position.offset).toBe(1)
  const again = await publish("session:op", { data: { text: "maintenance at 5" } }, headers)
  expect(await again.json()).toEqual({ position, duplicate: true })
  await until(() => client.of("publication").length === 1, "the message")
  expect(client.of("publication")[0]).toEqual({
    push: "publication",
    channel: "session:op",
    offset: 1,
    data: { text: "maintenance at 5" },
  })
  const audit = await gateway.admin("/admin/v1/audit")
  expect(await audit.text()).toContain("realtime.publish")
  client.close()
})

test("messages of operators are forwarded where everybody's are", async () => {
  await publish("clients:1", { data: 1 })
  await publish("hooked:1", { data: 2 })
  await until(() => forwarded.length > 0, "the message")
  expect(forwarded).toMatchObject([{ channel: "hooked:1", user: null }])
})

test.each([
  ["other:1", { data: 1 }, {}, 404],
  ["session:1", {}, {}, 422],
  ["session:1", { data: 1, more: 1 }, {}, 422],
  ["session:1", { data: 1 }, { "idempotency-key": "a b" }, 400],
  ["small:1", { data: "x".repeat(100) }, {}, 413],
  ["session:1%0A", { data: 1 }, {}, 404],
] as const)("publishing on %s as %j with %j is answered with %d", async (channel, body, headers, status) => {
  expect((await publish(channel, body, headers)).status).toBe(status)
})

test("the list refuses what it does not know, and everything needs the token of operators", async () => {
  for (const query of ["?limit=0", "?limit=201", "?cursor=a%20b", "?prefix=%2F", "?page=2"])
    expect((await gateway.admin(`${LIST}${query}`)).status).toBe(422)
  for (const [path, method] of [
    [LIST, "GET"],
    [`${LIST}/session:1/messages`, "POST"],
  ] as const) {
    const body = method === "POST" ? JSON.stringify({ data: 1 }) : null
    const headers = { authorization: `Bearer ${accessToken({ id: "ada", scopes: ["realtime:publish"] })}` }
    expect((await gateway.admin(path, { method, headers, body })).status).toBe(401)
  }
})

test("without a section `realtime` there is nothing to list", async () => {
  const bare = await startGateway({ server: { workers: 1 } })
  expect((await bare.admin(LIST)).status).toBe(409)
})

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { connect, type SafetyEvent } from "../../src/client/connect.ts"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { openRealtime } from "../support/realtime_client.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { sqliteUrl } from "../support/store_urls.ts"
import { until, untilAsked } from "../support/until.ts"
import { frame, OPCODE, openRaw } from "../support/ws_raw.ts"

setDefaultTimeout(30_000)
const services: { stop(force: boolean): unknown }[] = []
/** For tests that need no gateway of their own. */
let gateway: GatewayProcess
beforeAll(async () => {
  gateway = await startGateway(config())
})
afterAll(async () => {
  for (const service of services.splice(0)) service.stop(true)
  await endGateways()
  await endRedis()
})

const EVENTS = "/api/v1/safety/events"
const NAMESPACES = {
  chat: {
    subscribe: {},
    publish: {},
    messages: {
      rules: [
        {
          name: "harm",
          phrases: ["end my life"],
          actions: ["escalate"],
          category: "self_harm",
          severity: "critical",
        },
      ],
    },
  },
  safety: { subscribe: { roles: ["clinician"] } },
  user: { subscribe: { when: "key == principal.id" } },
}
const config = (more: object = {}, realtime: object = {}) => ({
  server: { workers: 2 },
  auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
  realtime: { namespaces: NAMESPACES, ...realtime },
  safety: { events: { roles: ["clinician"], channels: ["safety:clinicians", "user:{user}"] } },
  ...more,
})

const bearer = (id: string, more: object = {}) => ({
  authorization: `Bearer ${accessToken({ id, tokenId: `token-${id}`, ...more })}`,
})
const MONITOR = bearer("monitor", { kind: "service", scopes: ["safety:report"] })
const urlOf = ({ port }: GatewayProcess) => `ws://127.0.0.1:${port}/api/v1/realtime`
const REPORT = { category: "self_harm", severity: "critical", user: "ada", message: "secret words" }

async function post(gateway: GatewayProcess, body: unknown, headers: Record<string, string> = MONITOR) {
  const text = typeof body === "string" ? body : JSON.stringify(body)
  const response = await fetch(gateway.url + EVENTS, { method: "POST", body: text, headers })
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for.
  return { status: response.status, body: (await response.json()) as any }
}

/** A service that keeps what it is sent. */
function startService(port = 0) {
  const got: { path: string; key: string | null; event: Record<string, unknown> }[] = []
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    async fetch(request) {
      const { pathname } = new URL(request.url)
      const event = (await request.json()) as Record<string, unknown>
      got.push({ path: pathname, key: request.headers.get("idempotency-key"), event })
      return new Response("taken")
    },
  })
  services.push(server)
  return { got, server, port: server.port! }
}

const safetyOf = (client: { readonly of: (name: "safety") => readonly { readonly id: string }[] }) =>
  client.of("safety").map(({ id }) => id)

test("[T-3.4] nobody reports events but callers with the scope or a role of config", async () => {
  expect((await post(gateway, REPORT, {})).status).toBe(401)
  expect((await post(gateway, REPORT, { authorization: "Bearer nonsense" })).status).toBe(401)
  const denied = await post(gateway, REPORT, bearer("ada", { roles: ["patient"], scopes: ["read", "write"] }))
  expect([denied.status, denied.body.error.code]).toEqual([403, "FORBIDDEN"])
  expect((await post(gateway, REPORT, bearer("doc", { roles: ["clinician"] }))).status).toBe(202)
  const { status, body } = await post(gateway, REPORT)
  expect(status).toBe(202)
  expect(body).toEqual({ id: expect.stringMatching(/^[\w-]{16,}$/), duplicate: false })
  expect((await fetch(gateway.url + EVENTS, { headers: MONITOR })).status).toBe(405)
})

test("[T-3.4] hostile reports are refused, and the event reaches nobody", async () => {
  const ada = await openRealtime(urlOf(gateway), bearer("ada"))
  await ada.ask({ type: "ping" })
  const wrong: readonly (readonly [unknown, number])[] = [
    ["", 400],
    ["{", 400],
    ['{"__proto__":{"x":1}}', 400],
    [`${"[".repeat(100)}${"]".repeat(100)}`, 400],
    [[], 422],
    [{}, 422],
    [{ ...REPORT, severity: "huge" }, 422],
    [{ ...REPORT, category: "Bad Category\r\n" }, 422],
    [{ ...REPORT, user: "" }, 422],
    [{ ...REPORT, user: 7 }, 422],
    // What a store could not keep, so that there would be no record.
    [{ ...REPORT, user: "a\u0000" }, 422],
    [{ ...REPORT, session: "\ud83d" }, 422],
    [{ ...REPORT, more: 1 }, 422],
    [{ ...REPORT, details: { a: "x".repeat(9000) } }, 422],
    [{ ...REPORT, message: "x".repeat(9000) }, 422],
    [{ ...REPORT, message: "x".repeat(70_000) }, 413],
  ]
  for (const [body, status] of wrong)
    expect([JSON.stringify(body).slice(0, 60), (await post(gateway, body)).status]).toEqual([
      JSON.stringify(body).slice(0, 60),
      status,
    ])
  const badKey = { ...MONITOR, "idempotency-key": "x".repeat(200) }
  expect((await post(gateway, REPORT, badKey)).status).toBe(400)
  const missing = await post(gateway, { severity: "low" })
  expect(missing.body.error.details.errors).toEqual([{ field: "/category", message: "is required" }])
  expect(ada.of("safety")).toEqual([])
})

test("[T-3.4] an event reaches the user, the clinicians and the service at once, over both workers, and is on record", async () => {
  const { got, port } = startService()
  const gateway = await startGateway(
    config({
      store: sqliteUrl(),
      services: { crisis: { instances: [`http://127.0.0.1:${port}`] } },
      safety: {
        events: { channels: ["safety:clinicians"], service: { service: "crisis", path: "/v1/crisis" } },
      },
    }),
  )
  const users = await Promise.all(
    Array.from({ length: 6 }, () => openRealtime(urlOf(gateway), bearer("ada"))),
  )
  const doc = await openRealtime(urlOf(gateway), bearer("doc", { roles: ["clinician"] }))
  const bob = await openRealtime(urlOf(gateway), bearer("bob"))
  await Promise.all([...users, bob].map((each) => each.ask({ type: "ping" })))
  await doc.ask({ type: "subscribe", channel: "safety:clinicians" })
  const { id } = (await post(gateway, { ...REPORT, details: { helpline: "988" } })).body
  await until(() => [...users, doc].every((each) => each.of("safety").length === 1), "the pushes")
  await until(() => doc.of("publication").length === 1 && got.length === 1, "the rest")
  expect(users[0]!.of("safety")[0]).toMatchObject({ id, details: { helpline: "988" }, source: "api" })
  expect(doc.of("publication")[0]!.data).toMatchObject({ safety: { id } })
  expect(got[0]).toMatchObject({
    path: "/v1/crisis",
    key: id,
    event: { ...REPORT, id, source: "api", details: { helpline: "988" } },
  })
  expect(bob.of("safety")).toEqual([])
  const events = (await (await gateway.admin("/admin/v1/events?kind=safety")).json()) as {
    events: { type: string; payload: object }[]
  }
  expect(events.events).toMatchObject([
    {
      type: "safety.event",
      payload: { id, category: "self_harm", severity: "critical", source: "api", user: "ada" },
    },
  ])
  const audit = await (await gateway.admin("/admin/v1/audit?action=safety.raise")).text()
  expect(audit).toContain(id)
  const page = await (await gateway.admin("/metrics")).text()
  expect(page).toContain('gatehouse_safety_events_total{severity="critical",source="api"} 1')
  expect(page).toContain('gatehouse_safety_deliveries_total{to="service",result="delivered"} 1')
  // What was said is told to the service and to nobody else.
  const told = [
    JSON.stringify(gateway.log),
    JSON.stringify(events),
    audit,
    page,
    JSON.stringify(doc.pushes()),
  ]
  expect(told.join()).not.toContain("secret words")
})

test("[T-3.4] a repeated Idempotency-Key of the same caller is the same event, of another caller another", async () => {
  const ada = await openRealtime(urlOf(gateway), bearer("ada"))
  await ada.ask({ type: "ping" })
  const key = { "idempotency-key": "k-1" }
  const answers = []
  for (let i = 0; i < 5; i++) answers.push((await post(gateway, REPORT, { ...MONITOR, ...key })).body)
  const { id } = answers[0]
  expect(answers).toEqual([{ id, duplicate: false }, ...Array(4).fill({ id, duplicate: true })])
  const other = await post(gateway, REPORT, { ...bearer("doc", { roles: ["clinician"] }), ...key })
  expect(other.body.duplicate).toBe(false)
  await until(() => ada.of("safety").length >= 2, "both")
  expect(safetyOf(ada)).toEqual([id, other.body.id])
})

test("[T-3.4] what a client writes escalates: its message is published, and the people responsible hear of it", async () => {
  const ada = await openRealtime(urlOf(gateway), bearer("ada"))
  const doc = await openRealtime(urlOf(gateway), bearer("doc", { roles: ["clinician"] }))
  await doc.ask({ type: "subscribe", channel: "safety:clinicians" })
  const sent = await ada.ask({ type: "publish", channel: "chat:7", data: { text: "I want to end my life." } })
  expect(sent.error).toBeUndefined()
  await until(() => doc.of("safety").length === 1, "the push")
  expect(doc.of("safety")[0]).toMatchObject({
    category: "self_harm",
    severity: "critical",
    user: "ada",
    channel: "chat:7",
    source: "policy:rules",
    details: { rules: ["harm"] },
  })
  // The same by HTTP.
  const response = await fetch(`${gateway.url}/api/v1/realtime/channels/chat:7/messages`, {
    method: "POST",
    headers: bearer("ada"),
    body: JSON.stringify({ data: "END my life" }),
  })
  expect(response.status).toBe(200)
  await until(() => doc.of("safety").length === 2, "the second")
  const page = await (await gateway.admin("/metrics")).text()
  expect(page).toContain(
    'gatehouse_realtime_judged_total{namespace="chat",policy="rules",verdict="escalated"} 2',
  )
})

test("[T-3.4] readers without WebSocket hear of it, too: by an event, and by a poll that ends at once", async () => {
  const url = `${gateway.url}/api/v1/realtime`
  const headers = bearer("rosa")
  const report = { ...REPORT, user: "rosa" }
  const stream = await fetch(`${url}/sse?channel=user:rosa`, { headers })
  const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader()
  let heard = ""
  const readUntil = async (what: string) => {
    while (!heard.includes(what)) heard += (await reader.read()).value ?? ""
  }
  await readUntil("event: subscribed")
  const begin = (await (await fetch(`${url}/poll?channel=chat:9`, { headers })).json()) as { since: string }
  let polled: { safety?: { id: string }[]; publications: object[] } | undefined
  void (async () => {
    const answer = await fetch(`${url}/poll?channel=chat:9&since=${begin.since}&wait=20`, { headers })
    polled = (await answer.json()) as typeof polled
  })()
  const raised: string[] = []
  // Nobody tells when the poll has begun to wait.
  await untilAsked(async () => {
    raised.push((await post(gateway, report)).body.id)
    return polled !== undefined
  }, "the poll")
  expect(polled!.publications).toEqual([])
  expect(raised).toContain(polled!.safety![0]!.id)
  await readUntil(`"id":"${raised[0]}"`)
  expect(heard).toContain("event: safety")
  await reader.cancel()
})

test("[T-3.4] the client package tells its page", async () => {
  const token = () => accessToken({ id: "lin", tokenId: "token-lin" })
  const client = connect(urlOf(gateway), { token })
  const told: SafetyEvent[] = []
  client.on("safety", (event) => told.push(event))
  await new Promise((resolve) => client.on("connected", resolve))
  const { id } = (await post(gateway, { ...REPORT, user: "lin", details: { helpline: "988" } })).body
  await until(() => told.length > 0, "the event")
  expect(told).toEqual([
    {
      id,
      category: "self_harm",
      severity: "critical",
      user: "lin",
      details: { helpline: "988" },
      source: "api",
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    },
  ])
  client.close()
})

test("[T-3.4] a service that is down gets the event when it is back, and users do not wait for it", async () => {
  const { got, port, server } = startService()
  const gateway = await startGateway(
    config({
      services: { crisis: { instances: [`http://127.0.0.1:${port}`], retry: { attempts: 1 } } },
      safety: { events: { service: { service: "crisis" } } },
    }),
  )
  server.stop(true)
  const ada = await openRealtime(urlOf(gateway), bearer("ada"))
  await ada.ask({ type: "ping" })
  const { id } = (await post(gateway, REPORT)).body
  await until(() => ada.of("safety").length === 1, "the push")
  await until(() => gateway.log.some(({ event }) => event === "safety.delayed"), "the failure")
  expect(got).toEqual([])
  const back = startService(port)
  await until(() => back.got.length > 0, "the delivery", 15_000)
  expect(back.got[0]).toMatchObject({ path: "/safety/events", key: id })
})

test("[T-3.4] a client that reads slowly gets the event before nearly all of the 10,000 messages queued before it", async () => {
  const gateway = await startGateway(
    config({ server: { workers: 1 } }, { max_buffered: "8MB", rate: "100000/s" }),
  )
  const slow = await openRaw(
    gateway.port,
    "/api/v1/realtime",
    `Authorization: ${bearer("ada").authorization}\r\n`,
  )
  slow.socket.write(frame(OPCODE.TEXT, '{"id":1,"type":"subscribe","channel":"chat:1"}'))
  await until(() => slow.frames.length === 1, "the subscription")
  slow.socket.pause()
  const bob = await openRealtime(urlOf(gateway), bearer("bob"))
  const data = "x".repeat(700)
  const total = 10_000
  for (let from = 0; from < total; from += 50) {
    const batch = Array.from({ length: 50 }, (_, i) => ({
      id: 10_000 + from + i,
      type: "publish",
      channel: "chat:1",
      data,
    }))
    bob.raw(JSON.stringify(batch))
    await bob.reply(10_000 + from + 49)
  }
  const { id } = (await post(gateway, REPORT)).body
  slow.socket.resume()
  const texts = () => slow.frames.filter(({ opcode }) => opcode === OPCODE.TEXT)
  let seen = 0
  await until(
    () => {
      for (; seen < slow.frames.length; seen++) {
        const { opcode, payload } = slow.frames[seen]!
        if (opcode === OPCODE.PING) slow.socket.write(frame(OPCODE.PONG, payload))
      }
      return texts().length === total + 2 || slow.state.closed
    },
    "all of it",
    15_000,
  )
  const pushes = texts()
    .slice(1)
    .map(({ payload }) => JSON.parse(payload.toString()) as { push: string; id?: string; offset?: number })
  const at = pushes.findIndex(({ push }) => push === "safety")
  expect(pushes[at]!.id).toBe(id)
  const offsets = pushes.filter(({ push }) => push === "publication").map(({ offset }) => offset)
  expect(offsets).toEqual(Array.from({ length: total }, (_, i) => i + 1))
  // What was on its way already cannot be overtaken; that is half a megabyte or so.
  expect(at).toBeLessThan(1500)
  slow.socket.destroy()
})

test("[T-3.4] two gateways: users hear of it at the other one, once, also if Redis was away meanwhile", async () => {
  const redis = await startRedis()
  const [one, two] = await Promise.all([
    startGateway(config({ redis: redis.url })),
    startGateway(config({ redis: redis.url })),
  ])
  const [here, there] = await Promise.all([
    openRealtime(urlOf(one!), bearer("ada")),
    openRealtime(urlOf(two!), bearer("ada")),
  ])
  await Promise.all([here, there].map((each) => each.ask({ type: "ping" })))
  const key = { ...MONITOR, "idempotency-key": "k" }
  const { id } = (await post(one!, REPORT, key)).body
  await until(() => there.of("safety").length === 1, "the push at the other")
  // The client tries again, and comes to the other gateway.
  expect((await post(two!, REPORT, key)).body).toEqual({ id, duplicate: true })
  await redis.kill()
  const later = (await post(one!, REPORT)).body
  await until(() => here.of("safety").length === 2, "the push here")
  expect(safetyOf(there)).toEqual([id])
  await redis.start()
  await until(() => there.of("safety").length === 2, "the push there", 15_000)
  expect(safetyOf(there)).toEqual([id, later.id])
  expect(safetyOf(here)).toEqual([id, later.id])
})

test("[T-3.4] the API reference has the endpoint, and a reload may take it away", async () => {
  const gateway = await startGateway(config())
  const paths = async () =>
    ((await (await fetch(`${gateway.url}/docs/json`)).json()) as { paths: Record<string, object> }).paths
  expect((await paths())[EVENTS]).toMatchObject({ post: { summary: "Report a safety event" } })
  gateway.writeConfig(
    config({ safety: undefined, realtime: { namespaces: { user: NAMESPACES.user } }, admin: undefined }),
  )
  await untilAsked(async () => (await paths())[EVENTS] === undefined, "the reload")
  expect((await post(gateway, REPORT)).status).toBe(404)
})

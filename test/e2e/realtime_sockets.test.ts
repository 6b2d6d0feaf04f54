import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { PasswordHasher } from "../../src/identity/passwords.ts"
import { accessToken } from "../support/access_token.ts"
import { PASSWORD } from "../support/accounts.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { openRealtime } from "../support/realtime_client.ts"
import { closeStores, open } from "../support/store.ts"
import { sqliteUrl } from "../support/store_urls.ts"
import { until, untilAsked } from "../support/until.ts"
import { addUser } from "../support/user.ts"
import { frame, OPCODE, openRaw } from "../support/ws_raw.ts"

setDefaultTimeout(30_000)
afterEach(async () => {
  await endGateways()
  await closeStores()
})

const PATH = "/api/v1/realtime"
const NAMESPACES = { chat: { subscribe: {}, publish: {} } }
const SUBSCRIBE = { type: "subscribe", channel: "chat:1" }
const urlOf = ({ port }: GatewayProcess) => `ws://127.0.0.1:${port}${PATH}`
const bearer = (id: string) => ({ authorization: `Bearer ${accessToken({ id, tokenId: `token-${id}` })}` })
const auth = { issuer: "gatehouse", audience: "api", secret: SECRET }

/** A gateway with one account, and what signs in to it. */
async function withAccount() {
  const store = sqliteUrl()
  const passwordHash = await new PasswordHasher({ memoryKiB: 8, passes: 1 }).hash(PASSWORD)
  await addUser(await open(store), "ann", Date.now(), { passwordHash })
  await closeStores()
  const gateway = await startGateway({
    server: { workers: 2 },
    store,
    auth: { secret: SECRET, https: "off", session: { return_to: ["https://app.example.com"] } },
    realtime: { namespaces: NAMESPACES },
  })
  return gateway
}

test("[V-sec.2] a logout closes the live connections of the sign-in within a second, and no others", async () => {
  const gateway = await withAccount()
  const body = new URLSearchParams({ grant_type: "password", username: "ann", password: PASSWORD })
  const logIn = async () => {
    const response = await fetch(`${gateway.url}/api/v1/auth/token`, { method: "POST", body })
    const { access_token } = (await response.json()) as { access_token: string }
    return { authorization: `Bearer ${access_token}` }
  }
  const [first, second] = [await logIn(), await logIn()]
  const gone = await Promise.all([1, 2, 3, 4].map(() => openRealtime(urlOf(gateway), first)))
  const stays = await openRealtime(urlOf(gateway), second)
  for (const client of [...gone, stays]) expect((await client.ask(SUBSCRIBE)).error).toBeUndefined()
  const { status } = await fetch(`${gateway.url}/api/v1/auth/logout`, { method: "POST", headers: first })
  const since = performance.now()
  expect(status).toBe(200)
  expect(await Promise.all(gone.map((client) => client.closed()))).toEqual([4503, 4503, 4503, 4503])
  expect(performance.now() - since).toBeLessThan(1000)
  expect((await stays.ask({ type: "ping" })).result).toEqual({})
})

test("[F-61] a session cookie opens a connection for pages of known origins only", async () => {
  const gateway = await withAccount()
  const login = await fetch(`${gateway.url}/api/v1/auth/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ login: "ann", password: PASSWORD, session: "cookie" }),
  })
  const cookie = login.headers
    .getSetCookie()
    .map((each) => each.split(";")[0])
    .join("; ")
  const known = await openRealtime(urlOf(gateway), { cookie, origin: "https://app.example.com" })
  expect((await known.ask(SUBSCRIBE)).error).toBeUndefined()
  for (const origin of ["https://evil.example.com", "null"]) {
    const foreign = await openRaw(gateway.port, PATH, `Cookie: ${cookie}\r\nOrigin: ${origin}\r\n`)
    expect(foreign.state.head).toStartWith("HTTP/1.1 403")
  }
})

test("who reads too slowly is cut off, and the others miss nothing", async () => {
  const gateway = await startGateway({
    server: { workers: 2 },
    auth,
    realtime: { namespaces: NAMESPACES, max_buffered: "64KB", rate: "100000/s" },
  })
  const { authorization } = bearer("slow")
  const slow = await openRaw(gateway.port, PATH, `Authorization: ${authorization}\r\n`)
  slow.socket.write(frame(OPCODE.TEXT, JSON.stringify({ id: 1, ...SUBSCRIBE })))
  await until(() => slow.frames.length > 0, "the subscription")
  slow.socket.pause()
  const [reader, writer] = [
    await openRealtime(urlOf(gateway), bearer("reader")),
    await openRealtime(urlOf(gateway), bearer("writer")),
  ]
  await reader.ask(SUBSCRIBE)
  const closedSlow = async (): Promise<boolean> => {
    const page = await (await gateway.admin("/metrics")).text()
    return page.includes('gatehouse_realtime_closed_total{code="4001"} 1')
  }
  const data = "x".repeat(30_000)
  let sent = 0
  await untilAsked(async () => {
    await Promise.all(
      Array.from({ length: 20 }, () => writer.ask({ type: "publish", channel: "chat:1", data })),
    )
    sent += 20
    return closedSlow()
  }, "the slow one to be cut off")
  await until(() => reader.of("publication").length >= sent, "all")
  expect(reader.of("publication").map(({ offset }) => offset)).toEqual(
    Array.from({ length: sent }, (_, i) => i + 1),
  )
  slow.socket.destroy()
})

test("clients are told to go elsewhere when the gateway stops", async () => {
  const gateway = await startGateway({
    server: { workers: 2, drain_delay: 0 },
    auth,
    realtime: { namespaces: NAMESPACES },
  })
  const client = await openRealtime(urlOf(gateway), bearer("ada"))
  await client.ask(SUBSCRIBE)
  gateway.signal("SIGTERM")
  expect(await client.closed()).toBe(4000)
  expect(client.of("disconnect")[0]).toMatchObject({ code: 4000, reconnect: true })
  expect(await gateway.exited).toBe(0)
})

test("a frame beyond the limit, or one that is no text, closes the connection", async () => {
  const gateway = await startGateway({ auth, realtime: { namespaces: NAMESPACES, max_message: "32KB" } })
  const big = await openRealtime(urlOf(gateway), bearer("ada"))
  big.raw(JSON.stringify({ id: 1, type: "publish", channel: "chat:1", data: "x".repeat(33_000) }))
  expect(await big.closed()).toBe(4505)
  const binary = await openRealtime(urlOf(gateway), bearer("ada"))
  binary.raw(new Uint8Array([1, 2, 3]))
  expect(await binary.closed()).toBe(4501)
})

test("the endpoint tells who asks without a WebSocket to use one, and is not there without its section", async () => {
  const gateway = await startGateway({ auth, realtime: { namespaces: NAMESPACES } })
  expect((await fetch(`${gateway.url}${PATH}`, { headers: bearer("ada") })).status).toBe(426)
  expect((await fetch(`${gateway.url}${PATH}`, { method: "POST" })).status).toBe(405)
  const without = await startGateway({ auth })
  expect((await fetch(`${without.url}${PATH}`)).status).toBe(404)
})

test("[T-3.4] a real service screens messages and answers methods, through its instances in the config", async () => {
  const asked: unknown[] = []
  const service = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const body = (await request.json()) as { data: string }
      asked.push([request.method, new URL(request.url).pathname, body])
      if (body.data === "harmful") return Response.json({ message: "Help is on its way." }, { status: 403 })
      return Response.json({ data: body.data.toUpperCase() })
    },
  })
  const gateway = await startGateway({
    auth,
    services: { safety: { instances: [`http://127.0.0.1:${service.port}`] } },
    realtime: {
      namespaces: { chat: { ...NAMESPACES.chat, screen: { service: "safety", path: "/screen" } } },
      rpc: { shout: { service: "safety", path: "/rpc/shout" } },
    },
  })
  const client = await openRealtime(urlOf(gateway), bearer("ada"))
  await client.ask(SUBSCRIBE)
  const refused = await client.ask({ type: "publish", channel: "chat:1", data: "harmful" })
  expect(refused.error).toMatchObject({ code: "REFUSED", message: "Help is on its way." })
  await client.ask({ type: "publish", channel: "chat:1", data: "hello" })
  await until(() => client.of("publication").length > 0, "the message")
  expect(client.of("publication").map(({ data }) => data)).toEqual(["HELLO"])
  expect((await client.ask({ type: "rpc", method: "shout", data: "x" })).result).toEqual({
    data: { data: "X" },
  })
  expect(asked[0]).toMatchObject([
    "POST",
    "/screen",
    { channel: "chat:1", user: { id: "ada" }, data: "harmful" },
  ])
  await service.stop(true)
  expect((await client.ask({ type: "publish", channel: "chat:1", data: "x" })).error?.code).toBe(
    "UNAVAILABLE",
  )
})

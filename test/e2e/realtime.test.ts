import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { openRealtime } from "../support/realtime_client.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)
afterEach(endGateways)

const NAMESPACES = {
  session: { subscribe: {}, publish: {}, presence: true, join_leave: true },
  user: { subscribe: { when: "key == principal.id" } },
}

const config = (realtime: object = {}, workers = 2) => ({
  server: { workers },
  auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
  realtime: { namespaces: NAMESPACES, ...realtime },
})

const PATH = "/api/v1/realtime"
const urlOf = ({ port }: GatewayProcess, query = "") => `ws://127.0.0.1:${port}${PATH}${query}`
const bearer = (id: string, more: object = {}) => ({
  authorization: `Bearer ${accessToken({ id, tokenId: `token-${id}`, ...more })}`,
})

test("[T-3.1 T-3.2] what one participant of a session sends reaches all of them, on every worker, in one order", async () => {
  const gateway = await startGateway(config({ rate: "1000/s" }, 3))
  const clients = await Promise.all(
    Array.from({ length: 8 }, (_, i) => openRealtime(urlOf(gateway), bearer(`user${i}`))),
  )
  for (const client of clients)
    expect(await client.ask({ type: "subscribe", channel: "session:1" })).toMatchObject({
      result: { recovered: false, publications: [], ack: false, position: { offset: 0 } },
    })
  const each = 25
  await Promise.all(
    clients.flatMap((client, from) =>
      Array.from({ length: each }, (_, n) =>
        client.ask({ type: "publish", channel: "session:1", data: { from, n } }),
      ),
    ),
  )
  const total = clients.length * each
  await until(
    () => clients.every((client) => client.of("publication").length >= total),
    "every publication everywhere",
  )
  const [first, ...others] = clients.map((client) => client.of("publication"))
  expect(first!.map(({ offset }) => offset)).toEqual(Array.from({ length: total }, (_, i) => i + 1))
  for (const other of others) expect(other).toEqual(first!)
  // Of one client, in the order it sent them.
  for (let from = 0; from < clients.length; from++) {
    const own = first!.filter(({ publisher }) => publisher?.user === `user${from}`)
    expect(own.map(({ data }) => (data as { n: number }).n)).toEqual(
      Array.from({ length: each }, (_, n) => n),
    )
  }
})

test("[T-3.3] a client that comes back gets what it missed, in order, and goes on live", async () => {
  const gateway = await startGateway(config({}, 3))
  const [away, stays] = [
    await openRealtime(urlOf(gateway), bearer("ada")),
    await openRealtime(urlOf(gateway), bearer("bob")),
  ]
  const { result } = await away.ask({ type: "subscribe", channel: "session:1" })
  await stays.ask({ type: "publish", channel: "session:1", data: 1 })
  await until(() => away.of("publication").length === 1, "the first")
  away.terminate()
  for (const data of [2, 3, 4]) await stays.ask({ type: "publish", channel: "session:1", data })
  for (let round = 0; round < 4; round++) {
    const back = await openRealtime(urlOf(gateway), bearer("ada"))
    const since = { epoch: result.position.epoch, offset: 1 }
    const again = await back.ask({ type: "subscribe", channel: "session:1", since })
    expect(again.result.recovered).toBe(true)
    const missed = again.result.publications.map(({ data }: { data: number }) => data)
    expect(missed.slice(0, 3)).toEqual([2, 3, 4])
    await stays.ask({ type: "publish", channel: "session:1", data: 10 + round })
    await until(() => back.of("publication").length === 1, "the next")
    expect(back.of("publication")[0]).toMatchObject({ offset: 5 + round, data: 10 + round })
    back.close()
  }
  const lost = await openRealtime(urlOf(gateway), bearer("ada"))
  const since = { epoch: "another", offset: 1 }
  expect((await lost.ask({ type: "subscribe", channel: "session:1", since })).result.recovered).toBe(false)
})

test("[T-3.1] without a proof at the handshake the first message has to bring one; others are refused", async () => {
  const gateway = await startGateway(config())
  const client = await openRealtime(urlOf(gateway))
  expect((await client.ask({ type: "subscribe", channel: "session:1" })).error?.code).toBe("UNAUTHENTICATED")
  const token = accessToken({ id: "ada" })
  const connected = await client.ask({ type: "connect", token })
  expect(connected.result).toMatchObject({ user: "ada" })
  // A minute, and the half minute clocks may differ by.
  expect(connected.result.expires_in).toBeWithin(50, 91)
  expect((await client.ask({ type: "subscribe", channel: "session:1" })).error).toBeUndefined()
  const bad = await openRealtime(urlOf(gateway))
  expect((await bad.ask({ type: "connect", token: "no.such.token" })).error?.code).toBe("INVALID_TOKEN")
  expect(await bad.closed()).toBe(4502)
  const atHandshake = await openRealtime(urlOf(gateway), { authorization: "Bearer wrong" })
  expect(atHandshake.seen.error).toContain("101")
})

test("a client that never says who it is is closed with 4500", async () => {
  const gateway = await startGateway(config())
  const client = await openRealtime(urlOf(gateway))
  expect(await client.closed()).toBe(4500)
})

test("a ticket opens one connection, once", async () => {
  const gateway = await startGateway(config())
  const response = await fetch(`${gateway.url}${PATH}/ticket`, { method: "POST", headers: bearer("ada") })
  const { ticket, expires_in } = (await response.json()) as { ticket: string; expires_in: number }
  expect(expires_in).toBe(30)
  const client = await openRealtime(urlOf(gateway, `?ticket=${ticket}`))
  expect((await client.ask({ type: "connect" })).result).toMatchObject({ user: "ada" })
  const again = await openRealtime(urlOf(gateway, `?ticket=${ticket}`))
  expect(again.seen.closed).toBeDefined()
  expect((await fetch(`${gateway.url}${PATH}/ticket`, { method: "POST" })).status).toBe(401)
})

test("who may do what is refused by default, by namespace and by condition", async () => {
  const gateway = await startGateway(config())
  const client = await openRealtime(urlOf(gateway), bearer("ada"))
  const errorOf = async (command: Record<string, unknown>) => (await client.ask(command)).error?.code
  expect(await errorOf({ type: "subscribe", channel: "other:1" })).toBe("UNKNOWN_CHANNEL")
  expect(await errorOf({ type: "subscribe", channel: "session" })).toBe("UNKNOWN_CHANNEL")
  expect(await errorOf({ type: "subscribe", channel: "user:bob" })).toBe("FORBIDDEN")
  expect(await errorOf({ type: "subscribe", channel: "user:ada" })).toBeUndefined()
  expect(await errorOf({ type: "publish", channel: "user:ada", data: 1 })).toBe("FORBIDDEN")
  expect(await errorOf({ type: "history", channel: "session:1" })).toBe("NOT_SUBSCRIBED")
  expect(await errorOf({ type: "presence", channel: "user:ada" })).toBe("NOT_AVAILABLE")
  expect(await errorOf({ type: "subscribe", channel: "user:ada" })).toBe("ALREADY_SUBSCRIBED")
  expect(await errorOf({ type: "unsubscribe", channel: "user:ada" })).toBeUndefined()
  expect(await errorOf({ type: "unsubscribe", channel: "user:ada" })).toBe("NOT_SUBSCRIBED")
})

test("participants see who is there, who comes and who goes", async () => {
  const gateway = await startGateway(config({}, 3))
  const ada = await openRealtime(urlOf(gateway), bearer("ada"))
  await ada.ask({ type: "subscribe", channel: "session:1" })
  const bob = await openRealtime(urlOf(gateway), bearer("bob"))
  await bob.ask({ type: "subscribe", channel: "session:1" })
  await until(() => ada.of("join").some(({ member }) => member.user === "bob"), "bob's coming")
  const { result } = await ada.ask({ type: "presence", channel: "session:1" })
  expect(result.members.map(({ user }: { user: string }) => user).sort()).toEqual(["ada", "bob"])
  bob.terminate()
  await until(() => ada.of("leave").some(({ member }) => member.user === "bob"), "bob's going")
})

test("services publish by HTTP, once a key, and read history and presence", async () => {
  const gateway = await startGateway(config())
  const ada = await openRealtime(urlOf(gateway), bearer("ada"))
  await ada.ask({ type: "subscribe", channel: "user:ada" })
  const service = bearer("mailer", { kind: "service", scopes: ["realtime:publish"] })
  const post = (data: unknown, headers: Record<string, string> = {}) =>
    fetch(`${gateway.url}${PATH}/channels/user:ada/messages`, {
      method: "POST",
      headers: { ...service, "content-type": "application/json", ...headers },
      body: JSON.stringify({ data }),
    })
  const first = await post({ mail: 1 }, { "idempotency-key": "k1" })
  expect(first.status).toBe(200)
  const { position } = (await first.json()) as { position: object }
  expect(await (await post({ mail: 1 }, { "idempotency-key": "k1" })).json()).toEqual({
    position,
    duplicate: true,
  })
  await post({ mail: 2 })
  await until(() => ada.of("publication").length === 2, "both")
  expect(ada.of("publication").map(({ data }) => data)).toEqual([{ mail: 1 }, { mail: 2 }])
  expect(ada.of("publication")[0]).not.toHaveProperty("publisher")
  const history = await fetch(`${gateway.url}${PATH}/channels/user:ada/history?limit=1`, { headers: service })
  expect(await history.json()).toMatchObject({
    complete: true,
    publications: [{ offset: 2, data: { mail: 2 } }],
  })
  const forbidden = await fetch(`${gateway.url}${PATH}/channels/user:ada/messages`, {
    method: "POST",
    headers: bearer("eve"),
    body: '{"data":1}',
  })
  expect(forbidden.status).toBe(403)
  expect((await post("x".repeat(40_000))).status).toBe(413)
  const unknown = await fetch(`${gateway.url}${PATH}/channels/none:1/history`, { headers: service })
  expect(unknown.status).toBe(404)
})

test("a reload closes no connection and no subscription whose part of the config is as it was", async () => {
  const gateway = await startGateway(config())
  const client = await openRealtime(urlOf(gateway), bearer("ada"))
  await client.ask({ type: "subscribe", channel: "session:1" })
  await client.ask({ type: "subscribe", channel: "user:ada" })
  const changed = { ...NAMESPACES, user: { ...NAMESPACES.user, presence: true } }
  gateway.writeConfig({ ...config({ namespaces: changed }), routes: [{ path: "/new", respond: {} }] })
  expect(await (await gateway.admin("/admin/v1/reload", { method: "POST" })).json()).toMatchObject({
    result: "applied",
  })
  await until(() => client.of("unsubscribe").length > 0, "the end of one subscription")
  expect(client.of("unsubscribe")).toMatchObject([{ channel: "user:ada", resubscribe: true }])
  await client.ask({ type: "publish", channel: "session:1", data: "still" })
  await until(() => client.of("publication").length === 1, "a publication")
  expect(client.seen.closed).toBeUndefined()
  gateway.writeConfig(config({ path: "/elsewhere" }))
  await gateway.admin("/admin/v1/reload", { method: "POST" })
  expect(await client.closed()).toBe(4006)
})

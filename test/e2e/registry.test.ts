import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { SECRET } from "../support/authenticator.ts"
import { parseExposition, sampleValue } from "../support/exposition.ts"
import { ADMIN_TOKEN, endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { askRegistry, cli, cliOf, EventReader, tokenFor } from "../support/registry_client.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

const servers: Bun.Server<undefined>[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true)
  await endGateways()
})

const CONFIG = {
  server: { workers: 1 },
  auth: { issuer: "https://gateway.example", audience: "api", secret: SECRET, https: "off" },
  discovery: { routes: "/api/v1/{service}/*", allow: ["127.0.0.1"] },
}

/** A service that says its name; `held` keeps its answers back until it is resolved. */
function startService(name: string, held?: Promise<void>): number {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      if (new URL(request.url).pathname.endsWith("/slow")) await held
      return new Response(name)
    },
  })
  servers.push(server)
  return server.port!
}

const at = (port: number, more: object = {}) => ({
  service_name: "context",
  host: "127.0.0.1",
  port,
  ...more,
})

const tokens = new WeakMap<GatewayProcess, string>()

async function get(gateway: GatewayProcess, path: string): Promise<string> {
  let token = tokens.get(gateway)
  if (token === undefined) tokens.set(gateway, (token = await tokenFor(gateway, "read")))
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`${gateway.url}/api/v1/context/${path}`, { headers })
  const text = await response.text()
  return response.status === 200 ? text : String(response.status)
}

const answered = (gateway: GatewayProcess): Promise<string> => get(gateway, "x")

test("[T-1.4] [T-6.1] [V-gw.2] [I-core.1] a service registers, is asked, and is gone when it deregisters", async () => {
  const gateway = await startGateway({ ...CONFIG, server: { workers: 2 }, store: "sqlite:./gatehouse.db" })
  const made = await gateway.admin("/admin/v1/clients", {
    method: "POST",
    body: JSON.stringify({ name: "context", scopes: ["registry:context"] }),
  })
  const { id: client_id, secret: client_secret } = (await made.json()) as { id: string; secret: string }
  const granted = await fetch(`${gateway.url}/api/v1/auth/token`, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "client_credentials", client_id, client_secret }),
  })
  const { access_token: token } = (await granted.json()) as { access_token: string }
  expect(await answered(gateway)).toBe("404")

  const first = await askRegistry(gateway, token, "POST", "/services", at(startService("one")))
  expect(first.status).toBe(201)
  expect(first.body).toMatchObject({ ttl: 30, heartbeat_interval: 10, draining: false })
  await untilAsked(async () => (await answered(gateway)) === "one", "the service to be asked")
  const again = await askRegistry(
    gateway,
    token,
    "POST",
    "/services",
    at(Number(new URL(first.body.url).port)),
  )
  expect(again).toMatchObject({ status: 200, body: { id: first.body.id } })
  const beat = await askRegistry(
    gateway,
    token,
    "PUT",
    `/services/context/instances/${first.body.id}/heartbeat`,
  )
  expect(beat).toMatchObject({ status: 200, body: { ttl: 30, draining: false } })

  const path = `/services/context/instances/${first.body.id}`
  expect(await askRegistry(gateway, token, "GET", path)).toMatchObject({
    body: { healthy: true, in_flight: 0 },
  })
  expect(await askRegistry(gateway, token, "DELETE", path)).toMatchObject({ body: { deregistered: true } })
  expect((await askRegistry(gateway, token, "DELETE", path)).status).toBe(404)
  await untilAsked(async () => (await answered(gateway)) === "503", "nobody to be left")
  const page = parseExposition(await (await gateway.admin("/metrics")).text())
  for (const event of ["registered", "deregistered"])
    expect(sampleValue(page, "gatehouse_registry_events_total", { event })).toBe(1)
})

test("[T-1.4] [C-sec.2] a caller registers only what its token allows, and nothing without one", async () => {
  const gateway = await startGateway(CONFIG)
  const own = await tokenFor(gateway, "registry:context read")
  const none = await tokenFor(gateway, "read write admin registry registry:")
  const all = await tokenFor(gateway, "registry:*")
  const body = at(startService("one"))
  const forged = `${own.slice(0, -6)}AAAAAA`
  const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${own.split(".")[1]}.`
  const statuses = async (token: string) => [
    (await askRegistry(gateway, token, "POST", "/services", body)).status,
    (await askRegistry(gateway, token, "POST", "/services", { ...body, service_name: "intent" })).status,
    (await askRegistry(gateway, token, "GET", "/services")).status,
    (await askRegistry(gateway, token, "GET", "/services/intent")).status,
    (await askRegistry(gateway, token, "PUT", "/services/intent/instances/x/heartbeat")).status,
    (await askRegistry(gateway, token, "DELETE", "/services/intent/instances/x")).status,
    (await askRegistry(gateway, token, "POST", "/services/intent/instances/x/drain")).status,
    (await askRegistry(gateway, token, "GET", "/watch").catch(() => ({ status: 200 }))).status,
  ]
  expect(await statuses("")).toEqual([401, 401, 401, 401, 401, 401, 401, 401])
  expect(await statuses(forged)).toEqual([401, 401, 401, 401, 401, 401, 401, 401])
  expect(await statuses(unsigned)).toEqual([401, 401, 401, 401, 401, 401, 401, 401])
  expect(await statuses(none)).toEqual([403, 403, 403, 403, 403, 403, 403, 403])
  expect((await askRegistry(gateway, own, "POST", "/services", body)).status).toBe(201)
  const other = await askRegistry(gateway, own, "POST", "/services", { ...body, service_name: "intent" })
  expect(other).toMatchObject({
    status: 403,
    body: { error: { details: { missing: { scopes: ["registry:intent"] } } } },
  })
  expect(
    (await askRegistry(gateway, all, "POST", "/services", { ...body, service_name: "intent" })).status,
  ).toBe(201)
  const names = async (token: string) =>
    (await askRegistry(gateway, token, "GET", "/services")).body.services.map(
      ({ name }: { name: string }) => name,
    )
  expect(await names(own)).toEqual(["context"])
  expect(await names(all)).toEqual(["context", "intent"])
})

test("[T-1.4] without a section auth there is no registry for clients, and operators have theirs", async () => {
  const gateway = await startGateway({ discovery: CONFIG.discovery })
  expect((await askRegistry(gateway, "", "GET", "/services")).status).toBe(404)
  const ask = async (init?: RequestInit) => (await gateway.admin("/admin/v1/registry/services", init)).status
  expect(await ask({ method: "POST", body: JSON.stringify(at(startService("one"))) })).toBe(201)
  expect(await ask({ method: "POST", body: "{" })).toBe(400)
  expect(await ask({ method: "POST", body: JSON.stringify({ ...at(1), host: "169.254.169.254" }) })).toBe(422)
  expect(await ask({ headers: { authorization: "Bearer wrong" } })).toBe(401)
})

test("[F-69] hostile registrations are refused, and what they said is not repeated", async () => {
  const gateway = await startGateway({ ...CONFIG, discovery: {} })
  const token = await tokenFor(gateway, "registry:*")
  const post = (body: object | string) => askRegistry(gateway, token, "POST", "/services", body)
  for (const host of [
    "169.254.169.254",
    "127.0.0.1",
    "0x7f.1",
    "::ffff:127.0.0.1",
    "localhost",
    "a b",
    "a\r\nb",
  ]) {
    const refused = await post({ ...at(80), host })
    expect(refused).toMatchObject({ status: 422, code: "INVALID_FIELD" })
    expect(JSON.stringify(refused.body)).not.toContain("169.254")
  }
  // The caller's own address, which is loopback here.
  const { host, ...rest } = at(80)
  expect((await post(rest)).status).toBe(422)
  expect((await post({ ...at(80), service_name: "a b" })).status).toBe(422)
  expect((await post({ ...at(80), port: 65_536 })).status).toBe(422)
  expect((await post({ ...at(80), __proto__x: 1 })).status).toBe(422)
  expect((await post('{"port":1,"port":2}')).status).toBe(400)
  expect((await post("[".repeat(10_000))).status).toBe(400)
  expect((await post({ ...at(80), tags: ["x".repeat(70_000)] })).status).toBe(413)
  expect((await askRegistry(gateway, token, "GET", `/services/${"x".repeat(2000)}`)).body.instances).toEqual(
    [],
  )
  expect(
    (await askRegistry(gateway, token, "GET", "/services/%00/instances/%00")).status,
  ).toBeGreaterThanOrEqual(400)
  expect((await askRegistry(gateway, token, "GET", "/services")).body.services).toEqual([])
})

test("[T-1.4] watchers are told what happens, each what it may know, and resume where they were", async () => {
  const gateway = await startGateway(CONFIG)
  const token = await tokenFor(gateway, "registry:context")
  const all = await tokenFor(gateway, "registry:*")
  const url = `${gateway.url}/api/v1/registry/watch`
  const adminUrl = `http://127.0.0.1:${gateway.adminPort}/admin/v1/registry/watch`
  const port = startService("one")
  const { body: one } = await askRegistry(gateway, token, "POST", "/services", at(port))
  const own = await EventReader.open(url, token)
  const operator = await EventReader.open(adminUrl, ADMIN_TOKEN)
  await until(() => own.events.length === 1 && operator.events.length === 1, "snapshots")
  expect(own.events[0]).toMatchObject({ event: "snapshot", data: { instances: [{ id: one.id }] } })
  own.close()
  await askRegistry(gateway, all, "POST", "/services", at(port, { service_name: "secret" }))
  await askRegistry(gateway, token, "POST", `/services/context/instances/${one.id}/drain`)
  await askRegistry(gateway, token, "DELETE", `/services/context/instances/${one.id}`)
  await until(() => operator.events.length === 4, "all events")
  expect(operator.events.map(({ event }) => event)).toEqual([
    "snapshot",
    "registered",
    "draining",
    "deregistered",
  ])

  const resumed = await EventReader.open(url, token, { "last-event-id": own.events[0]!.id })
  await until(() => resumed.events.length === 2, "what was missed")
  expect(resumed.events.map(({ event }) => event)).toEqual(["draining", "deregistered"])
  const lost = await EventReader.open(url, token, { "last-event-id": "0123abc-7" })
  await until(() => lost.events.length === 2, "a new start")
  expect(lost.events.map(({ event }) => event)).toEqual(["reset", "snapshot"])
  for (const each of [operator, resumed, lost]) each.close()
})

test("[T-1.4] there may be so many watchers and no more, and those who leave make room", async () => {
  const gateway = await startGateway(CONFIG)
  const token = await tokenFor(gateway, "registry:context")
  const url = `${gateway.url}/api/v1/registry/watch`
  const watchers = await Promise.all(Array.from({ length: 32 }, () => EventReader.open(url, token)))
  expect(watchers.every(({ status }) => status === 200)).toBe(true)
  const more = await fetch(url, { headers: { authorization: `Bearer ${token}` } })
  expect(more.status).toBe(503)
  expect(more.headers.get("retry-after")).toBe("5")
  await more.text()
  watchers[0]!.close()
  await untilAsked(async () => {
    const reader = await EventReader.open(url, token)
    watchers.push(reader)
    return reader.status === 200
  }, "room for one")
  for (const each of watchers) each.close()
})

test("[C-1.9] watchers are sent away at once when the gateway ends", async () => {
  const gateway = await startGateway(CONFIG)
  const token = await tokenFor(gateway, "registry:context")
  const reader = await EventReader.open(`${gateway.url}/api/v1/registry/watch`, token)
  await until(() => reader.events.length === 1, "the snapshot")
  gateway.signal("SIGTERM")
  await reader.ended
  expect(await gateway.exited).toBe(0)
  expect(gateway.log.some(({ event }) => event === "gateway.cut_off")).toBe(false)
})

test("[T-1.4] an operator lists services and drains an instance, whose request in flight finishes", async () => {
  const held = Promise.withResolvers<void>()
  const [one, other] = [startService("one", held.promise), startService("other")]
  const gateway = await startGateway({
    ...CONFIG,
    services: { context: { instances: [`http://127.0.0.1:${one}`, `http://127.0.0.1:${other}`] } },
    routes: [{ path: "/api/v1/context/*", service: "context" }],
  })
  expect((await cliOf(gateway, "drain", "context", `127.0.0.1:${other}`)).err).toBe("")
  await untilAsked(async () => (await answered(gateway)) === "one", "the other to be out")
  const slow = get(gateway, "slow")
  await untilAsked(
    async () => / 1$/m.test((await cliOf(gateway, "services")).out),
    "the request to be in flight",
  )
  const table = (await cliOf(gateway, "services")).out.split("\n")
  expect(table[0]).toMatch(
    /^SERVICE +STATUS +BREAKER +INSTANCE +SOURCE +HEALTH +LATENCY +IN FLIGHT +ELSEWHERE$/,
  )
  expect(table[1]).toMatch(new RegExp(`^context .* http://127.0.0.1:${one} .* healthy .* 1$`))
  expect(table[2]).toMatch(new RegExp(`^ +http://127.0.0.1:${other} .* draining .* 0$`))

  const drained = await cliOf(gateway, "drain", "context", `http://127.0.0.1:${one}`)
  expect(drained).toEqual({
    code: 0,
    out: `context http://127.0.0.1:${one}: gets nothing new by this gateway, 1 in flight\n`,
    err: "",
  })
  await cliOf(gateway, "drain", "context", `127.0.0.1:${other}`, "--undo")
  await untilAsked(async () => (await answered(gateway)) === "other", "the other to be back")
  held.resolve()
  expect(await slow).toBe("one")
})

test("[T-1.4] a registered instance is drained by its id", async () => {
  const gateway = await startGateway(CONFIG)
  const token = await tokenFor(gateway, "registry:context")
  const [one, other] = [startService("one"), startService("other")]
  const { body } = await askRegistry(gateway, token, "POST", "/services", at(one))
  await askRegistry(gateway, token, "POST", "/services", at(other))
  const said = await cliOf(gateway, "drain", "context", body.id)
  expect(said.out).toBe(`context http://127.0.0.1:${one}: gets nothing new, 0 in flight\n`)
  await untilAsked(async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => answered(gateway)))
    return all.every((each) => each === "other")
  }, "the other alone to be asked")
})

test("[T-1.4] commands that ask a gateway say what is wrong, with exit codes to go by", async () => {
  const gateway = await startGateway(CONFIG)
  const admin = `http://127.0.0.1:${gateway.adminPort}`
  const code = async (...args: string[]) => (await cli(...args)).code
  expect(await code("services", "--admin", admin, "--token", ADMIN_TOKEN)).toBe(0)
  expect(await code("services", "--admin", admin, "--token", "wrong")).toBe(1)
  expect(await code("services", "--admin", "nonsense", "--token", "x")).toBe(1)
  expect(await code("services", "--admin", admin)).toBe(1)
  expect(await code("services", "--admin", "http://127.0.0.1:1", "--token", "x")).toBe(2)
  expect(await code("drain", "context")).toBe(1)
  expect(await code("drain", "context", "x", "--admin", admin, "--token", ADMIN_TOKEN)).toBe(1)
  const unknown = await cliOf(gateway, "drain", "nobody", "x")
  expect(unknown.err).toBe(`gatehouse: ${admin} answers 404: There is no such service.\n`)
})

import { afterAll, beforeAll, expect, test } from "bun:test"
import { join } from "node:path"
import { createApiKey } from "../../src/identity/api_key_format.ts"
import { ADMIN_TOKEN, endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { lastTaken, WITHIN_MS } from "../support/last_taken.ts"
import { sqliteUrl } from "../support/store_urls.ts"

/** One for all tests: each makes keys of its own. */
const store = sqliteUrl()
let gateway: GatewayProcess
beforeAll(async () => {
  gateway = await start()
}, 20_000)
afterAll(endGateways)

const SECRET = "k3J9-aZ81-pQw7-LmN2-xYt5-Vb60-Rs4e"

const start = () =>
  startGateway({
    store,
    auth: { secret: SECRET, https: "off" },
    services: {},
    routes: [
      { path: "/any", auth: {}, respond: { body: "in" } },
      { path: "/write", auth: { scopes: ["write"] }, respond: { body: "in" } },
      { path: "/keys", auth: { methods: ["api_key"] }, respond: { body: "in" } },
    ],
  })

async function admin(gateway: GatewayProcess, method: string, path: string, body: object = {}) {
  const init = method === "GET" ? { method } : { method, body: JSON.stringify(body) }
  const response = await gateway.admin(`/admin/v1${path}`, init)
  expect([path, response.status < 300]).toEqual([path, true])
  return response.json()
}

const newKey = (gateway: GatewayProcess, more: object = {}) =>
  admin(gateway, "POST", "/api-keys", { name: "Nightly export", owner: "billing", scopes: ["read"], ...more })

/** Each on a connection of its own, so that all workers are asked. */
const call = (gateway: GatewayProcess, path: string, headers: Record<string, string>) =>
  fetch(`${gateway.url}${path}`, { headers, keepalive: false })

const isTaken = (gateway: GatewayProcess, key: string) => async () =>
  (await call(gateway, "/any", { "x-api-key": key })).status !== 401

test("[C-2.8, V-rl.4, F-54] a key made by the admin API is taken by every worker, and by none a second after it is revoked", async () => {
  const made = await newKey(gateway)
  for (const headers of [{ "x-api-key": made.key }, { authorization: `Bearer ${made.key}` }])
    for (let i = 0; i < 8; i++) expect((await call(gateway, "/any", headers)).status).toBe(200)
  expect((await call(gateway, "/keys", { "x-api-key": made.key })).status).toBe(200)
  expect((await call(gateway, "/write", { "x-api-key": made.key })).status).toBe(403)
  expect((await call(gateway, "/any", {})).status).toBe(401)
  expect((await admin(gateway, "GET", `/api-keys/${made.id}`)).last_used_at).toBeString()
  await admin(gateway, "DELETE", `/api-keys/${made.id}`)
  expect(await lastTaken(isTaken(gateway, made.key), performance.now())).toBeLessThan(WITHIN_MS)
})

test("[F-54] a key that is revoked on one VM is refused on the other within a second", async () => {
  const other = await start()
  const made = await newKey(gateway)
  expect((await call(other, "/any", { "x-api-key": made.key })).status).toBe(200)
  const since = performance.now()
  await admin(gateway, "DELETE", `/api-keys/${made.id}`)
  expect(await lastTaken(isTaken(other, made.key), since)).toBeLessThan(WITHIN_MS)
}, 20_000)

test("[C-2.8] a key is refused from an address it is not for", async () => {
  const elsewhere = await newKey(gateway, { allowed_ips: ["192.0.2.0/24"] })
  const here = await newKey(gateway, { allowed_ips: ["192.0.2.0/24", "127.0.0.0/8"] })
  expect((await call(gateway, "/any", { "x-api-key": elsewhere.key })).status).toBe(401)
  expect((await call(gateway, "/any", { "x-api-key": here.key })).status).toBe(200)
  const spoofed = { "x-api-key": elsewhere.key, "x-forwarded-for": "192.0.2.1" }
  expect((await call(gateway, "/any", spoofed)).status).toBe(401)
})

test("[F-59] malformed, unknown, revoked and expired keys get the same 401", async () => {
  const revoked = await newKey(gateway)
  await admin(gateway, "DELETE", `/api-keys/${revoked.id}`)
  const expiring = await newKey(gateway, { expires_at: new Date(Date.now() + 500).toISOString() })
  const known = (await newKey(gateway)).key as string
  while ((await admin(gateway, "GET", `/api-keys/${expiring.id}`)).status !== "expired");
  const keys = [
    "gh_live_",
    `${known.slice(0, -1)}${known.endsWith("x") ? "y" : "x"}`,
    createUnknown(),
    revoked.key,
    expiring.key,
    "gh_live_' OR 1=1 --",
  ]
  const seen = new Set<string>()
  for (const key of keys)
    for (const headers of [{ "x-api-key": key }, { authorization: `Bearer ${key}` }]) {
      const response = await call(gateway, "/any", headers)
      const { error, request_id } = (await response.json()) as { error: object; request_id: string }
      expect(request_id).toBeString()
      seen.add(`${response.status} ${JSON.stringify(error)}`)
    }
  expect([...seen]).toHaveLength(1)
  expect([...seen][0]).toStartWith("401 ")
})

test("[F-63] a cross-site form to the admin port does nothing, and neither does a key on it", async () => {
  const { key } = await newKey(gateway, { roles: ["admin"] })
  const url = `http://127.0.0.1:${gateway.adminPort}/admin/v1/api-keys`
  const form = { name: "x", owner: "x", token: ADMIN_TOKEN }
  for (const headers of [
    { origin: "https://evil.example", cookie: `token=${ADMIN_TOKEN}` },
    { authorization: `Bearer ${key}` },
    { "x-api-key": key },
  ]) {
    const init = { method: "POST", body: new URLSearchParams(form), headers }
    expect((await fetch(url, init as RequestInit)).status).toBe(401)
  }
  expect((await admin(gateway, "GET", "/api-keys?owner=x")).api_keys).toEqual([])
})

test("[C-2.6] what operators did and who was refused is counted and on record", async () => {
  const { id } = await newKey(gateway)
  const metrics = await (await gateway.admin("/metrics")).text()
  expect(metrics).toMatch(/gatehouse_identity_events_total\{event="api_key",outcome="success"\} [1-9]/)
  const { records } = await admin(gateway, "GET", `/audit?actor=admin&subject=${id}`)
  expect(records).toMatchObject([{ action: "api_key.create", client: "127.0.0.1" }])
})

test("[C-11.1] the requests the README shows for people, keys and services work as printed", async () => {
  const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text()
  const section = readme.slice(readme.indexOf("### People, keys and services"))
  const lines = /```sh\n([\s\S]*?)```/.exec(section)![1]!
  expect(lines.match(/^curl -s /gm)!.length).toBeGreaterThan(3)
  const script = lines
    .replaceAll("127.0.0.1:9080", `127.0.0.1:${gateway.adminPort}`)
    .replaceAll("only-for-a-first-try", ADMIN_TOKEN)
    .replaceAll("curl -s ", "curl -sS --fail-with-body ")
  const run = Bun.spawn(["bash", "-e", "-c", script], { stdout: "pipe", stderr: "pipe" })
  const [out, errors, code] = [
    await new Response(run.stdout).text(),
    await new Response(run.stderr).text(),
    await run.exited,
  ]
  expect([errors, code, out]).toEqual(["", 0, expect.stringContaining('"next_cursor":')])
})

/** In the right form, but of nobody. */
function createUnknown(): string {
  return createApiKey((count) => crypto.getRandomValues(new Uint8Array(count)))
}

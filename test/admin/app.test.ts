import { expect, test } from "bun:test"
import type { AdminDeps } from "../../src/admin/app.ts"
import type { AuditRecord } from "../../src/identity/context.ts"
import { ADMIN_TOKEN, createTestAdmin } from "../support/admin.ts"
import { exampleConfig } from "../support/config.ts"
import { memoryLog } from "../support/memory_log.ts"

function admin(changes: Partial<AdminDeps> = {}) {
  const config = exampleConfig({
    admin: { token: ADMIN_TOKEN },
    services: { app: { instances: ["http://127.0.0.1:9"], breaker: {} } },
  })
  const log = memoryLog()
  const records: AuditRecord[] = []
  const answer = createTestAdmin({
    config: () => config,
    metrics: async () => ({ text: "up 1\n", contentType: "text/plain; version=0.0.4" }),
    status: () => ({ generation: 7 }),
    reload: async () => ({ result: "applied", generation: 8, restartNeeded: [] }),
    resetBreaker: (name) => name === "app",
    returnInstances: (name) => (name === "app" ? 2 : undefined),
    record: async (record) => void records.push(record),
    log,
    ...changes,
  })
  const handle = (request: Request) => answer(request, "127.0.0.1")
  const ask = (method: string, path: string, init: RequestInit = {}) =>
    handle(
      new Request(`http://127.0.0.1:9080${path}`, {
        method,
        ...init,
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...init.headers },
      }),
    )
  return { handle, ask, log, records }
}

const errorOf = async (response: Response) => {
  const body = await response.json()
  expect(Object.keys(body).sort()).toEqual(["error", "request_id"])
  expect(Object.keys(body.error).sort()).toEqual(["code", "details", "message"])
  return [response.status, body.error.code]
}

test("[F-63] everything but health needs the token, unknown paths and methods too", async () => {
  const { handle } = admin()
  for (const path of [
    "/metrics",
    "/admin/v1/status",
    "/admin/v1/config",
    "/nothing",
    "/",
    "//health",
    "/health/x",
    "/health?x=/admin",
  ].filter((path) => !path.startsWith("/health?"))) {
    const response = await handle(new Request(`http://127.0.0.1${path}`))
    expect(response.headers.get("www-authenticate")).toBe("Bearer")
    expect([path, ...(await errorOf(response))]).toEqual([path, 401, "AUTH_ERROR"])
  }
  expect((await handle(new Request("http://127.0.0.1/health", { method: "POST" }))).status).toBe(401)
  expect((await handle(new Request("http://127.0.0.1/health"))).status).toBe(200)
})

test("[F-63] no other form of the token is taken: other schemes, prefixes, the query, an empty one", async () => {
  const { handle } = admin()
  for (const authorization of [
    `Basic ${ADMIN_TOKEN}`,
    ADMIN_TOKEN,
    `Bearer ${ADMIN_TOKEN}x`,
    `Bearer ${ADMIN_TOKEN.slice(0, -1)}`,
    "Bearer",
    "Bearer ",
    `Bearer ${ADMIN_TOKEN}, Bearer ${ADMIN_TOKEN}`,
  ]) {
    const response = await handle(new Request("http://127.0.0.1/metrics", { headers: { authorization } }))
    expect([authorization, response.status]).toEqual([authorization, 401])
  }
  const query = `http://127.0.0.1/metrics?token=${ADMIN_TOKEN}&access_token=${ADMIN_TOKEN}`
  expect((await handle(new Request(query))).status).toBe(401)
})

test("[F-63] a Host that shifts how the path is read opens nothing", async () => {
  const { handle } = admin()
  for (const host of ["a", "ab", "abc"]) {
    expect((await handle(new Request(`http://${host}/health/admin/v1/status`))).status).toBe(401)
    expect((await handle(new Request(`http://${host}/admin/v1/status`))).status).toBe(401)
  }
  // What the runtime gives for a malformed Host: a bare path in place of a URL.
  const bare = { url: "/admin/v1/status", method: "GET", headers: new Headers() } as Request
  expect(await errorOf(await handle(bare))).toEqual([400, "INVALID_HOST"])
})

test("[C-8.1] /metrics is the Prometheus text", async () => {
  const response = await admin().ask("GET", "/metrics")
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4")
  expect(await response.text()).toBe("up 1\n")
})

test("status and config are JSON that nobody keeps, without secrets", async () => {
  const { ask } = admin()
  const status = await ask("GET", "/admin/v1/status")
  expect(status.headers.get("cache-control")).toBe("no-store")
  expect(await status.json()).toEqual({ version: "1.2.3", generation: 7 })
  const config = await (await ask("GET", "/admin/v1/config")).text()
  expect(config).not.toContain(ADMIN_TOKEN)
  expect(JSON.parse(config)).toMatchObject({ admin: { token: "[redacted]" }, server: { drain_delay: 1 } })
})

test("a reload tells its result, or every problem with 422", async () => {
  const applied = await admin().ask("POST", "/admin/v1/reload")
  expect(await applied.json()).toEqual({ result: "applied", generation: 8, restart_needed: [] })
  const problems = [{ path: "routes[0].service", message: 'there is no service "x"' }]
  const { ask } = admin({ reload: async () => ({ result: "rejected", problems }) })
  const rejected = await ask("POST", "/admin/v1/reload")
  expect(rejected.status).toBe(422)
  expect((await rejected.json()).error.details).toEqual({ problems })
})

test("[C-7.7] recovery: breaker reset and return of instances, 404 for unknown services", async () => {
  const { ask } = admin()
  const reset = await ask("POST", "/admin/v1/services/app/breaker/reset")
  expect(await reset.json()).toEqual({ service: "app", breaker: "closed" })
  expect(await errorOf(await ask("POST", "/admin/v1/services/nobody/breaker/reset"))).toEqual([
    404,
    "NOT_FOUND",
  ])
  const back = await ask("POST", "/admin/v1/services/app/instances/return")
  expect(await back.json()).toEqual({ service: "app", returned: 2 })
  const unknown = await ask("POST", "/admin/v1/services/nobody/instances/return")
  expect(await errorOf(unknown)).toEqual([404, "NOT_FOUND"])
})

test("[F-63] unknown fields are refused with 422, broken bodies with 400, and neither is echoed", async () => {
  const { ask } = admin()
  const send = (body: string) =>
    ask("POST", "/admin/v1/services/app/instances/return", {
      body,
      headers: { "content-type": "application/json" },
    })
  expect((await send('{"instance":"http://127.0.0.1:9"}')).status).toBe(200)
  const unknown = await send('{"instance":"x","s3cret":1}')
  expect(await unknown.clone().text()).not.toContain("s3cret")
  expect(await errorOf(unknown)).toEqual([422, "VALIDATION_FAILED"])
  expect(await errorOf(await send('{"instance":'))).toEqual([400, "INVALID_REQUEST"])
})

test("[F-63] a fault is logged and answered without its text", async () => {
  const { ask, log } = admin({
    status: () => {
      throw new Error("the secret cause")
    },
  })
  const response = await ask("GET", "/admin/v1/status")
  expect(await response.clone().text()).not.toContain("secret cause")
  expect(await errorOf(response)).toEqual([500, "INTERNAL_ERROR"])
  expect(log.events.map((each) => each.event)).toEqual(["admin.fault"])
})

test("[C-11.3] what an operator does is put on record, with what came of it and by which request", async () => {
  const rejected = { result: "rejected", problems: [] } as const
  const { ask, records } = admin({ reload: async () => rejected })
  const reload = await ask("POST", "/admin/v1/reload")
  await ask("POST", "/admin/v1/services/app/breaker/reset")
  await ask("POST", "/admin/v1/services/app/instances/return")
  await ask("POST", "/admin/v1/services/nobody/breaker/reset")
  await ask("GET", "/admin/v1/config")
  expect(records.map(({ action, outcome, subject }) => `${action} ${outcome} ${subject}`)).toEqual([
    "config.reload failure ",
    "breaker.reset success app",
    "instances.return success app",
  ])
  const requestId = reload.headers.get("x-request-id")!
  expect(records[0]).toMatchObject({ actor: "admin", client: "127.0.0.1", requestId })
})

test("with the token an unknown path is 404 and a wrong method too", async () => {
  const { ask } = admin()
  expect(await errorOf(await ask("GET", "/nothing"))).toEqual([404, "NOT_FOUND"])
  expect(await errorOf(await ask("GET", "/admin/v1/reload"))).toEqual([404, "NOT_FOUND"])
})

import { expect, test } from "bun:test"
import { type BuiltinDeps, createBuiltins } from "../../src/admin/public.ts"
import type { Builtins } from "../../src/gateway/snapshot.ts"
import type { ServiceView } from "../../src/upstream/describe.ts"
import type { Answer } from "../../src/upstream/exchange.ts"
import { exampleConfig } from "../support/config.ts"
import { makeExchange } from "../support/exchange.ts"
import { instanceView } from "../support/instance_view.ts"

const NOON = Date.UTC(2026, 0, 2, 12)

function builtins(deps: Partial<BuiltinDeps> = {}) {
  const config = exampleConfig({})
  return createBuiltins({
    version: "1.2.3",
    ready: () => true,
    services: () => [],
    wallClock: () => NOON,
    config: () => config,
    ask: () => Promise.resolve(undefined),
    ...deps,
  })
}

async function answerOf(app: Builtins, request: { method?: string; path: string }): Promise<Answer> {
  const outcome = await app.answer(makeExchange(request))
  if (outcome === undefined) throw new Error("there is no answer")
  if (outcome.kind === "failure") throw new Error(outcome.code)
  return outcome.answer
}

async function get(path: string, deps: Partial<BuiltinDeps> = {}) {
  const answer = await answerOf(builtins(deps), { path })
  return { ...answer, text: Buffer.from(answer.body as Uint8Array).toString() }
}

test("[C-1.10] [I-health] GET /health answers exactly status, version and timestamp", async () => {
  const answer = await get("/health")
  expect(answer.status).toBe(200)
  expect(answer.fields.get("content-type")).toStartWith("application/json")
  expect(JSON.parse(answer.text)).toEqual({
    status: "healthy",
    version: "1.2.3",
    timestamp: "2026-01-02T12:00:00.000Z",
  })
})

test("[C-8.6] /health/live answers as long as the process does, /health/ready only while requests are welcome", async () => {
  expect((await get("/health/live", { ready: () => false })).status).toBe(200)
  expect((await get("/health/ready")).status).toBe(200)
  const draining = await get("/health/ready", { ready: () => false })
  expect(draining.status).toBe(503)
  expect(draining.fields.get("cache-control")).toBe("no-store")
})

const instance = (healthy: boolean, ejectedForMs: number) =>
  instanceView("http://10.1.2.3:8001", { healthy, ejectedForMs })
const breaker = (state: "open" | "half_open") => ({ state, requests: 0, failures: 0, retryAfterMs: 0 })

const SERVICES: ServiceView[] = [
  {
    name: "fine",
    status: "healthy",
    chain: [],
    own: "healthy",
    dependsOn: [],
    breaker: undefined,
    instances: [instance(true, 0)],
  },
  {
    name: "half",
    status: "degraded",
    chain: ["half"],
    own: "degraded",
    dependsOn: [],
    breaker: breaker("half_open"),
    instances: [instance(true, 0), instance(false, 1500)],
  },
]

test("[C-8.6] [T-6.5] /health/dependencies shows each service with its circuit and instances", async () => {
  const answer = await get("/health/dependencies", { services: () => SERVICES })
  expect(answer.status).toBe(200)
  expect(answer.text).not.toContain("10.1.2.3")
  expect(JSON.parse(answer.text)).toEqual({
    status: "degraded",
    timestamp: "2026-01-02T12:00:00.000Z",
    services: {
      fine: { status: "healthy", instances: [{ index: 0, healthy: true, ejected: false }] },
      half: {
        status: "degraded",
        breaker: "half_open",
        instances: [
          { index: 0, healthy: true, ejected: false },
          { index: 1, healthy: false, ejected: true },
        ],
      },
    },
  })
})

test("[C-8.6] /health/dependencies is 503 when a service is down", async () => {
  const down: ServiceView = {
    name: "gone",
    status: "down",
    chain: ["gone", "store"],
    own: "healthy",
    dependsOn: [{ service: "store", kind: "hard" }],
    breaker: breaker("open"),
    instances: [{ ...instance(true, 0), draining: true }],
  }
  const answer = await get("/health/dependencies", { services: () => [...SERVICES, down] })
  expect(answer.status).toBe(503)
  expect(JSON.parse(answer.text).status).toBe("down")
  // [T-6.5] And what leads to the cause is named.
  expect(JSON.parse(answer.text).services.gone).toEqual({
    status: "down",
    chain: ["gone", "store"],
    depends_on: [{ service: "store", kind: "hard" }],
    breaker: "open",
    instances: [{ index: 0, healthy: true, ejected: false, draining: true }],
  })
})

test("[C-12.1] the reference page loads nothing from elsewhere and runs no inline script", async () => {
  const page = await get("/docs")
  expect(page.fields.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'")
  expect(page.text).not.toMatch(/https?:\/\//)
  expect(page.text).not.toMatch(/<script(?![^>]*src=)|\son\w+=|style=/)
  const files = [...page.text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((found) => found[1]!)
  expect(files).toHaveLength(3)
  for (const path of files) {
    const file = await get(path)
    expect(file.status).toBe(200)
    expect(file.text.length).toBeGreaterThan(50)
    expect(file.fields.get("content-type")).toMatch(/^text\/(javascript|css)/)
  }
  expect((await get("/docs/start.js")).text).toContain("validatorUrl: null")
})

test("the document follows the configuration in force and is made once for each", async () => {
  let config = exampleConfig({ routes: [{ path: "/first", respond: {} }] })
  const app = builtins({ config: () => config })
  const paths = async () => {
    const answer = await answerOf(app, { path: "/docs/json" })
    return Object.keys(JSON.parse(Buffer.from(answer.body as Uint8Array).toString()).paths)
  }
  expect(await paths()).toContain("/first")
  config = exampleConfig({ routes: [{ path: "/second", respond: {} }] })
  const after = await paths()
  expect(after).toContain("/second")
  expect(after).not.toContain("/first")
})

test("every path told to the router is answered, and HEAD is answered like GET", async () => {
  const app = builtins()
  for (const { path } of app.routes(exampleConfig({}))) {
    expect([path, (await answerOf(app, { path })).status]).toEqual([path, 200])
  }
  expect((await answerOf(app, { method: "HEAD", path: "/health" })).status).toBe(200)
})

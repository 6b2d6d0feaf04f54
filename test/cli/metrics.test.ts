import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { VERSION } from "../../src/lib/version.ts"
import { METRICS } from "../../src/observe/catalogue.ts"
import { type Family, parseExposition, sampleValue } from "../support/exposition.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { issuerKey, TestIssuer } from "../support/issuer.ts"
import { askFrom } from "../support/loopback_client.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { startWsService } from "../support/ws_service.ts"

setDefaultTimeout(30_000)

const services: { stop(force: boolean): Promise<void> }[] = []

afterEach(async () => {
  await endGateways()
  await endRedis()
  for (const service of services.splice(0)) await service.stop(true)
})

function startService(answer: (request: Request) => Response | Promise<Response>): string {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, development: false, fetch: answer })
  services.push(server)
  return `http://127.0.0.1:${server.port}`
}

async function scrape(gateway: GatewayProcess): Promise<Map<string, Family>> {
  const response = await gateway.admin("/metrics")
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4")
  return parseExposition(await response.text())
}

test("[T-10.3 C-8.1 C-8.2 V-mon] traffic of every kind shows in every metric of the catalogue", async () => {
  const hold = Promise.withResolvers<void>()
  let held = 0
  const good = startService(async (request) => {
    if (new URL(request.url).pathname === "/held") {
      held++
      await hold.promise
    }
    return new Response("x".repeat(100))
  })
  const dead = "http://127.0.0.1:9"
  const failing = startService(() => new Response("", { status: 500 }))
  const sockets = startWsService()
  services.push({ stop: async () => sockets.stop() })
  const issuer = new TestIssuer([await issuerKey("first")])
  services.push({ stop: () => issuer.close() })
  const redis = await startRedis()
  const config = {
    server: { workers: 2 },
    redis: redis.url,
    store: "sqlite:./metrics.db",
    auth: { issuers: [{ issuer: issuer.url, audience: ["api"] }] },
    services: {
      good: {
        instances: [good],
        concurrency: { mode: "fixed", max: 100 },
        health: { path: "/", interval: "60s" },
      },
      halfdead: {
        instances: [dead, good],
        balance: "round_robin",
        ejection: { consecutive_failures: 1, base_time: "60s" },
        retry: { attempts: 2, budget: 1 },
      },
      failing: {
        instances: [failing],
        breaker: { failure_threshold: 3, min_throughput: 3 },
        retry: { attempts: 1 },
      },
      sockets: { instances: [`http://127.0.0.1:${sockets.port}`] },
    },
    abuse: { threshold: 10_000, allow: [] },
    defaults: { access_log: {}, auth: { required: false } },
    routes: [
      { path: "/good/*", service: "good", strip_prefix: "/good" },
      { path: "/halfdead", service: "halfdead" },
      { path: "/failing", service: "failing" },
      {
        path: "/few",
        respond: {},
        rate_limit: [
          { name: "few", by: "ip", rate: "3/h" },
          { name: "fewer", by: "ip", rate: "2/h", mode: "shadow" },
        ],
      },
      { path: "/ws", service: "sockets", websocket: "relay" },
    ],
  }
  const gateway = await startGateway(config)
  const statuses = async (path: string, times: number, init: RequestInit = {}) => {
    const seen: number[] = []
    for (let i = 0; i < times; i++) {
      const response = await fetch(gateway.url + path, init)
      await response.arrayBuffer()
      seen.push(response.status)
    }
    return seen
  }

  expect(await statuses("/good/a", 3)).toEqual([200, 200, 200])
  expect(await statuses("/good/a", 2, { method: "POST", body: "y".repeat(50) })).toEqual([200, 200])
  expect(await statuses("/nowhere", 1)).toEqual([404])
  const another = { headers: { connection: "Upgrade", upgrade: "h2c" } }
  expect(await statuses("/nowhere", 1, another)).toEqual([404])
  expect(await statuses("/halfdead", 2)).toEqual([200, 200])
  expect(await statuses("/failing", 4)).toEqual([500, 500, 500, 503])
  expect(await statuses("/few", 5)).toEqual([200, 200, 200, 429, 429])
  const wrong = { headers: { authorization: "Bearer x" } }
  expect(await statuses("/ws", 2, wrong)).toEqual([401, 401])
  const body = JSON.stringify({ address: "127.0.0.9", duration: "1h" })
  expect((await gateway.admin("/admin/v1/blocks", { method: "POST", body })).status).toBe(201)
  // The worker may not have been told yet.
  while ((await askFrom("127.0.0.9", gateway.port, "/nowhere/else")).status !== 403) await Bun.sleep(10)
  const socket = await openWs(`ws://127.0.0.1:${gateway.port}/ws`)
  socket.socket.send("hello")
  await until(() => socket.messages.length === 1, "the echo")
  const slow = [fetch(`${gateway.url}/good/held`), fetch(`${gateway.url}/good/held`)]
  await until(() => held === 2, "the held requests")
  expect((await gateway.admin("/admin/v1/reload", { method: "POST" })).status).toBe(200)
  gateway.writeConfig({ ...config, color: "red" })
  await until(() => gateway.log.some((line) => line.event === "config.rejected"), "the rejection")

  const pool = (page: Map<string, Family>, state: string) =>
    sampleValue(page, "gatehouse_pool_connections", { service: "good", instance: good, state })
  let page = await scrape(gateway)
  // Workers tell the state of their pools once a second.
  for (const deadline = Date.now() + 5000; pool(page, "busy") !== 2 && Date.now() < deadline; ) {
    await Bun.sleep(50)
    page = await scrape(gateway)
  }
  expect(pool(page, "busy")).toBe(2)
  expect(pool(page, "idle")).toBeGreaterThanOrEqual(0)
  expect(pool(page, "waiting")).toBe(0)

  const GOOD = { route: "/good/*" }
  const FAILING = { service: "failing" }
  const DEAD = { service: "halfdead", instance: dead }
  const GOOD_INSTANCE = { service: "good", instance: good }
  const wanted: readonly (readonly [name: string, labels: Record<string, string>, value: number])[] = [
    ["gatehouse_requests_total", { ...GOOD, method: "GET", status: "200" }, 3],
    ["gatehouse_requests_total", { ...GOOD, method: "POST", status: "200" }, 2],
    ["gatehouse_requests_total", { route: "unmatched", method: "GET", status: "404" }, 2],
    ["gatehouse_requests_total", { route: "/failing", method: "GET", status: "500" }, 3],
    ["gatehouse_requests_total", { route: "/failing", method: "GET", status: "503" }, 1],
    ["gatehouse_request_duration_seconds_count", GOOD, 5],
    ["gatehouse_upstream_duration_seconds_count", GOOD, 5],
    ["gatehouse_gateway_duration_seconds_count", GOOD, 5],
    ["gatehouse_request_bytes_total", GOOD, 100],
    ["gatehouse_response_bytes_total", GOOD, 500],
    ["gatehouse_requests_in_flight", {}, 2],
    ["gatehouse_errors_total", { code: "NOT_FOUND" }, 2],
    ["gatehouse_errors_total", { code: "CIRCUIT_OPEN" }, 1],
    ["gatehouse_retries_total", { service: "halfdead" }, 1],
    ["gatehouse_upstream_attempts_total", { service: "good", outcome: "answered" }, 5],
    ["gatehouse_upstream_attempts_total", { service: "halfdead", outcome: "connect" }, 1],
    ["gatehouse_upstream_attempts_total", { service: "failing", outcome: "server_error" }, 3],
    ["gatehouse_access_log_dropped_total", {}, 0],
    // Another version.
    ["gatehouse_client_connections_handed_over_total", {}, 1],
    ["gatehouse_client_connections_refused_total", { reason: "full" }, 0],
    // The WebSocket.
    ["gatehouse_websockets_open", {}, 1],
    ["gatehouse_websocket_messages_total", { direction: "from_client" }, 1],
    ["gatehouse_websocket_messages_total", { direction: "to_client" }, 1],
    ["gatehouse_websocket_bytes_total", { direction: "from_client" }, 5],
    ["gatehouse_websocket_bytes_total", { direction: "to_client" }, 5],
    ["gatehouse_authentications_total", { method: "jwt", result: "malformed" }, 2],
    ["gatehouse_identity_events_total", { event: "keys_fetched", outcome: "success" }, 1],
    ["gatehouse_rate_limit_total", { limit: "few", result: "allowed" }, 3],
    ["gatehouse_rate_limit_total", { limit: "few", result: "refused" }, 2],
    ["gatehouse_rate_limit_total", { limit: "fewer", result: "allowed" }, 2],
    ["gatehouse_rate_limit_total", { limit: "fewer", result: "shadowed" }, 1],
    ["gatehouse_rate_limit_overflow_total", { limit: "few" }, 0],
    ["gatehouse_rate_limit_keys", {}, 2],
    ["gatehouse_shed_total", { class: "low", reason: "concurrency" }, 0],
    ["gatehouse_concurrency_limit", { service: "good" }, 100],
    ["gatehouse_shedding_level", { worker: "1" }, 0],
    ["gatehouse_violations_total", { violation: "not_found" }, 2],
    ["gatehouse_violations_total", { violation: "unauthorized" }, 2],
    ["gatehouse_blocks_total", { reason: "operator" }, 1],
    ["gatehouse_blocked_clients", {}, 1],
    ["gatehouse_blocked_requests_total", { result: "refused" }, 1],
    ["gatehouse_faults_total", {}, 0],
    ["gatehouse_metrics_dropped_total", {}, 0],
    ["gatehouse_breaker_state", FAILING, 2],
    ["gatehouse_breaker_transitions_total", { ...FAILING, to: "open" }, 1],
    ["gatehouse_service_status", { service: "good" }, 0],
    ["gatehouse_service_status", FAILING, 2],
    ["gatehouse_instance_draining", GOOD_INSTANCE, 0],
    ["gatehouse_instance_healthy", GOOD_INSTANCE, 1],
    ["gatehouse_instance_in_flight", GOOD_INSTANCE, 2],
    ["gatehouse_instance_ejected", DEAD, 1],
    ["gatehouse_instance_ejected", GOOD_INSTANCE, 0],
    ["gatehouse_config_reloads_total", { result: "ok" }, 1],
    ["gatehouse_config_reloads_total", { result: "rejected" }, 1],
    ["gatehouse_config_generation", {}, 2],
    ["gatehouse_worker_restarts_total", {}, 0],
    ["gatehouse_workers", {}, 2],
    ["gatehouse_build_info", { version: VERSION }, 1],
  ]
  const found = wanted.map(([name, labels]) => [name, labels, sampleValue(page, name, labels)])
  expect(found).toEqual(wanted.map((row) => [...row]))
  const checked = new Set(wanted.map(([name]) => name.replace(/_count$/, "")))
  expect(METRICS.map(({ name }) => name).filter((name) => !checked.has(name))).toEqual([
    "gatehouse_pool_connections",
    "gatehouse_client_connections",
    "gatehouse_event_loop_lag_seconds",
    // Shown by test/e2e/quota.test.ts: it needs callers.
    "gatehouse_quota_total",
    // Shown by test/e2e/realtime_metrics.test.ts: they need clients of the realtime endpoint.
    "gatehouse_realtime_connections",
    "gatehouse_realtime_closed_total",
    "gatehouse_realtime_publications_total",
    "gatehouse_realtime_redeliveries_total",
    "gatehouse_realtime_dead_letters_total",
    "gatehouse_realtime_forwards_total",
    "gatehouse_realtime_forward_queue",
    // Shown by test/e2e/safety.test.ts.
    "gatehouse_realtime_judged_total",
    "gatehouse_safety_events_total",
    "gatehouse_safety_deliveries_total",
    "gatehouse_safety_waiting",
    "gatehouse_redis_up",
    "gatehouse_limit_sync_total",
    "gatehouse_block_sync_total",
    // Shown by test/e2e/registry.test.ts: it needs a service that registers itself.
    "gatehouse_registry_events_total",
    // Shown by test/e2e/discovery.test.ts: they need instances that come and go.
    "gatehouse_service_events_total",
    "gatehouse_instance_events_total",
    "gatehouse_discovery_instances",
    "gatehouse_discovery_updates_total",
    "gatehouse_store_queries_total",
    "gatehouse_store_query_seconds_total",
  ])
  expect(sampleValue(page, "gatehouse_client_connections", {})).toBeGreaterThanOrEqual(3)
  expect(sampleValue(page, "gatehouse_redis_up", {})).toBe(1)
  expect(sampleValue(page, "gatehouse_limit_sync_total", { result: "sent" })).toBeGreaterThan(0)
  expect(sampleValue(page, "gatehouse_block_sync_total", { result: "unfit" })).toBe(0)
  expect(sampleValue(page, "gatehouse_event_loop_lag_seconds", { worker: "1" })).toBeGreaterThanOrEqual(0)
  expect(sampleValue(page, "gatehouse_store_queries_total", { outcome: "ok" })).toBeGreaterThan(0)
  expect(sampleValue(page, "gatehouse_store_query_seconds_total", { outcome: "ok" })).toBeGreaterThan(0)

  socket.socket.close()
  hold.resolve()
  for (const each of slow) await (await each).text()
  await until(() => socket.closed !== undefined, "the close")
  page = await scrape(gateway)
  for (const deadline = Date.now() + 5000; Date.now() < deadline; page = await scrape(gateway)) {
    if (sampleValue(page, "gatehouse_websockets_open") === 0 && pool(page, "busy") === 0) break
    await Bun.sleep(50)
  }
  expect(sampleValue(page, "gatehouse_websockets_open")).toBe(0)
  expect(sampleValue(page, "gatehouse_requests_in_flight")).toBe(0)
  expect(pool(page, "busy")).toBe(0)
  expect(pool(page, "idle")).toBeGreaterThan(0)
})

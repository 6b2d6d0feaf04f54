import { expect, test } from "bun:test"
import { Accounting, AttemptCounter, finalStatus } from "../../src/observe/account.ts"
import { METRICS } from "../../src/observe/catalogue.ts"
import { createExposition, type GaugeRow } from "../../src/observe/exposition.ts"
import { instanceLabel, LabelDirectory } from "../../src/observe/labels.ts"
import { createSeriesBuffer, Series, seriesKey } from "../../src/observe/series.ts"
import { type ExchangeParts, makeAnswer, makeExchange } from "../support/exchange.ts"
import { parseExposition, sampleValue } from "../support/exposition.ts"

const CODES = ["NOT_FOUND", "GATEWAY_TIMEOUT"]

function makeMetrics(workers = 1, gauges: readonly GaugeRow[] = []) {
  const labels = new LabelDirectory()
  const tables = Array.from({ length: workers }, () => createSeriesBuffer(4096))
  const options = { codes: CODES, serviceId: (name: string) => labels.id("service", name) }
  const series = tables.map((table) => new Series(table))
  const accounting = series.map((each) => new Accounting(each, options))
  const exposition = createExposition({
    tables: () => tables,
    labels,
    codes: CODES,
    gauges: () => gauges,
    version: "1.2.3",
  })
  const route = { id: labels.id("route", "GET /items/*"), label: "GET /items/*", service: "context" }
  return { labels, tables, series, accounting, exposition, route, options }
}

function ended(parts: ExchangeParts, status = 200, changes: object = {}) {
  return Object.assign(makeExchange(parts), { answer: makeAnswer(status) }, changes)
}

test("[T-10.3 C-8.1 C-8.2] a request is counted by route, method and status, with its times, bytes and retries", async () => {
  const { accounting, exposition, route } = makeMetrics()
  const exchange = ended({ method: "POST", path: "/items/7", route, startedAt: 1000 }, 201, {
    bytesIn: 10,
    bytesOut: 300,
    upstreamMs: 30,
    instance: "http://127.0.0.1:1",
    retries: 2,
  })
  accounting[0]!.begin()
  accounting[0]!.end(exchange, 1040)
  const found = parseExposition(await exposition.text())
  const label = { route: "GET /items/*" }
  expect(sampleValue(found, "gatehouse_requests_total", { ...label, method: "POST", status: "201" })).toBe(1)
  expect(sampleValue(found, "gatehouse_request_bytes_total", label)).toBe(10)
  expect(sampleValue(found, "gatehouse_response_bytes_total", label)).toBe(300)
  expect(sampleValue(found, "gatehouse_retries_total", { service: "context" })).toBe(2)
  for (const [name, seconds] of [
    ["request", 0.04],
    ["upstream", 0.03],
    ["gateway", 0.01],
  ] as const) {
    expect(sampleValue(found, `gatehouse_${name}_duration_seconds_sum`, label)).toBeCloseTo(seconds, 9)
    expect(sampleValue(found, `gatehouse_${name}_duration_seconds_count`, label)).toBe(1)
  }
  expect(sampleValue(found, "gatehouse_request_duration_seconds_bucket", { ...label, le: "0.025" })).toBe(0)
  expect(sampleValue(found, "gatehouse_request_duration_seconds_bucket", { ...label, le: "0.05" })).toBe(1)
})

test("a duration on a bound falls below it, one beyond the last only into +Inf", async () => {
  const { accounting, exposition, route } = makeMetrics()
  accounting[0]!.end(ended({ route }), 1)
  accounting[0]!.end(ended({ route }), 31_000)
  const found = parseExposition(await exposition.text())
  const bucket = (le: string) =>
    sampleValue(found, "gatehouse_request_duration_seconds_bucket", { route: "GET /items/*", le })
  expect([bucket("0.001"), bucket("30"), bucket("+Inf")]).toEqual([1, 1, 2])
})

test("a request no upstream was asked for has no upstream duration", async () => {
  const { accounting, exposition, route } = makeMetrics()
  accounting[0]!.end(ended({ route }), 5)
  const found = parseExposition(await exposition.text())
  expect(found.get("gatehouse_upstream_duration_seconds")!.samples).toEqual([])
})

test("requests in flight are those that have begun and not ended, over all workers", async () => {
  const { accounting, exposition } = makeMetrics(2)
  accounting[0]!.begin()
  accounting[0]!.begin()
  accounting[1]!.begin()
  accounting[0]!.end(ended({}), 1)
  expect(sampleValue(parseExposition(await exposition.text()), "gatehouse_requests_in_flight")).toBe(2)
})

test("workers' counts add up", async () => {
  const { accounting, exposition, route } = makeMetrics(2)
  for (const each of accounting) each.end(ended({ route }), 3)
  const found = parseExposition(await exposition.text())
  const labels = { route: "GET /items/*", method: "GET", status: "200" }
  expect(sampleValue(found, "gatehouse_requests_total", labels)).toBe(2)
})

test("a worker that replaces a lost one keeps the counters and starts with nothing in flight", async () => {
  const { accounting, exposition, route, tables, options } = makeMetrics()
  accounting[0]!.begin()
  accounting[0]!.begin()
  accounting[0]!.end(ended({ route }), 3)
  new Accounting(new Series(tables[0]!), options)
  const found = parseExposition(await exposition.text())
  expect(sampleValue(found, "gatehouse_requests_in_flight")).toBe(0)
  const labels = { route: "GET /items/*", method: "GET", status: "200" }
  expect(sampleValue(found, "gatehouse_requests_total", labels)).toBe(1)
})

test("a client that leaves early counts as 499, whatever the answer was", async () => {
  const { accounting, exposition, route } = makeMetrics()
  const exchange = ended({ route }, 200)
  exchange.clientLeft()
  expect(finalStatus(exchange)).toBe(499)
  accounting[0]!.end(exchange, 3)
  const labels = { route: "GET /items/*", method: "GET", status: "499" }
  expect(sampleValue(parseExposition(await exposition.text()), "gatehouse_requests_total", labels)).toBe(1)
})

test("failures of the gateway are counted by code, unknown ones as other", async () => {
  const { accounting, exposition } = makeMetrics()
  accounting[0]!.end(ended({}, 404, { failure: "NOT_FOUND" }), 1)
  accounting[0]!.failed("GATEWAY_TIMEOUT")
  accounting[0]!.failed("SURPRISE")
  const found = parseExposition(await exposition.text())
  for (const code of ["NOT_FOUND", "GATEWAY_TIMEOUT", "other"])
    expect(sampleValue(found, "gatehouse_errors_total", { code })).toBe(1)
})

test("attempts are counted by service and outcome, and every outcome is there from the start", async () => {
  const { exposition, labels, series } = makeMetrics()
  const counter = new AttemptCounter(series[0]!, labels.id("service", "context"))
  counter.count("timeout")
  const found = parseExposition(await exposition.text())
  const value = (outcome: string) =>
    sampleValue(found, "gatehouse_upstream_attempts_total", { service: "context", outcome })
  expect([value("timeout"), value("reset")]).toEqual([1, 0])
})

test("[F-73] 10,000 random paths, methods and users leave no trace in labels and keep the page under 2 MB", async () => {
  const { accounting, exposition, route } = makeMetrics()
  for (let i = 0; i < 10_000; i++) {
    const parts = { path: `/secret-${i}`, method: `M${i}`, headers: { "x-user-id": `user-${i}` } }
    accounting[0]!.end(
      ended(i % 2 === 0 ? { ...parts, route } : parts, 404, { failure: "NOT_FOUND" }),
      i % 50,
    )
  }
  const text = await exposition.text()
  expect(text.length).toBeLessThan(2_000_000)
  expect(text).not.toContain("secret-")
  expect(text).not.toContain("user-")
  const labels = { route: "unmatched", method: "other", status: "404" }
  expect(sampleValue(parseExposition(text), "gatehouse_requests_total", labels)).toBe(5000)
  expect(sampleValue(parseExposition(text), "gatehouse_metrics_dropped_total")).toBe(0)
})

test("rows of the control plane are printed, and a row that is not in the catalogue is refused", async () => {
  const rows: GaugeRow[] = [
    { metric: "gatehouse_breaker_state", labels: { service: "context" }, value: 2 },
    { metric: "gatehouse_config_reloads_total", labels: { result: "ok" }, value: 3 },
    { metric: "gatehouse_instance_healthy", labels: { service: "a", instance: "http://h:1" }, value: 1 },
  ]
  const found = parseExposition(await makeMetrics(1, rows).exposition.text())
  for (const { metric, labels, value } of rows) expect(sampleValue(found, metric, labels)).toBe(value)
  expect(sampleValue(found, "gatehouse_build_info", { version: "1.2.3" })).toBe(1)
  const wrong = [{ metric: "gatehouse_breaker_state", labels: { path: "/x" }, value: 1 }]
  await expect(makeMetrics(1, wrong).exposition.text()).rejects.toThrow("gatehouse_breaker_state")
})

test("pool connections carry service, instance and state", async () => {
  const { exposition, labels, series } = makeMetrics()
  const instance = labels.id("instance", instanceLabel("context", "http://127.0.0.1:8001"))
  series[0]!.set(seriesKey(11, instance, 1), 4)
  const found = parseExposition(await exposition.text())
  const wanted = { service: "context", instance: "http://127.0.0.1:8001", state: "busy" }
  expect(sampleValue(found, "gatehouse_pool_connections", wanted)).toBe(4)
})

test("a label with quotes, backslashes and line feeds comes out as it went in", async () => {
  const { accounting, exposition, labels } = makeMetrics()
  const label = 'GET /a"b\\c\nd'
  accounting[0]!.end(ended({ route: { id: labels.id("route", label), label, service: "" } }), 1)
  const found = parseExposition(await exposition.text())
  expect(sampleValue(found, "gatehouse_requests_total", { route: label, method: "GET", status: "200" })).toBe(
    1,
  )
})

test("every metric of the catalogue and the process metrics are on the page, scrape after scrape", async () => {
  const { exposition } = makeMetrics()
  const first = parseExposition(await exposition.text())
  const second = parseExposition(await exposition.text())
  expect([...second.keys()]).toEqual([...first.keys()])
  for (const { name } of METRICS) expect(first.has(name)).toBe(true)
  expect(sampleValue(second, "process_resident_memory_bytes")).toBeGreaterThan(1_000_000)
  expect(exposition.contentType).toStartWith("text/plain; version=0.0.4")
})

test.skipIf(Bun.which("promtool") === null)("Prometheus' own checker accepts the page", async () => {
  const { accounting, exposition, route } = makeMetrics()
  accounting[0]!.end(ended({ route }), 7)
  const checker = Bun.spawn(["promtool", "check", "metrics"], {
    stdin: "pipe",
    stderr: "pipe",
    stdout: "pipe",
  })
  checker.stdin.write(await exposition.text())
  checker.stdin.end()
  expect(await new Response(checker.stderr).text()).toBe("")
  expect(await checker.exited).toBe(0)
})

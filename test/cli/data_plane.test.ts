import { afterEach, expect, test } from "bun:test"
import { builtinRoutes } from "../../src/admin/public.ts"
import { DataPlane } from "../../src/cli/data_plane.ts"
import { assignLabels } from "../../src/gateway/assign_labels.ts"
import type { FromWorker, Generation } from "../../src/gateway/protocol.ts"
import { now, sampleClock } from "../../src/lib/clock.ts"
import { createExposition } from "../../src/observe/exposition.ts"
import { LabelDirectory } from "../../src/observe/labels.ts"
import { createSeriesBuffer } from "../../src/observe/series.ts"
import { FAILURES } from "../../src/policies/failure.ts"
import { createLimitMemory } from "../../src/store/limit_table.ts"
import { createUpstreamMemory } from "../../src/upstream/memory.ts"
import { SlotDirectory } from "../../src/upstream/slots.ts"
import { SERVICE_CERTIFICATE, SERVICE_KEY } from "../support/certificates.ts"
import { exampleConfig } from "../support/config.ts"
import { type Family, parseExposition, sampleValue } from "../support/exposition.ts"
import { makeScores } from "../support/guard.ts"
import { until } from "../support/until.ts"

const LIMITS = { table: createLimitMemory(1000), key: [1, 2] } as const
const planes: DataPlane[] = []
const upstreams: { stop(force: boolean): Promise<void> }[] = []

afterEach(async () => {
  for (const plane of planes.splice(0)) plane.receive({ kind: "close" })
  for (const upstream of upstreams.splice(0)) await upstream.stop(true)
})

/** A worker's data plane in this thread, with the test as its control plane. */
function open(file: object, tls?: { cert: string; key: string }) {
  const memory = createUpstreamMemory(1)
  const slots = new SlotDirectory(memory, now)
  const labels = new LabelDirectory()
  const series = createSeriesBuffer()
  const posted: FromWorker[] = []
  const generation = (number: number, body: object): Generation => {
    const config = exampleConfig(body)
    return {
      number,
      config,
      slots: slots.assign(config.services),
      labels: assignLabels(labels, config, builtinRoutes(config), 0),
    }
  }
  const plane = new DataPlane(
    {
      kind: "init",
      clock: sampleClock(),
      worker: 0,
      hostname: "127.0.0.1",
      port: 0,
      tls,
      memory,
      limits: LIMITS,
      abuse: { scores: makeScores(), blocked: [] },
      series,
      generation: generation(1, file),
      identity: undefined,
    },
    (message) => posted.push(message),
  )
  planes.push(plane)
  const ofKind = <K extends FromWorker["kind"]>(kind: K) =>
    posted.filter((each): each is Extract<FromWorker, { kind: K }> => each.kind === kind)
  const [ready] = ofKind("ready")
  const exposition = createExposition({
    tables: () => [series],
    labels,
    codes: Object.keys(FAILURES),
    gauges: () => [],
    version: "1",
  })
  return {
    plane,
    ofKind,
    generation,
    url: `http://127.0.0.1:${ready!.port}`,
    metrics: async (): Promise<Map<string, Family>> => parseExposition(await exposition.text()),
  }
}

const page = (body: string) => ({ routes: [{ path: "/", respond: { body } }] })
const text = async (url: string) => (await fetch(url)).text()

test("it says that it is ready, answers, and takes a new generation without a break", async () => {
  const { plane, ofKind, generation, url } = open(page("one"))
  expect(ofKind("ready")).toMatchObject([{ generation: 1 }])
  expect(await text(url)).toBe("one")
  plane.receive({ kind: "apply", generation: generation(2, page("two")) })
  expect(ofKind("applied")).toEqual([{ kind: "applied", generation: 2, error: "" }])
  expect(await text(url)).toBe("two")
})

test("[F-47] a generation it cannot compile is refused with the reason, and the old one stays", async () => {
  const { plane, ofKind, generation, url } = open(page("one"))
  const broken = { services: { a: { instances: ["gopher://x"] } }, ...page("two") }
  plane.receive({ kind: "apply", generation: generation(2, broken) })
  expect(ofKind("applied")[0]!.error).toContain("gopher")
  expect(await text(url)).toBe("one")
})

test("pings are answered, a fault is counted and logged", async () => {
  const { plane, ofKind, metrics } = open(page("one"))
  plane.receive({ kind: "ping" })
  expect(ofKind("pong").length).toBe(1)
  plane.fault("exception", new Error("a bug"))
  expect(ofKind("log")[0]!.line).toContain('"event":"process.fault"')
  expect(sampleValue(await metrics(), "gatehouse_faults_total")).toBe(1)
})

test("readiness follows draining, and closing ends with a last word", async () => {
  const { plane, ofKind, url } = open({ ...page("one"), defaults: { access_log: {} } })
  expect((await fetch(`${url}/health/ready`)).status).toBe(200)
  await text(url)
  plane.receive({ kind: "drain" })
  const ready = await fetch(`${url}/health/ready`)
  expect([ready.status, ready.headers.get("connection")]).toEqual([503, "close"])
  plane.receive({ kind: "close" })
  await until(() => ofKind("closed").length === 1, "the last word")
  expect(ofKind("access")[0]!.lines).toContain('"path":"/"')
  planes.length = 0
})

test("a circuit that opens is told to the control plane, attempts and pools are counted", async () => {
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response("", { status: 500 }),
  })
  upstreams.push(upstream)
  const instance = `http://127.0.0.1:${upstream.port}`
  const { ofKind, url, metrics, generation, plane } = open({
    services: {
      app: {
        instances: [instance],
        breaker: { failure_threshold: 2, min_throughput: 2 },
        retry: { attempts: 1 },
      },
    },
    routes: [{ path: "/", service: "app" }],
  })
  for (let i = 0; i < 3; i++) await text(url)
  expect(ofKind("circuit")).toEqual([{ kind: "circuit", service: "app", state: "open" }])
  const attempts = { service: "app", outcome: "server_error" }
  expect(sampleValue(await metrics(), "gatehouse_upstream_attempts_total", attempts)).toBe(2)

  const idle = async () =>
    sampleValue(await metrics(), "gatehouse_pool_connections", { service: "app", instance, state: "idle" })
  let seen = await idle()
  for (const deadline = Date.now() + 5000; seen !== 1 && Date.now() < deadline; seen = await idle())
    await Bun.sleep(20)
  expect(seen).toBe(1)
  plane.receive({ kind: "apply", generation: generation(2, page("none")) })
})

test("a new certificate is taken; one that is none leaves the old", async () => {
  const { plane, ofKind, url } = open(page("one"), { cert: SERVICE_CERTIFICATE, key: SERVICE_KEY })
  plane.receive({ kind: "tls", pair: { cert: "no PEM", key: "no PEM" } })
  expect(ofKind("tls_rejected").length).toBe(1)
  plane.receive({ kind: "tls", pair: { cert: SERVICE_CERTIFICATE, key: SERVICE_KEY } })
  expect(ofKind("tls_rejected").length).toBe(1)
  const secure = url.replace("http", "https")
  const answer = await fetch(secure, { tls: { rejectUnauthorized: false } })
  expect(await answer.text()).toBe("one")
})

test("a port that is taken fails with a message for the operator", () => {
  const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() })
  upstreams.push(other)
  const config = exampleConfig(page("x"))
  const memory = createUpstreamMemory(1)
  const labels = assignLabels(new LabelDirectory(), config, builtinRoutes(config), 0)
  const generation: Generation = {
    number: 1,
    config,
    slots: new SlotDirectory(memory, now).assign({}),
    labels,
  }
  const series = createSeriesBuffer()
  const init = {
    kind: "init",
    clock: sampleClock(),
    worker: 0,
    hostname: "127.0.0.1",
    tls: undefined,
    memory,
    limits: LIMITS,
    abuse: { scores: makeScores(), blocked: [] },
    series,
    identity: undefined,
  } as const
  expect(() => new DataPlane({ ...init, port: other.port!, generation }, () => undefined)).toThrow(
    `127.0.0.1:${other.port}: the port is taken by another program`,
  )
})

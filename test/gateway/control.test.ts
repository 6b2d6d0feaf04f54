import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { builtinRoutes } from "../../src/admin/public.ts"
import { startThread } from "../../src/cli/thread.ts"
import type { Loaded } from "../../src/config/load.ts"
import type { Control } from "../../src/gateway/control.ts"
import type { IdentityPort } from "../../src/gateway/control_options.ts"
import { LineWriter } from "../../src/gateway/line_writer.ts"
import { openControl } from "../../src/gateway/open_control.ts"
import type { WorkerThread } from "../../src/gateway/supervisor.ts"
import { now } from "../../src/lib/clock.ts"
import { Counts } from "../../src/observe/counts.ts"
import { exampleConfig } from "../support/config.ts"
import { serialOf } from "../support/gateway_tls.ts"
import { NO_IDENTITY } from "../support/identity.ts"
import { memoryLog } from "../support/memory_log.ts"
import { FIRST_PAIR, SECOND_PAIR } from "../support/server_pairs.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(20_000)

const controls: Control[] = []
const upstreams: { stop(force: boolean): Promise<void> }[] = []

afterEach(async () => {
  for (const control of controls.splice(0)) control.terminate()
  for (const upstream of upstreams.splice(0)) await upstream.stop(true)
})

/** A control plane with real worker threads, whose handles the test holds. */
async function open(file: object, identity: IdentityPort = NO_IDENTITY) {
  const threads: WorkerThread[] = []
  const log = memoryLog()
  const workerLines: string[] = []
  let next: Loaded = { ok: false, problems: [], warnings: [] }
  const control = await openControl({
    config: exampleConfig({ server: { host: "127.0.0.1", port: 0 }, ...file }),
    load: () => next,
    workers: 2,
    startThread(index, events) {
      const thread = startThread(index, events)
      threads.push(thread)
      return thread
    },
    builtinRoutes,
    ledger: undefined,
    identity,
    version: "1.2.3",
    log,
    writeLog: (line) => workerLines.push(line),
    counts: new Counts(),
    accessLog: new LineWriter({ write: () => Promise.resolve() }),
    now,
    after(ms, run) {
      const timer = setTimeout(run, ms)
      return () => clearTimeout(timer)
    },
  })
  controls.push(control)
  const url = `http://127.0.0.1:${control.port}`
  return {
    control,
    threads,
    log,
    url,
    reloadWith(config: object) {
      next = {
        ok: true,
        config: exampleConfig({ server: { host: "127.0.0.1", port: 0 }, ...config }),
        warnings: [],
      }
      return control.reload()
    },
    /** On a connection of its own, so that any worker may answer. */
    get: (path: string) => fetch(url + path, { headers: { connection: "close" } }),
  }
}

const HELLO = { routes: [{ path: "/", respond: { body: "hello" } }] }

test("a worker that crashes is replaced by one with the newest config; the other goes on", async () => {
  const { control, threads, log, get, reloadWith } = await open(HELLO)
  expect(await reloadWith({ routes: [{ path: "/", respond: { body: "newer" } }] })).toMatchObject({
    generation: 2,
  })
  // A message it cannot read is an uncaught error in the worker.
  threads[0]!.post(undefined as never)
  await until(() => log.events.some((each) => each.event === "worker.replaced"), "the replacement", 10_000)
  expect(log.events.filter((each) => each.event === "worker.lost")).toMatchObject([
    { level: "error", fields: { worker: 0 } },
  ])
  expect(
    control.status().workers.map(({ state, restarts, generation }) => [state, restarts, generation]),
  ).toEqual([
    ["running", 1, 2],
    ["running", 0, 2],
  ])
  for (let i = 0; i < 10; i++) expect(await (await get("/")).text()).toBe("newer")
  expect(await control.metrics.text()).toContain("gatehouse_worker_restarts_total 1")
})

test("requests a crashed worker held count no longer as in flight", async () => {
  const asked = Promise.withResolvers<void>()
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch() {
      asked.resolve()
      return new Promise<Response>(() => {})
    },
  })
  upstreams.push(upstream)
  const { control, threads, log, get } = await open({
    services: { app: { instances: [`http://127.0.0.1:${upstream.port}`] } },
    routes: [{ path: "/", service: "app" }],
  })
  const lost = get("/").catch(() => "lost")
  await asked.promise
  expect(control.services()[0]!.instances[0]!.inFlight).toBe(1)
  for (const thread of [...threads]) thread.post(undefined as never)
  await until(
    () => log.events.filter((each) => each.event === "worker.replaced").length === 2,
    "both",
    10_000,
  )
  expect(await lost).toBe("lost")
  expect(control.services()[0]!.instances[0]!.inFlight).toBe(0)
})

test("[F-47] a config only compiling refuses is kept out of every worker; the old one stays", async () => {
  const { control, reloadWith, get } = await open(HELLO)
  const outcome = await reloadWith({
    services: { app: { instances: ["gopher://nowhere"] } },
    routes: [{ path: "/", service: "app" }],
  })
  expect(outcome.result).toBe("rejected")
  expect(JSON.stringify(outcome)).toContain("gopher")
  expect(control.status().generation).toBe(1)
  for (let i = 0; i < 6; i++) expect(await (await get("/")).text()).toBe("hello")
  expect(await reloadWith({ routes: [{ path: "/", respond: { body: "next" } }] })).toMatchObject({
    generation: 2,
  })
  expect(await (await get("/")).text()).toBe("next")
})

test("[F-47] after a refused config the health checks of the old one still reach every worker", async () => {
  let status = 200
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response("", { status }),
  })
  upstreams.push(upstream)
  const health = { path: "/", interval: "20ms", unhealthy_after: 1, healthy_after: 1 }
  const { control, reloadWith } = await open({
    services: { app: { instances: [`http://127.0.0.1:${upstream.port}`], health } },
    routes: [{ path: "/", service: "app" }],
  })
  const refused = await reloadWith({
    services: { other: { instances: ["gopher://nowhere"] } },
    routes: [{ path: "/", service: "other" }],
  })
  expect(refused.result).toBe("rejected")
  status = 503
  await until(() => control.services()[0]!.instances[0]!.healthy === false, "the checks to be seen")
})

test("[F-47] reloads asked for at once happen one after another, and those that wait become one", async () => {
  const { control, reloadWith } = await open(HELLO)
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => reloadWith(HELLO)))
  expect(outcomes.every((outcome) => outcome.result === "applied")).toBe(true)
  expect(control.status().generation).toBeLessThanOrEqual(3)
})

test("[C-7.7] [T-1.3] an open circuit is closed by hand and the service is asked again", async () => {
  let failing = true
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => (failing ? new Response("", { status: 500 }) : new Response("well")),
  })
  upstreams.push(upstream)
  const { control, get } = await open({
    services: {
      app: {
        instances: [`http://127.0.0.1:${upstream.port}`],
        breaker: { failure_threshold: 3, min_throughput: 3 },
        retry: { attempts: 1 },
      },
    },
    routes: [{ path: "/", service: "app" }],
  })
  for (let i = 0; i < 3; i++) expect((await get("/")).status).toBe(500)
  expect((await get("/")).status).toBe(503)
  const dependencies = await get("/health/dependencies")
  expect(dependencies.status).toBe(503)
  expect(await dependencies.json()).toMatchObject({ services: { app: { status: "down", breaker: "open" } } })
  expect(await control.metrics.text()).toContain(
    'gatehouse_breaker_transitions_total{service="app",to="open"} 1',
  )
  failing = false
  expect(control.resetBreaker("app")).toBe(true)
  expect(await (await get("/")).text()).toBe("well")
  expect(control.resetBreaker("nobody")).toBe(false)
})

test("[C-7.7] an ejected instance is returned by hand", async () => {
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response("", { status: 500 }),
  })
  const good = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("good") })
  upstreams.push(upstream, good)
  const bad = `http://127.0.0.1:${upstream.port}`
  const { control, get } = await open({
    services: {
      app: {
        instances: [bad, `http://127.0.0.1:${good.port}`],
        balance: "round_robin",
        ejection: { consecutive_failures: 2 },
        retry: { attempts: 1 },
      },
    },
    routes: [{ path: "/", service: "app" }],
  })
  const ejected = () => control.services()[0]!.instances[0]!.ejectedForMs > 0
  for (let i = 0; i < 20 && !ejected(); i++) await get("/")
  expect(ejected()).toBe(true)
  expect(control.returnInstances("app", "http://127.0.0.1:1")).toBeUndefined()
  expect(control.returnInstances("app", bad)).toBe(1)
  expect(ejected()).toBe(false)
})

test("a new pair of TLS files is taken by all workers; one that does not fit is not", async () => {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-control-"))
  const tls = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") }
  const write = ({ cert, key }: { cert: string; key: string }) => {
    writeFileSync(tls.cert, cert)
    writeFileSync(tls.key, key)
  }
  try {
    write(FIRST_PAIR)
    const { control, log } = await open({ server: { host: "127.0.0.1", port: 0, tls }, ...HELLO })
    const first = await serialOf(control.port)
    write({ cert: SECOND_PAIR.cert, key: "no key" })
    await until(() => log.events.some((each) => each.event === "tls.rejected"), "the refusal", 10_000)
    expect(await serialOf(control.port)).toBe(first)
    write(SECOND_PAIR)
    await until(() => log.events.some((each) => each.event === "tls.replaced"), "the new pair", 10_000)
    // The workers change one after the other.
    let shown = first
    for (const deadline = Date.now() + 5000; shown === first && Date.now() < deadline; )
      shown = await serialOf(control.port).catch(() => first)
    expect(shown).not.toBe(first)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test("a port that is taken fails the start with a message and leaves no worker", async () => {
  const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() })
  upstreams.push(other)
  const start = open({ server: { host: "127.0.0.1", port: other.port }, ...HELLO })
  expect(start).rejects.toThrow(`127.0.0.1:${other.port}: the port is taken by another program`)
  await start.catch(() => {})
})

test("[F-46] a reload whose keys have vanished since they were checked changes nothing at all", async () => {
  const gone = new Error("auth.keys[0].file: cannot be read: ENOENT")
  let fails = false
  const identity: IdentityPort = {
    ...NO_IDENTITY,
    apply() {
      if (fails) throw gone
    },
  }
  const { control, get, reloadWith } = await open(HELLO, identity)
  const before = control.config
  fails = true
  const other = { routes: [{ path: "/", respond: { body: "other" } }] }
  expect(await reloadWith(other)).toEqual({
    result: "rejected",
    problems: [{ path: "", message: gone.message }],
  })
  expect(control.config).toBe(before)
  expect(control.status().generation).toBe(1)
  expect(await (await get("/")).text()).toBe("hello")
  fails = false
  expect(await reloadWith(other)).toMatchObject({ result: "applied", generation: 2 })
})

test("[T-5.5] clients are scored once a reload has brought `abuse`, also by a worker that starts later", async () => {
  const { threads, log, get, reloadWith } = await open(HELLO)
  const abuse = { threshold: 3, allow: [], block: { first: "1s" } }
  expect(await reloadWith({ ...HELLO, abuse })).toMatchObject({ generation: 2 })
  const misbehave = async () => {
    for (let i = 0; i < 20; i++) await (await get("/nothing-here")).bytes()
  }
  await misbehave()
  const blocked = () => log.events.filter((each) => each.event === "client.blocked").length
  await until(() => blocked() === 1, "the block", 5000)

  for (const thread of threads) thread.post(undefined as never)
  const replaced = () => log.events.filter((each) => each.event === "worker.replaced").length
  await until(() => replaced() === 2, "the replacements", 10_000)
  await untilAsked(async () => (await get("/")).status === 200, "the end of the block", 5000)
  await misbehave()
  await until(() => blocked() === 2, "the second block", 5000)
})

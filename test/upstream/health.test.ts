import { afterEach, describe, expect, test } from "bun:test"
import { now } from "../../src/lib/clock.ts"
import { type HealthChange, HealthChecker } from "../../src/upstream/health.ts"
import { InstanceState } from "../../src/upstream/instance_state.ts"
import { createUpstreamMemory } from "../../src/upstream/memory.ts"
import { instanceKey, SlotDirectory } from "../../src/upstream/slots.ts"
import { RawUpstream } from "../support/raw_upstream.ts"
import { serviceConfig } from "../support/services.ts"
import { until } from "../support/until.ts"

const open: { close(): void }[] = []
afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

/** A checker whose next checks run when the test says so. */
class Checks {
  readonly memory = createUpstreamMemory(1)
  readonly directory = new SlotDirectory(this.memory, now)
  readonly changes: HealthChange[] = []
  readonly waits: number[] = []
  due: (() => void)[] = []
  random = 0.5
  readonly checker = new HealthChecker(this.memory, {
    now,
    random: () => this.random,
    onChange: (change) => this.changes.push(change),
    schedule: (run, ms) => {
      this.waits.push(ms)
      this.due.push(run)
      return () => {
        this.due = this.due.filter((one) => one !== run)
      }
    },
  })

  constructor() {
    open.push(this.checker)
  }

  apply(services: Record<string, object>): void {
    const configs = Object.fromEntries(
      Object.entries(services).map(([name, file]) => [name, serviceConfig(file)]),
    )
    this.checker.apply(configs, this.directory.assign(configs))
    this.#configs = configs
  }
  #configs = {}

  /** Waits until the checks under way are done, then runs the next ones and waits for them. */
  async round(): Promise<void> {
    await this.settled(1)
    const runs = this.due.splice(0)
    for (const run of runs) run()
    await this.settled(runs.length)
  }

  async settled(checks: number): Promise<void> {
    await until(() => this.due.length >= checks, `${checks} checks to finish`)
  }

  healthy(service: string, url: string): boolean {
    return this.state(service, url).healthy
  }

  state(service: string, url: string): InstanceState {
    const slot = this.directory.assign(this.#configs).instances[instanceKey(service, url)]!
    return new InstanceState(this.memory, slot)
  }
}

function answering(status: () => number): RawUpstream {
  const upstream = new RawUpstream((connection) =>
    connection.write(`HTTP/1.1 ${status()} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`),
  )
  open.push({ close: () => upstream.stop() })
  return upstream
}

describe("[T-6.2 I-hc] health checks", () => {
  test("[T-6.3 T-6.4] take an instance out after unhealthy_after failures and back after healthy_after passes", async () => {
    let status = 200
    const one = answering(() => status)
    const checks = new Checks()
    checks.apply({
      s: { instances: [one.url], health: { path: "/healthz", unhealthy_after: 3, healthy_after: 2 } },
    })
    await checks.settled(1)
    status = 503
    const seen: boolean[] = []
    for (let i = 0; i < 3; i++) {
      await checks.round()
      seen.push(checks.healthy("s", one.url))
    }
    status = 204
    for (let i = 0; i < 2; i++) {
      await checks.round()
      seen.push(checks.healthy("s", one.url))
    }
    expect(seen).toEqual([true, true, false, false, true])
    expect(checks.changes).toEqual([
      { service: "s", instance: one.url, healthy: false, reason: "status 503" },
      { service: "s", instance: one.url, healthy: true, reason: "status 204" },
    ])
  })

  test("start at once and come at the interval, moved by up to 10 % either way", async () => {
    const one = answering(() => 200)
    const checks = new Checks()
    checks.random = 0
    checks.apply({ s: { instances: [one.url], health: { path: "/", interval: "10s" } } })
    await checks.settled(1)
    checks.random = 1
    await checks.round()
    checks.random = 0.5
    await checks.round()
    expect(checks.waits.map(Math.round)).toEqual([9000, 11_000, 10_000])
  })

  test("ask what config says: path, Host and expected statuses", async () => {
    const one = answering(() => 404)
    const checks = new Checks()
    const health = { path: "/h?deep=1", host: "inner.test", expect: [404], unhealthy_after: 1 }
    checks.apply({ s: { instances: [one.url], health } })
    await checks.settled(1)
    expect(one.last.received).toStartWith("GET /h?deep=1 HTTP/1.1\r\nhost: inner.test\r\n")
    expect(checks.changes).toEqual([])
  })

  test("fail when nobody listens or the answer does not come within the timeout", async () => {
    const gone = new RawUpstream(() => undefined)
    gone.stop()
    const silent = new RawUpstream(() => undefined)
    open.push({ close: () => silent.stop() })
    const checks = new Checks()
    const health = { path: "/", timeout: "50ms", unhealthy_after: 1 }
    checks.apply({ s: { instances: [gone.url, silent.url], health } })
    await checks.settled(2)
    const reasons = checks.changes.map(({ reason }) => reason.split(":")[0]!)
    expect(reasons.sort()).toEqual(["connect", "timeout"])
    expect(checks.healthy("s", silent.url)).toBe(false)
  })

  test("go on over a reload that does not concern them, and end with their instance", async () => {
    const one = answering(() => 500)
    const two = answering(() => 200)
    const health = { path: "/", unhealthy_after: 2 }
    const checks = new Checks()
    checks.apply({ s: { instances: [one.url], health } })
    await checks.settled(1)
    checks.apply({ s: { instances: [one.url, two.url], health } })
    await checks.settled(2)
    expect([one.connections.length, two.connections.length]).toEqual([1, 1])
    await checks.round()
    expect(checks.healthy("s", one.url)).toBe(false)
    checks.apply({ s: { instances: [two.url], health } })
    expect(checks.due.length).toBe(1)
    checks.checker.close()
    expect(checks.due.length).toBe(0)
  })

  test("leave an instance healthy when config stops checking it", async () => {
    const one = answering(() => 500)
    const checks = new Checks()
    checks.apply({ s: { instances: [one.url], health: { path: "/", unhealthy_after: 1 } } })
    await checks.settled(1)
    expect(checks.healthy("s", one.url)).toBe(false)
    checks.apply({ s: { instances: [one.url] } })
    expect(checks.healthy("s", one.url)).toBe(true)
  })

  test("[T-6.4] [F-36] end an ejection when they pass again after a failure, and leave one alone that they never saw", async () => {
    let status = 200
    const one = answering(() => status)
    const checks = new Checks()
    const health = { path: "/", unhealthy_after: 3, healthy_after: 2 }
    checks.apply({ s: { instances: [one.url], health } })
    await checks.settled(1)
    for (let i = 0; i < 2; i++) await checks.round()
    const state = checks.state("s", one.url)
    const until = now() + 60_000
    state.eject(until, 1)
    for (let i = 0; i < 3; i++) await checks.round()
    expect(state.ejectedUntil).toBe(until)
    status = 503
    await checks.round()
    status = 200
    await checks.round()
    expect(state.ejectedUntil).toBe(until)
    await checks.round()
    expect(state.ejectedUntil).toBeLessThanOrEqual(now())
    expect(state.ejections).toBe(1)
    expect(state.healthy).toBe(true)
  })
})

test("[T-6.2] many new instances are first checked over time, and none is left to be checked when they are gone", () => {
  const checks = new Checks()
  let turn = 0
  Object.defineProperty(checks, "random", { get: () => (turn++ % 100) / 100 })
  const instances = Array.from({ length: 100 }, (_, i) => `http://127.0.0.1:${i + 1}`)
  checks.apply({ s: { instances, health: { path: "/", interval: "10s" } } })
  expect(checks.due.length).toBe(99)
  expect(Math.max(...checks.waits)).toBeCloseTo(198)
  checks.apply({ s: { instances: instances.slice(0, 1) } })
  expect(checks.due.length).toBe(0)
})

import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { BUDGET_MINIMUM } from "../../src/upstream/retry.ts"
import { endGateways, startGateway } from "../support/gateway_process.ts"
import { askOnce } from "../support/raw_load.ts"

setDefaultTimeout(30_000)

const listeners: { stop(force: boolean): void }[] = []

afterEach(async () => {
  await endGateways()
  for (const listener of listeners.splice(0)) listener.stop(true)
})

/** Accepts and resets; counts how often. */
function startResetting(): { url: string; count: () => number } {
  let count = 0
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        count++
        socket.terminate()
      },
      data() {},
    },
  })
  listeners.push(listener)
  return { url: `http://127.0.0.1:${listener.port}`, count: () => count }
}

const RETRY = { attempts: 3, budget: 0.2, backoff: "1ms", on: ["connect", "reset", "502", "503", "504"] }

/** Asks this many times, some at once; the statuses that came. */
async function askMany(port: number, times: number): Promise<Map<string, number>> {
  const statuses = new Map<string, number>()
  for (let left = times; left > 0; left -= 20)
    await Promise.all(
      Array.from({ length: Math.min(20, left) }, async () => {
        const status = (await askOnce(port)).slice(0, 3)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }),
    )
  return statuses
}

test("[F-37] all instances down: every request is refused, and they are not asked harder than the retry budget allows", async () => {
  const [one, two] = [startResetting(), startResetting()]
  const gateway = await startGateway({
    services: {
      app: { instances: [one.url, two.url], retry: RETRY, ejection: { consecutive_failures: 3 } },
    },
    routes: [{ path: "/*", service: "app" }],
  })
  const statuses = await askMany(gateway.port, 300)
  expect([...statuses.keys()].every((status) => status === "502" || status === "503")).toBe(true)
  expect([...statuses.values()].reduce((sum, count) => sum + count)).toBe(300)
  expect(one.count() + two.count()).toBeLessThanOrEqual(300 + Math.max(BUDGET_MINIMUM, 0.2 * 300))
  expect(gateway.log.some((line) => line.event === "instance.ejected")).toBe(true)
})

test("[F-37] with a breaker the service is left alone, and clients learn when to come back", async () => {
  const one = startResetting()
  const gateway = await startGateway({
    services: {
      app: { instances: [one.url], retry: RETRY, breaker: { failure_threshold: 5, min_throughput: 5 } },
    },
    routes: [{ path: "/*", service: "app" }],
  })
  await askMany(gateway.port, 100)
  // Those of the first twenty that were under way at once, and their retries.
  expect(one.count()).toBeLessThan(50)
  const response = await fetch(gateway.url)
  expect(response.status).toBe(503)
  expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0)
})

test("[F-39] three gateways in a row with three attempts each multiply a failing service's load by little, not by 27", async () => {
  const failing = startResetting()
  let next = failing.url
  for (let layer = 0; layer < 3; layer++) {
    const gateway = await startGateway({
      server: { workers: 1 },
      services: { app: { instances: [next], retry: RETRY } },
      routes: [{ path: "/*", service: "app" }],
    })
    next = gateway.url
  }
  const statuses = await askMany(Number(new URL(next).port), 300)
  expect([...statuses.keys()]).toEqual(["502"])
  // Each layer may round its share up.
  expect(failing.count()).toBeLessThanOrEqual(300 * 1.2 ** 3 + 3)
  expect(failing.count()).toBeGreaterThanOrEqual(300)
})

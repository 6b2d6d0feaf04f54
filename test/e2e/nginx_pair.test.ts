import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { endNginx, startNginx } from "../support/nginx.ts"
import { type RawLoad, startRawLoad } from "../support/raw_load.ts"
import { until } from "../support/until.ts"

// Real processes on a machine that may be busy.
setDefaultTimeout(30_000)

afterEach(async () => {
  await endGateways()
  await endNginx()
})

const INTERVAL_MS = 1000

const config = (urls: readonly string[], balance: string) => ({
  services: {
    app: {
      instances: urls,
      balance,
      health: {
        path: "/",
        interval: `${INTERVAL_MS}ms`,
        timeout: "900ms",
        unhealthy_after: 1,
        healthy_after: 1,
      },
    },
  },
  routes: [{ path: "/*", service: "app" }],
})

const count = (load: RawLoad, name: string): number => load.answers.get(`200 ${name}`) ?? 0

function logged(gateway: GatewayProcess, event: string, instance: string): boolean {
  return gateway.log.some((line) => line.event === event && line.instance === instance)
}

for (const balance of ["least_requests", "round_robin"]) {
  test(`[T-1.2] [S-NFR3] two nginx share many connections evenly and without an error (${balance})`, async () => {
    const [one, two] = [await startNginx("one"), await startNginx("two")]
    const gateway = await startGateway(config([one.url, two.url], balance))
    const load = startRawLoad(gateway.port, 200)
    await until(() => load.total() > 8000, "the load", 20_000)
    await load.stop()
    expect(load.failures).toEqual([])
    expect([...load.answers.keys()].sort()).toEqual(["200 one", "200 two"])
    expect(Math.abs(count(load, "one") / load.total() - 0.5)).toBeLessThan(0.05)
  })
}

test("[S-FR3.2] [T-6.3] [T-6.4] an nginx killed under load costs no GET, and its return is noticed within two health intervals", async () => {
  const [one, two] = [await startNginx("one"), await startNginx("two")]
  const gateway = await startGateway(config([one.url, two.url], "least_requests"))
  const load = startRawLoad(gateway.port, 64)
  await until(() => count(load, "one") > 500 && count(load, "two") > 500, "both to answer", 20_000)

  await two.kill()
  await until(() => logged(gateway, "instance.unhealthy", two.url), "monitoring to be told")
  const [ones, twos] = [count(load, "one"), count(load, "two")]
  await until(() => count(load, "one") > ones + 1000, "the other to carry on", 20_000)
  expect(count(load, "two")).toBe(twos)

  await two.start()
  const returned = performance.now()
  await until(() => logged(gateway, "instance.healthy", two.url), "the return to be noticed")
  await until(() => count(load, "two") > twos, "requests on it again")
  expect(performance.now() - returned).toBeLessThan(2 * INTERVAL_MS)
  await load.stop()
  expect(load.failures).toEqual([])
  expect([...load.answers.keys()].sort()).toEqual(["200 one", "200 two"])
})

import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { parseExposition, sampleValue } from "../support/exposition.ts"
import { endGateways, startGateway } from "../support/gateway_process.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)

const PRELOAD = join(import.meta.dir, "../support/fault_on_signal.ts")
const upstreams: { stop(force: boolean): Promise<void> }[] = []

afterEach(async () => {
  await endGateways()
  for (const upstream of upstreams.splice(0)) await upstream.stop(true)
})

test("[T-10.2] what nothing caught in the main thread or a worker is logged with its stack and counted, and requests in flight go on", async () => {
  let arrived = 0
  const answer = Promise.withResolvers<void>()
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch() {
      arrived++
      await answer.promise
      return new Response("late but whole")
    },
  })
  upstreams.push(upstream)
  const gateway = await startGateway(
    {
      services: { app: { instances: [`http://127.0.0.1:${upstream.port}`] } },
      routes: [{ path: "/", service: "app" }],
    },
    ["env", `BUN_OPTIONS=--preload=${PRELOAD}`],
  )
  const requests = Array.from({ length: 8 }, () => fetch(gateway.url, { headers: { connection: "close" } }))
  await until(() => arrived === 8, "the requests")

  gateway.signal("SIGUSR2")
  const faults = () => gateway.log.filter((line) => line.event === "process.fault")
  await until(() => faults().length === 6, "two faults a thread", 10_000)
  for (const [place, times] of [
    ["main thread", 1],
    ["worker", 2],
  ] as const) {
    for (const kind of ["exception", "rejection"]) {
      const lines = faults().filter(
        (line) => (line.error as Error).message === `stray ${kind} in a ${place}` && line.kind === kind,
      )
      expect(lines.length).toBe(times)
      expect((lines[0]!.error as Error).stack).toContain("fault_on_signal.ts")
    }
  }

  answer.resolve()
  for (const request of requests) expect(await (await request).text()).toBe("late but whole")
  const page = parseExposition(await (await gateway.admin("/metrics")).text())
  expect(sampleValue(page, "gatehouse_faults_total")).toBe(6)
  expect(sampleValue(page, "gatehouse_worker_restarts_total")).toBe(0)
  gateway.signal("SIGTERM")
  expect(await gateway.exited).toBe(0)
  expect(gateway.errors).toEqual([])
})

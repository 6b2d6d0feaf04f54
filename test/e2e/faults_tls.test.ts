import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { connect as connectTcp } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect } from "node:tls"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { FLOODS, startFlood } from "../support/h2_flood.ts"
import { atRest, rssMb, watchRss } from "../support/proc.ts"
import { FIRST_PAIR } from "../support/server_pairs.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)

const FLOOD_MS = 600
/** An honest request must be answered within this, on a machine that also has to make the flood. */
const HONEST_MS = 3000
const MAX_GROWTH_MB = 150

let directory = ""
let service: ReturnType<typeof Bun.serve>
let gateway: GatewayProcess
/** Requests for `/slow` the service is working on. */
let asked = 0

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "gatehouse-flood-"))
  const big = Buffer.alloc(1_048_576, "x")
  service = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    async fetch(request) {
      const path = request.url.slice(request.url.lastIndexOf("/"))
      if (path === "/big") return new Response(big)
      if (path !== "/slow") return new Response("honest")
      asked++
      const { promise, resolve } = Promise.withResolvers<void>()
      request.signal.addEventListener("abort", () => resolve())
      setTimeout(resolve, 100)
      await promise
      asked--
      return new Response("slow")
    },
  })
  gateway = await open()
})

afterAll(async () => {
  await endGateways()
  await service.stop(true)
  rmSync(directory, { recursive: true, force: true })
})

async function open(): Promise<GatewayProcess> {
  const tls = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") }
  writeFileSync(tls.cert, FIRST_PAIR.cert)
  writeFileSync(tls.key, FIRST_PAIR.key)
  return startGateway({
    server: { tls, http2: true, workers: 1 },
    services: { app: { instances: [service.url.origin] } },
    routes: [{ path: "/*", service: "app" }],
  })
}

/** One request on a new connection; how long it took. */
async function honest(): Promise<number> {
  const started = performance.now()
  const response = await fetch(`https://127.0.0.1:${gateway.port}/`, {
    keepalive: false,
    tls: { rejectUnauthorized: false },
  } as RequestInit)
  expect(await response.text()).toBe("honest")
  return performance.now() - started
}

for (const [name, flood] of Object.entries(FLOODS)) {
  test(`[F-20] HTTP/2 ${name}: honest requests are answered, memory stays bounded, nothing goes on afterwards`, async () => {
    await honest()
    const before = rssMb(gateway.pid)
    const rss = watchRss(gateway.pid)
    // Whoever reads no answers makes the server keep them.
    const floods = [await startFlood(gateway.port, flood, true), await startFlood(gateway.port, flood, false)]
    const took: number[] = []
    const end = performance.now() + FLOOD_MS
    while (performance.now() < end) took.push(await honest())
    const growth = rss.stop() - before
    for (const each of floods) each.stop()
    expect(floods.every((each) => each.sentBytes() > 0)).toBe(true)
    expect(Math.max(...took)).toBeLessThan(HONEST_MS)
    expect(growth).toBeLessThan(MAX_GROWTH_MB)
    await until(() => asked === 0, "the service to be left alone")
    await atRest(gateway.pid)
    expect(gateway.log.filter((line) => line.event === "worker.lost")).toEqual([])
  })
}

test("[F-28] a flood of TLS handshakes, whole and broken ones, leaves honest clients served and ends with itself", async () => {
  await honest()
  const rss = watchRss(gateway.pid)
  let flooding = true
  let handshakes = 0
  const whole = async (): Promise<void> => {
    while (flooding) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const socket = connect({ port: gateway.port, host: "127.0.0.1", rejectUnauthorized: false })
      socket.once("secureConnect", () => {
        handshakes++
        socket.destroy()
      })
      socket.once("close", () => resolve())
      socket.once("error", () => resolve())
      await promise
    }
  }
  const hello = Buffer.from("16030100c8010000c40303", "hex")
  const halves = Array.from({ length: 300 }, () => {
    const socket = connectTcp(gateway.port, "127.0.0.1")
    // It is the gateway's right to end these.
    socket.on("error", () => {})
    socket.write(hello)
    return socket
  })
  const all = Array.from({ length: 16 }, whole)
  const took: number[] = []
  const end = performance.now() + 1500
  while (performance.now() < end) took.push(await honest())
  flooding = false
  await Promise.all(all)
  for (const each of halves) each.destroy()
  expect(handshakes).toBeGreaterThan(50)
  expect(Math.max(...took)).toBeLessThan(HONEST_MS)
  expect(rss.stop()).toBeLessThan(300)
  await atRest(gateway.pid)
  expect(await honest()).toBeLessThan(HONEST_MS)
})

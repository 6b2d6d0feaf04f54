import { atRest, openFiles } from "../test/support/proc.ts"
import { openGateway } from "./gateway.ts"
import { mostConnections, percentiles, settledRssMb } from "./idle_connections.ts"
import { CONTENDER_CORE, LOAD_CORE } from "./process.ts"
import { atMost } from "./targets.ts"
import { type EchoClient, openEchoClients, startEchoServer } from "./ws_client.ts"

/** Opened and closed before: what the first ones cost is the program's, not theirs. */
const WARM_UP = 100
const ROUND_TRIPS = 1000

/** Memory of thousands of idle WebSockets, relayed by the gateway and held by a bare `Bun.serve`; a busy one beside them. */
export async function idleWebSockets(): Promise<boolean> {
  console.log("\nidle WebSockets, and a busy one")
  const server = await startEchoServer(LOAD_CORE)
  const bare = await measure("bare Bun.serve", server.pid, server.port).finally(() => server.stop())
  const upstream = await startEchoServer(LOAD_CORE)
  const pool = { max_connections: 65_535 }
  const gateway = await openGateway(
    {
      server: { workers: 1 },
      services: { ws: { instances: [`http://127.0.0.1:${upstream.port}`], pool } },
      routes: [{ path: "/*", service: "ws", websocket: "relay" }],
    },
    CONTENDER_CORE,
  )
  try {
    const relayed = await measure("Gatehouse", gateway.pid, gateway.port)
    const verdicts = [
      atMost("KB each", relayed.kbEach, relayed.kbEach.toFixed(1), { must: 8, goal: 4 }),
      atMost("p99 of the busy one, ms", relayed.p99, relayed.p99.toFixed(2), { must: 50 }),
      atMost("closed", relayed.closed, `${relayed.closed}`, { must: 0 }),
    ]
    console.log(`Gatehouse takes ${(relayed.kbEach / bare.kbEach).toFixed(1)} × the bare server's memory`)
    for (const { text } of verdicts) console.log(text)
    return verdicts.every(({ held }) => held)
  } finally {
    await gateway.stop()
    await upstream.stop()
  }
}

async function measure(
  name: string,
  pid: number,
  port: number,
): Promise<{ kbEach: number; p99: number; closed: number }> {
  const files = openFiles(pid)
  const first = await openEchoClients(port, "/", WARM_UP)
  const filesEach = Math.round((openFiles(pid) - files) / WARM_UP)
  for (const client of first) client.close()
  const count = mostConnections(filesEach)
  await atRest(pid)
  const before = await settledRssMb(pid)
  const clients = await openEchoClients(port, "/", count)
  try {
    await atRest(pid)
    const peak = await settledRssMb(pid)
    const { p50, p99 } = percentiles(await roundTrips(clients[0]!))
    const kbEach = ((peak - before) * 1024) / count
    const closed = clients.filter((client) => client.closed).length
    console.log(
      `${name.padEnd(16)}${count} of them: ${before.toFixed(0)} MB without, ${peak.toFixed(0)} MB with: ${kbEach.toFixed(1)} KB and ${filesEach} descriptors each; busy one p50 ${p50.toFixed(2)} ms p99 ${p99.toFixed(2)} ms; ${closed} closed`,
    )
    return { kbEach, p99, closed }
  } finally {
    for (const client of clients) client.close()
  }
}

async function roundTrips(client: EchoClient): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const at = performance.now()
    const { promise, resolve } = Promise.withResolvers<void>()
    client.onEcho = resolve
    client.send()
    await promise
    times.push(performance.now() - at)
  }
  return times
}

if (import.meta.main) process.exit((await idleWebSockets()) ? 0 : 1)

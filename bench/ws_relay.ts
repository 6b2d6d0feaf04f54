import { lengthOfRun } from "./compare.ts"
import { openGateway } from "./gateway.ts"
import { percentiles } from "./idle_connections.ts"
import { pinThisProcess } from "./pin.ts"
import { CONTENDER_CORE, cpuUs, LOAD_CORE } from "./process.ts"
import { median, spread } from "./statistics.ts"
import { formatSpread } from "./table.ts"
import { type EchoClient, MESSAGE_BYTES, openEchoClients, startEchoServer } from "./ws_client.ts"

const CONNECTIONS = 100
/** Share of what the gateway can take at which times are measured. */
const SHARE_OF_SATURATION = 0.5

interface Round {
  readonly perSecond: number
  readonly cpuUs: number
}
interface Times {
  readonly p50: number
  readonly p99: number
}
interface Site {
  readonly name: string
  readonly pid: number
  readonly clients: readonly EchoClient[]
  readonly rounds: Round[]
  readonly times: Times[]
}

/** What relaying a message costs: text of 100 bytes, echoed, on 100 connections, through the gateway and direct, in turns. */
export async function wsRelay(): Promise<boolean> {
  const { rounds, seconds, warmUpSeconds } = lengthOfRun()
  const unpin = pinThisProcess(LOAD_CORE)
  const upstream = await startEchoServer(LOAD_CORE)
  const gateway = await openGateway(
    {
      server: { workers: 1 },
      services: { ws: { instances: [`http://127.0.0.1:${upstream.port}`], pool: { max_connections: 1000 } } },
      routes: [{ path: "/*", service: "ws", websocket: "relay" }],
    },
    CONTENDER_CORE,
  )
  try {
    const open = async (name: string, pid: number, port: number): Promise<Site> => {
      const clients = await openEchoClients(port, "/", CONNECTIONS)
      return { name, pid, clients, rounds: [], times: [] }
    }
    const through = await open("through Gatehouse", gateway.pid, gateway.port)
    const direct = await open("direct", upstream.pid, upstream.port)
    const sites = [through, direct]
    // The first round is the warm-up of just-in-time compilers.
    for (let round = 0; round <= rounds; round++)
      for (const site of sites) {
        const found = await saturate(site, round > 0 ? seconds : warmUpSeconds)
        if (round > 0) site.rounds.push(found)
      }
    const rate = median(through.rounds.map((each) => each.perSecond)) * SHARE_OF_SATURATION
    for (let round = 0; round < rounds; round++)
      for (const site of sites) site.times.push(await pace(site, rate, seconds))
    return report(sites, rate)
  } finally {
    await gateway.stop()
    await upstream.stop()
    unpin()
  }
}

/** Every connection sends the next message when the one before is back. */
async function saturate({ clients, pid }: Site, seconds: number): Promise<Round> {
  let echoes = 0
  let running = true
  for (const client of clients)
    client.onEcho = () => {
      echoes++
      if (running) client.send()
    }
  const before = cpuUs([pid])
  const startedAt = performance.now()
  for (const client of clients) client.send()
  await Bun.sleep(seconds * 1000)
  const perSecond = (echoes / (performance.now() - startedAt)) * 1000
  const used = (cpuUs([pid]) - before) / echoes
  running = false
  // What is under way comes home before the next measurement.
  await Bun.sleep(100)
  return { perSecond, cpuUs: used }
}

/** Messages are due at fixed times, by turns on all connections; their time counts from then. */
async function pace({ clients }: Site, perSecond: number, seconds: number): Promise<Times> {
  const times: number[] = []
  const underWay = clients.map((client) => {
    const due: number[] = []
    client.onEcho = () => void times.push(performance.now() - due.shift()!)
    return due
  })
  const startedAt = performance.now()
  const total = Math.floor(perSecond * seconds)
  for (let sent = 0; sent < total; ) {
    const now = performance.now()
    for (let at = startedAt; sent < total; sent++) {
      at = startedAt + (sent / perSecond) * 1000
      if (at > now) break
      const turn = sent % clients.length
      underWay[turn]!.push(at)
      clients[turn]!.send()
    }
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  await Bun.sleep(200)
  return percentiles(times)
}

function report(sites: readonly Site[], rate: number): boolean {
  console.log(
    `\nrelayed WebSockets, ${CONNECTIONS} connections, text of ${MESSAGE_BYTES} bytes, echoed; times at ${rate.toFixed(0)} messages a second; spreads are min–median–max`,
  )
  const columns = ["messages/s", "CPU µs a message", "p50 ms", "p99 ms"]
  console.log(`${"".padEnd(20)}${columns.map((title) => title.padStart(24)).join("")}`)
  for (const { name, rounds, times } of sites) {
    const cells = [
      formatSpread(spread(rounds.map((each) => each.perSecond)), 0),
      formatSpread(spread(rounds.map((each) => each.cpuUs)), 1),
      formatSpread(spread(times.map((each) => each.p50)), 2),
      formatSpread(spread(times.map((each) => each.p99)), 2),
    ]
    console.log(`${name.padEnd(20)}${cells.map((cell) => cell.padStart(24)).join("")}`)
  }
  console.log("note: a message is an echo, there and back; the CPU of direct is that of the echoing server")
  const closed = sites.flatMap(({ clients }) => clients).filter((client) => client.closed).length
  console.log(`${closed === 0 ? "PASS" : "FAIL"}: ${closed} connections closed`)
  return closed === 0
}

if (import.meta.main) process.exit((await wsRelay()) ? 0 : 1)

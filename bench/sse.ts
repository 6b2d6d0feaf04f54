import { readdirSync, readFileSync } from "node:fs"
import type { Socket } from "bun"
import { lengthOfRun } from "./compare.ts"
import { openGateway } from "./gateway.ts"
import { percentiles } from "./idle_connections.ts"
import { pinThisProcess } from "./pin.ts"
import { CONTENDER_CORE, LOAD_CORE } from "./process.ts"
import { median, spread } from "./statistics.ts"
import { formatSpread } from "./table.ts"
import { atMost } from "./targets.ts"

const STREAMS = 100
const EVENTS_PER_SECOND = 1000
const EVENT_BYTES = 100
const HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n"

/** A service of event streams: what is sent to it goes to all who listen, by turns. */
interface EventService {
  readonly url: string
  readonly port: number
  /** Sends the next event, with the time in it, to one of the streams from `first` to `first + STREAMS`. */
  send(first: number): void
  /** Streams opened so far. */
  readonly streams: readonly Socket[]
  stop(): void
}

function startEventService(): EventService {
  const streams: Socket[] = []
  let turn = 0
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        socket.write(HEAD)
        streams.push(socket)
      },
    },
  })
  return {
    url: `http://127.0.0.1:${listener.port}`,
    port: listener.port,
    streams,
    send(first) {
      const event = `data: ${performance.now().toFixed(3)} `.padEnd(EVENT_BYTES - 2, "x")
      streams[first + (turn++ % STREAMS)]!.write(`${EVENT_BYTES.toString(16)}\r\n${event}\n\n\r\n`)
    },
    stop: () => listener.stop(true),
  }
}

/** One way to the service: `STREAMS` clients, and how long events took to reach them, in ms. */
class Site {
  readonly name: string
  /** Place of its first stream at the service. */
  readonly first: number
  times: number[] = []
  readonly rounds: { readonly p50: number; readonly p99: number }[] = []
  #closed = 0

  constructor(name: string, first: number) {
    this.name = name
    this.first = first
  }

  /** Streams that have ended, which none should. */
  get closed(): number {
    return this.#closed
  }

  async open(port: number, service: EventService): Promise<void> {
    for (let i = 0; i < STREAMS; i++) {
      let text = ""
      await Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: (socket) => void socket.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"),
          data: (_socket, bytes) => {
            text = this.#take(text + bytes.latin1Slice())
          },
          close: () => {
            this.#closed++
          },
        },
      })
      while (service.streams.length <= this.first + i) await Bun.sleep(1)
    }
  }

  /** Times the events in it; returns what follows them. */
  #take(text: string): string {
    let at = 0
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n", at)) {
      const data = text.lastIndexOf("data: ", end) + "data: ".length
      this.times.push(performance.now() - Number.parseFloat(text.slice(data, end)))
      at = end + 2
    }
    return text.slice(at)
  }
}

/**
 * What the gateway adds to the time an event takes from a service to a client: 100 streams, events of 100 bytes at a
 * steady rate, by turns through each door and straight from the service, which is in this process like the clients.
 */
export async function sse(): Promise<boolean> {
  const { rounds, seconds, warmUpSeconds } = lengthOfRun()
  console.log(`\nserver-sent events: ${EVENTS_PER_SECOND} a second on ${STREAMS} streams, ms to the client`)
  const unpin = pinThisProcess(LOAD_CORE)
  const service = startEventService()
  const doors = await Promise.all([true, false].map((lane) => openDoor(service.url, lane)))
  try {
    const sites = ["direct", "through Gatehouse", "through its Serve door"].map(
      (name, i) => new Site(name, i * STREAMS),
    )
    for (const [i, site] of sites.entries())
      await site.open(i === 0 ? service.port : doors[i - 1]!.port, service)
    // The first round is the warm-up of just-in-time compilers.
    let sent = 0
    const waited = waitedMs(doors)
    for (let round = 0; round <= rounds; round++)
      for (const site of sites) {
        sent += await pace(service, site, round > 0 ? seconds : warmUpSeconds)
        if (round > 0) site.rounds.push(percentiles(site.times))
        sent -= site.times.length
        site.times = []
      }
    console.log(
      `note: threads of the gateways waited ${(waitedMs(doors) - waited).toFixed(0)} ms for their core: with much of it these are figures of a busy machine`,
    )
    return report(sites, sent)
  } finally {
    for (const door of doors) await door.stop()
    service.stop()
    unpin()
  }
}

/** How long threads of these processes could have run and had no core, from /proc. */
function waitedMs(processes: readonly { readonly pid: number }[]): number {
  let nanoseconds = 0
  for (const { pid } of processes)
    for (const task of readdirSync(`/proc/${pid}/task`))
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[1])
  return nanoseconds / 1e6
}

function openDoor(url: string, lane: boolean) {
  return openGateway(
    {
      server: { workers: 1, lane },
      services: { s: { instances: [url] } },
      routes: [{ path: "/*", service: "s" }],
    },
    CONTENDER_CORE,
  )
}

/** Sends events at the fixed rate; returns how many. */
async function pace(service: EventService, site: Site, seconds: number): Promise<number> {
  const startedAt = performance.now()
  let sent = 0
  for (let passed = 0; passed < seconds * 1000; passed = performance.now() - startedAt) {
    for (; sent < (passed / 1000) * EVENTS_PER_SECOND; sent++) service.send(site.first)
    await Bun.sleep(1)
  }
  // What is under way comes home before it is counted.
  await Bun.sleep(100)
  return sent
}

function report(sites: readonly Site[], lost: number): boolean {
  const direct = sites[0]!
  const verdicts = sites.slice(1).map((site) => {
    const added = spread(site.rounds.map((each, round) => each.p99 - direct.rounds[round]!.p99))
    return atMost(`${site.name}: p99 added, ms`, added.median, formatSpread(added, 2), { must: 5 })
  })
  const base = median(direct.rounds.map((each) => each.p50))
  for (const { name, rounds } of sites) {
    const [p50, p99] = [median(rounds.map((each) => each.p50)), median(rounds.map((each) => each.p99))]
    console.log(
      `${name.padEnd(24)}p50 ${p50.toFixed(3)}  p99 ${p99.toFixed(3)}  p50 added ${(p50 - base).toFixed(3)}`,
    )
  }
  const closed = sites.reduce((sum, site) => sum + site.closed, 0)
  verdicts.push(atMost("streams closed", closed, `${closed}`, { must: 0 }))
  verdicts.push(atMost("events lost", lost, `${lost}`, { must: 0 }))
  for (const { text } of verdicts) console.log(text)
  return verdicts.every(({ held }) => held)
}

if (import.meta.main) process.exit((await sse()) ? 0 : 1)

import { join } from "node:path"
import type { Socket } from "bun"
import { atRest, openFiles } from "../test/support/proc.ts"
import { frame, OPCODE } from "../test/support/ws_raw.ts"
import { lengthOfRun } from "./compare.ts"
import { openGateway } from "./gateway.ts"
import { mostConnections, percentiles, settledRssMb } from "./idle_connections.ts"
import { pinThisProcess } from "./pin.ts"
import { CONTENDER_CORE, LOAD_CORE } from "./process.ts"
import { atMost } from "./targets.ts"

const BROADCASTS = 20
/** Broadcasts under way while the rate is measured. */
const UNDER_WAY = 4
const WARM_UP = 100
const TEXT = "x".repeat(100)
const PATH = "/api/v1/realtime"
const CHANNEL = "bench:all"
const HEAD_END = "\r\n\r\n"
const HANDSHAKE =
  `GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/** What is measured: a server where a message of one client goes to all. */
interface Site {
  readonly name: string
  readonly pid: number
  readonly port: number
  /** What a listener says first, and how many frames that is answered with. */
  readonly hello: readonly object[]
  message(number: number): string
  stop(): Promise<void>
}

interface Measured {
  readonly name: string
  readonly kbEach: number
  readonly p50: number
  readonly p99: number
  readonly perSecond: number
  readonly closed: number
}

/** Memory of thousands of sockets on one channel, and broadcasts to them: the gateway, a bare `Bun.serve`, `ws` on Node. */
export async function realtime(): Promise<boolean> {
  console.log("\nrealtime: one channel, every message to every socket")
  const unpin = pinThisProcess(LOAD_CORE)
  try {
    const all: Measured[] = []
    for (const open of [openOurs, openBare, openNode]) {
      const site = await open()
      all.push(await measure(site).finally(() => site.stop()))
    }
    const [ours, bare] = all as [Measured, Measured]
    console.log(`Gatehouse takes ${(ours.kbEach / bare.kbEach).toFixed(1)} × the bare server's memory`)
    const verdict = atMost("closed", ours.closed, `${ours.closed}`, { must: 0 })
    console.log(verdict.text)
    return verdict.held
  } finally {
    unpin()
  }
}

async function openOurs(): Promise<Site> {
  const anybody = { anonymous: true }
  const gateway = await openGateway(
    {
      server: { workers: 1 },
      realtime: {
        anonymous: true,
        rate: "100000/s",
        max_connections: 65_000,
        max_connections_per_ip: 65_000,
        namespaces: { bench: { subscribe: anybody, publish: anybody } },
      },
    },
    CONTENDER_CORE,
  )
  return {
    ...gateway,
    name: "Gatehouse",
    hello: [
      { id: 1, type: "connect" },
      { id: 2, type: "subscribe", channel: CHANNEL },
    ],
    message: (id) => JSON.stringify({ id, type: "publish", channel: CHANNEL, data: TEXT }),
  }
}

const openBare = (): Promise<Site> => spawn("bare Bun.serve", [process.execPath, "realtime_bare.ts"])
const openNode = (): Promise<Site> => spawn("ws on Node", ["node", "realtime_ws.mjs"])

async function spawn(name: string, [program = "", file = ""]: readonly string[]): Promise<Site> {
  const command = ["taskset", "-c", CONTENDER_CORE, program, join(import.meta.dir, file)]
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" })
  const { value } = await child.stdout.getReader().read()
  return {
    name,
    pid: child.pid,
    port: Number(new TextDecoder().decode(value)),
    hello: [],
    message: () => TEXT,
    async stop() {
      child.kill()
      await child.exited
    },
  }
}

async function measure(site: Site): Promise<Measured> {
  const { name, pid } = site
  const files = openFiles(pid)
  const first = await openListeners(site, WARM_UP)
  const filesEach = Math.max(1, Math.round((openFiles(pid) - files) / WARM_UP))
  for (const listener of first) listener.close()
  const count = mostConnections(filesEach)
  await atRest(pid)
  const before = await settledRssMb(pid)
  const listeners = await openListeners(site, count)
  await atRest(pid)
  const kbEach = (((await settledRssMb(pid)) - before) * 1024) / count
  const [publisher] = await openListeners({ ...site, hello: site.hello.slice(0, 1) }, 1)
  // Where everybody listens, the publisher does too; its frames are not counted.
  const times = await broadcasts(site, publisher!, listeners)
  const perSecond = await sustain(site, publisher!, listeners)
  const { p50, p99 } = percentiles(times)
  const closed = listeners.filter((each) => each.closed).length
  for (const listener of [...listeners, publisher!]) listener.close()
  console.log(
    `${name.padEnd(16)}${count} sockets: ${kbEach.toFixed(1)} KB each; a broadcast to all p50 ${p50.toFixed(1)} ms p99 ${p99.toFixed(1)} ms; ${perSecond.toFixed(0)} deliveries a second; ${closed} closed`,
  )
  return { name, kbEach, p50, p99, perSecond, closed }
}

/** Times from sending to each arrival, one broadcast after another. */
async function broadcasts(
  site: Site,
  publisher: Listener,
  listeners: readonly Listener[],
): Promise<number[]> {
  const times: number[] = []
  for (let round = 0; round < BROADCASTS; round++) {
    const { promise, resolve } = Promise.withResolvers<void>()
    let missing = listeners.length
    const startedAt = performance.now()
    for (const listener of listeners)
      listener.onFrame = () => {
        times.push(performance.now() - startedAt)
        if (--missing === 0) resolve()
      }
    publisher.say(site.message(round + 10))
    await promise
  }
  return times
}

async function sustain(site: Site, publisher: Listener, listeners: readonly Listener[]): Promise<number> {
  let delivered = 0
  let sent = 0
  let running = true
  const goOn = (): void => {
    while (running && sent < delivered / listeners.length + UNDER_WAY)
      publisher.say(site.message(++sent + 100))
  }
  for (const listener of listeners)
    listener.onFrame = () => {
      if (++delivered % listeners.length === 0) goOn()
    }
  const startedAt = performance.now()
  goOn()
  await Bun.sleep(lengthOfRun().seconds * 1000)
  const perSecond = (delivered / (performance.now() - startedAt)) * 1000
  running = false
  return perSecond
}

/** A WebSocket that counts text frames of less than 64 KB and reads none of them. */
class Listener {
  readonly #socket: Socket
  #rest: Buffer = Buffer.alloc(0)
  closed = false
  onFrame: () => void = () => {}

  constructor(socket: Socket) {
    this.#socket = socket
  }

  say(text: string): void {
    this.#socket.write(frame(OPCODE.TEXT, text))
  }

  close(): void {
    this.#socket.terminate()
  }

  receive(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let at = 0
    while (all.length - at >= 4) {
      const short = all[at + 1]!
      const end = short < 126 ? at + 2 + short : at + 4 + all.readUInt16BE(at + 2)
      if (end > all.length) break
      if (all[at] === (0x80 | OPCODE.TEXT)) this.onFrame()
      at = end
    }
    this.#rest = Buffer.from(all.subarray(at))
  }
}

/** Opens so many, a hundred at a time; each has had the answers to what it says first. */
async function openListeners(site: Site, count: number): Promise<Listener[]> {
  const listeners: Listener[] = []
  while (listeners.length < count) {
    const some = Array.from({ length: Math.min(100, count - listeners.length) }, () => openListener(site))
    listeners.push(...(await Promise.all(some)))
  }
  return listeners
}

function openListener({ port, hello }: Site): Promise<Listener> {
  const { promise, resolve, reject } = Promise.withResolvers<Listener>()
  let listener: Listener | undefined
  let head = ""
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(HANDSHAKE),
      data(socket, bytes) {
        if (listener !== undefined) {
          listener.receive(bytes)
          return
        }
        head += bytes.latin1Slice()
        if (!head.endsWith(HEAD_END)) return
        const opened = new Listener(socket)
        listener = opened
        let missing = hello.length
        opened.onFrame = () => {
          if (--missing === 0) resolve(opened)
        }
        for (const each of hello) opened.say(JSON.stringify(each))
        if (missing === 0) resolve(opened)
      },
      close() {
        if (listener !== undefined) listener.closed = true
        reject(new Error("closed before it could listen"))
      },
    },
  }).catch(reject)
  return promise
}

if (import.meta.main) process.exit((await realtime()) ? 0 : 1)

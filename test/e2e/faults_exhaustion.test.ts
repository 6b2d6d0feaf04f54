import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { connect, type Socket } from "node:net"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { atRest, openFiles, rssMb } from "../support/proc.ts"
import { askOnce, startRawLoad } from "../support/raw_load.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { openRaw } from "../support/ws_raw.ts"
import { startWsService } from "../support/ws_service.ts"

setDefaultTimeout(30_000)

/** An honest request that takes longer was harmed; less is what a machine busy with other tests does to it. */
const HARM_MS = 1000

const sockets: Socket[] = []
const services: { stop(force: boolean): Promise<void> }[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await endGateways()
  for (const service of services.splice(0)) await service.stop(true)
})

function startService(answer: () => Response | Promise<Response>): string {
  const service = Bun.serve({ hostname: "127.0.0.1", port: 0, development: false, fetch: answer })
  services.push(service)
  return service.url.origin
}

const config = (url: string, more: object = {}) => ({
  services: { app: { instances: [url], ...more } },
  routes: [{ path: "/*", service: "app" }],
})

/** Connections that send this once they are open and are kept open. Resolves when all have connected. */
async function hold(port: number, count: number, bytes: string): Promise<Socket[]> {
  let connected = 0
  const opened = Array.from({ length: count }, () => {
    const socket = connect(port, "127.0.0.1", () => {
      connected++
      if (bytes !== "") socket.write(bytes)
    })
    // The gateway may end any of them.
    socket.on("error", () => {})
    return socket
  })
  sockets.push(...opened)
  await until(() => connected === count, `${count} connections`, 10_000)
  return opened
}

/** Times of requests one after another on one connection, in milliseconds, sorted. */
async function honest(gateway: GatewayProcess, times: number): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < times; i++) {
    const at = performance.now()
    expect(await (await fetch(gateway.url)).text()).toBe("hello")
    took.push(performance.now() - at)
  }
  return took.sort((a, b) => a - b)
}

test("[F-18] a thousand heads that drip and five hundred silent connections harm no honest request", async () => {
  const gateway = await startGateway(config(startService(() => new Response("hello"))))
  await honest(gateway, 20)
  const before = rssMb(gateway.pid)
  const dripping = await hold(gateway.port, 1000, "GET / HTTP/1.1\r\nHost: a.example\r\n")
  await hold(gateway.port, 500, "")
  const drip = setInterval(() => {
    for (const socket of dripping) if (socket.writable) socket.write("x-a: b\r\n")
  }, 100)
  const took = await honest(gateway, 300)
  clearInterval(drip)
  expect(took[Math.floor(took.length * 0.99)]!).toBeLessThan(HARM_MS)
  expect(rssMb(gateway.pid) - before).toBeLessThan(60)
})

test("[F-21] two thousand idle kept-alive connections cost little memory and no time", async () => {
  const gateway = await startGateway(config(startService(() => new Response("hello"))))
  await honest(gateway, 20)
  const before = rssMb(gateway.pid)
  let answered = 0
  const idle = await hold(gateway.port, 2000, "")
  for (const socket of idle) {
    socket.once("data", () => void answered++)
    socket.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
  }
  await until(() => answered === 2000, "each to be answered once", 10_000)
  expect(idle.filter((socket) => socket.destroyed)).toEqual([])
  const took = await honest(gateway, 300)
  expect(took[Math.floor(took.length * 0.99)]!).toBeLessThan(HARM_MS)
  expect(rssMb(gateway.pid) - before).toBeLessThan(60)
  await atRest(gateway.pid)
})

/** Handshakes of this many WebSockets, a hundred at a time; they say nothing after it. */
async function holdRelays(port: number, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 100) {
    const opened = await Promise.all(
      Array.from({ length: Math.min(100, left) }, () => openRaw(port, "/quiet")),
    )
    for (const { socket, state } of opened) {
      sockets.push(socket)
      expect(state.head).toStartWith("HTTP/1.1 101")
    }
  }
}

test("[F-21] a thousand idle relayed WebSockets cost at most 32 KB each and the busy one beside them no time", async () => {
  const service = startWsService()
  services.push({ stop: async () => void (await service.stop()) })
  const gateway = await startGateway({
    server: { workers: 1 },
    services: { app: { instances: [`http://127.0.0.1:${service.port}`] } },
    routes: [{ path: "/*", service: "app", websocket: "relay" }],
  })
  // What is made once, for whatever comes first, is not the price of a connection.
  await holdRelays(gateway.port, 200)
  const before = rssMb(gateway.pid)
  await holdRelays(gateway.port, 1000)
  const grown = rssMb(gateway.pid) - before
  const busy = await openWs(`ws://127.0.0.1:${gateway.port}/echo`)
  const took: number[] = []
  for (let i = 0; i < 500; i++) {
    const at = performance.now()
    const answered = new Promise((resolve) =>
      busy.socket.addEventListener("message", resolve, { once: true }),
    )
    busy.socket.send("hello")
    await answered
    took.push(performance.now() - at)
  }
  took.sort((a, b) => a - b)
  expect(took[495]!).toBeLessThan(HARM_MS)
  expect((grown * 1024) / 1000).toBeLessThan(32)
  expect(sockets.filter((socket) => socket.destroyed)).toEqual([])
  expect(service.sessions.filter((session) => session.closed === undefined).length).toBe(1201)
  busy.socket.close()
})

test("[F-23] out of file descriptors: the process lives, serves again once there are some, and comes to rest", async () => {
  const url = startService(() => new Response("hello"))
  // Connections kept to the service would hold descriptors too.
  const gateway = await startGateway(config(url, { pool: { max_idle: 4 } }), ["prlimit", "--nofile=128"])
  await honest(gateway, 10)
  const rest = openFiles(gateway.pid)
  const held = await hold(gateway.port, 300, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
  await until(() => openFiles(gateway.pid) >= 127, "all descriptors to be taken", 10_000)
  for (const socket of held) socket.destroy()
  await until(() => openFiles(gateway.pid) <= rest + 30, "descriptors to be given back", 10_000)
  const took = await honest(gateway, 50)
  expect(took.at(-1)!).toBeLessThan(5000)
  await atRest(gateway.pid)
  expect(gateway.log.filter((line) => line.event === "worker.lost")).toEqual([])
  expect((await gateway.admin("/admin/v1/status")).status).toBe(200)
})

test("[F-27] 500 requests at once for one thing reach the service max_connections at a time; what cannot wait gets 503 at once", async () => {
  let [now, most] = [0, 0]
  const gate = Promise.withResolvers<void>()
  const url = startService(async () => {
    most = Math.max(most, ++now)
    await gate.promise
    now--
    return new Response("made")
  })
  const gateway = await startGateway({
    server: { workers: 1 },
    ...config(url, { pool: { max_connections: 20, max_waiting: 400 }, retry: { attempts: 1 } }),
  })
  const answers = new Map<string, number>()
  const all = Array.from({ length: 500 }, async () => {
    const answer = (await askOnce(gateway.port)).slice(0, 8)
    answers.set(answer, (answers.get(answer) ?? 0) + 1)
  })
  // 20 at the service, 400 in the line: 80 do not fit.
  await until(() => answers.get('503 {"er') === 80 && now === 20, "those that do not fit", 10_000)
  gate.resolve()
  await Promise.all(all)
  expect(most).toBe(20)
  expect(answers.get("200 made")).toBe(420)
})

test("[F-18] [F-21] connections come and go by the thousand and leave nothing behind", async () => {
  const gateway = await startGateway(config(startService(() => new Response("hello"))))
  await honest(gateway, 20)
  const load = startRawLoad(gateway.port, 8)
  const before = openFiles(gateway.pid)
  for (let round = 0; round < 5; round++) {
    const held = await hold(
      gateway.port,
      400,
      round % 2 === 0 ? "" : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    )
    for (const socket of held) socket.destroy()
  }
  await until(() => openFiles(gateway.pid) <= before + 20, "their descriptors to be given back", 10_000)
  await load.stop()
  expect(load.failures).toEqual([])
  expect([...load.answers.keys()]).toEqual(["200 hello"])
})

import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { rssMb } from "../test/support/proc.ts"
import { openRaw } from "../test/support/ws_raw.ts"
import { startWsService } from "../test/support/ws_service.ts"
import { openGateway } from "./gateway.ts"
import { CONTENDER_CORE } from "./process.ts"

/** A relayed WebSocket takes two descriptors of the gateway, and two of this process, which is both ends. */
const MAX_OPEN = Number(/^Max open files +\d+ +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1])
const CONNECTIONS = Math.min(
  Number(process.env.BENCH_IDLE ?? 10_000),
  Math.floor((MAX_OPEN - 500) / 200) * 100,
)
/** A relayed WebSocket holds two sockets, and one of them is a client of the runtime that alone takes 7 KB. */
const TARGET_GROWTH_MB = { "keep-alive": 100, WebSocket: 150 } as const
const TARGET_P99_MS = 50
const REQUEST = "GET /hello HTTP/1.1\r\nHost: a.example\r\n\r\n"

/** Thousands of idle kept-alive connections, then of idle WebSockets, each beside one that is busy. */
export async function idle(): Promise<boolean> {
  const service = startWsService()
  const config = {
    services: { ws: { instances: [`http://127.0.0.1:${service.port}`], pool: { max_connections: 65_535 } } },
    routes: [
      { path: "/ws/*", service: "ws", websocket: "relay" },
      { path: "/hello", respond: { body: "hello" } },
    ],
  }
  let held = true
  console.log(`\n${CONNECTIONS} idle connections and a busy one`)
  for (const kind of ["keep-alive", "WebSocket"] as const) {
    const gateway = await openGateway(config, CONTENDER_CORE)
    const sockets: Socket[] = []
    try {
      const before = rssMb(gateway.pid)
      const open = kind === "WebSocket" ? openWebSocket : openKeepAlive
      for (let done = 0; done < CONNECTIONS; done += 100)
        sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => open(gateway.port)))))
      const busy = await (kind === "WebSocket" ? busyWebSocket : busyKeepAlive)(gateway.port)
      const growth = rssMb(gateway.pid) - before
      const closed = sockets.filter((socket) => socket.destroyed).length
      const ok = growth < TARGET_GROWTH_MB[kind] && busy.p99 < TARGET_P99_MS && closed === 0
      console.log(
        `${kind.padEnd(11)} ${growth.toFixed(0)} MB more (${((growth * 1024) / CONNECTIONS).toFixed(1)} KB each), busy one p50 ${busy.p50.toFixed(2)} ms p99 ${busy.p99.toFixed(2)} ms, ${closed} closed: ${ok ? "PASS" : "FAIL"}`,
      )
      held &&= ok
    } finally {
      for (const socket of sockets) socket.destroy()
      await gateway.stop()
    }
  }
  await service.stop()
  return held
}

function openKeepAlive(port: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connect(port, "127.0.0.1", () => socket.write(REQUEST))
  socket.on("error", reject)
  socket.once("data", () => resolve(socket))
  return promise
}

async function openWebSocket(port: number): Promise<Socket> {
  const { socket, state } = await openRaw(port, "/ws/quiet")
  if (!state.head.startsWith("HTTP/1.1 101")) throw new Error(`the handshake failed: ${state.head}`)
  return socket
}

async function busyKeepAlive(port: number): Promise<{ p50: number; p99: number }> {
  const times: number[] = []
  for (let i = 0; i < 1000; i++) {
    const at = performance.now()
    await (await fetch(`http://127.0.0.1:${port}/hello`)).text()
    times.push(performance.now() - at)
  }
  return percentiles(times)
}

async function busyWebSocket(port: number): Promise<{ p50: number; p99: number }> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/echo`)
  await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }))
  const times: number[] = []
  for (let i = 0; i < 1000; i++) {
    const at = performance.now()
    const answered = new Promise((resolve) => socket.addEventListener("message", resolve, { once: true }))
    socket.send("hello")
    await answered
    times.push(performance.now() - at)
  }
  socket.close()
  return percentiles(times)
}

function percentiles(times: number[]): { p50: number; p99: number } {
  times.sort((a, b) => a - b)
  return { p50: times[times.length >> 1]!, p99: times[Math.floor(times.length * 0.99)]! }
}

if (import.meta.main) process.exit((await idle()) ? 0 : 1)

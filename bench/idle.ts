import { connect, type Socket } from "node:net"
import { openGateway } from "./gateway.ts"
import { mostConnections, percentiles, settledRssMb } from "./idle_connections.ts"
import { CONTENDER_CORE } from "./process.ts"

const TARGET_GROWTH_MB = 100
const TARGET_P99_MS = 50
const REQUESTS = 1000
const REQUEST = "GET /hello HTTP/1.1\r\nHost: a.example\r\n\r\n"

/** Thousands of idle kept-alive connections, beside one that is busy. */
export async function idle(): Promise<boolean> {
  const count = mostConnections(1)
  const routes = [{ path: "/hello", respond: { body: "hello" } }]
  const gateway = await openGateway({ routes }, CONTENDER_CORE)
  const sockets: Socket[] = []
  try {
    const before = await settledRssMb(gateway.pid)
    while (sockets.length < count)
      sockets.push(...(await Promise.all(Array.from({ length: 100 }, () => openKeepAlive(gateway.port)))))
    const busy = percentiles(await askAgainAndAgain(gateway.port))
    const growth = (await settledRssMb(gateway.pid)) - before
    const closed = sockets.filter((socket) => socket.destroyed).length
    const ok = growth < TARGET_GROWTH_MB && busy.p99 < TARGET_P99_MS && closed === 0
    console.log(
      `\n${count} idle kept-alive connections: ${growth.toFixed(0)} MB more (${((growth * 1024) / count).toFixed(1)} KB each), a busy one p50 ${busy.p50.toFixed(2)} ms p99 ${busy.p99.toFixed(2)} ms, ${closed} closed: ${ok ? "PASS" : "FAIL"}`,
    )
    return ok
  } finally {
    for (const socket of sockets) socket.destroy()
    await gateway.stop()
  }
}

function openKeepAlive(port: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const socket = connect(port, "127.0.0.1", () => socket.write(REQUEST))
  socket.on("error", reject)
  socket.once("data", () => resolve(socket))
  return promise
}

async function askAgainAndAgain(port: number): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < REQUESTS; i++) {
    const at = performance.now()
    await (await fetch(`http://127.0.0.1:${port}/hello`)).text()
    times.push(performance.now() - at)
  }
  return times
}

if (import.meta.main) process.exit((await idle()) ? 0 : 1)

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { type RelayKind, throughBothRelays } from "../support/both_relays.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { frame, OPCODE } from "../support/ws_raw.ts"

setDefaultTimeout(150_000)

const MB = 1024 * 1024
const MESSAGE_BYTES = 64 * 1024
const MESSAGES = (200 * MB) / MESSAGE_BYTES
/** Memory the relay may add while 200 MB wait for a slow end. A naive one adds all of it. */
const MAX_GROWTH_MB = 64

type Json = { received: number; sent: number; open: number; problems: string[] }

/** The proxy in a process of its own. */
async function spawnProxy(upstream: string, relay: RelayKind) {
  const child = Bun.spawn(["bun", `${import.meta.dir}/../support/ws_proxy_process.ts`, upstream, relay], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  })
  const reader = child.stdout.getReader()
  const decoder = new TextDecoder()
  let text = ""
  const line = async () => {
    while (!text.includes("\n")) {
      const { value, done } = await reader.read()
      if (done) throw new Error("the proxy process ended")
      text += decoder.decode(value)
    }
    const at = text.indexOf("\n")
    const found = text.slice(0, at)
    text = text.slice(at + 1)
    return found
  }
  const port = Number(await line())
  const memory = (key: "VmRSS" | "VmHWM") =>
    Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))![1]) / 1024
  return {
    port,
    rssMb: () => memory("VmRSS"),
    peakMb: () => memory("VmHWM"),
    counts: async (): Promise<Json> => {
      child.stdin.write("\n")
      child.stdin.flush()
      return JSON.parse(await line())
    },
    stop: async () => {
      child.stdin.end()
      await child.exited
    },
  }
}

/** `/flood` sends numbered messages as fast as it may, then closes; `/sink` reads only when told to. */
function startService() {
  const sink = {
    socket: undefined as Bun.ServerWebSocket<{ next: number }> | undefined,
    count: 0,
    inOrder: true,
  }
  const flood = { next: 0, closed: false }
  const pump = (socket: Bun.ServerWebSocket<{ next: number; path: string }>) => {
    while (socket.data.next < MESSAGES) {
      const message = Buffer.alloc(MESSAGE_BYTES)
      message.writeUInt32LE(socket.data.next++)
      flood.next = socket.data.next
      if (socket.send(message) === -1) return
    }
    if (!flood.closed) {
      flood.closed = true
      socket.close(4000, "all said")
    }
  }
  const server = Bun.serve<{ next: number; path: string }>({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, server) {
      const data = { next: 0, path: new URL(request.url).pathname }
      return server.upgrade(request, { data }) ? undefined : new Response("", { status: 400 })
    },
    websocket: {
      idleTimeout: 0,
      open(socket) {
        if (socket.data.path === "/flood") pump(socket)
        else {
          sink.socket = socket
          socket.pause()
        }
      },
      drain(socket) {
        if (socket.data.path === "/flood") pump(socket)
      },
      message(_, data) {
        if ((data as Buffer).readUInt32LE() !== sink.count) sink.inOrder = false
        sink.count++
      },
    },
  })
  return { url: `ws://127.0.0.1:${server.port}`, sink, flood, stop: () => server.stop(true) }
}

/** Resolves once `value` has not changed for a while: everything that fits has been taken. */
async function untilStill(value: () => number): Promise<void> {
  let last = -1
  let since = performance.now()
  await until(
    () => {
      if (value() !== last) {
        last = value()
        since = performance.now()
      }
      return last > 0 && performance.now() - since > 300
    },
    "the flow to stop",
    15_000,
  )
}

throughBothRelays((_, relay) => {
  let service: ReturnType<typeof startService>
  let proxy: Awaited<ReturnType<typeof spawnProxy>>
  beforeAll(async () => {
    service = startService()
    proxy = await spawnProxy(service.url, relay)
  })
  afterAll(async () => {
    await proxy.stop()
    service.stop()
  })

  describe("backpressure", () => {
    test("[F-22] a client that does not read stops the service, and loses nothing of 200 MB when it does", async () => {
      const before = proxy.rssMb()
      const client = await openWs(`ws://127.0.0.1:${proxy.port}/flood`)
      let count = 0
      let inOrder = true
      const take = (data: string | Buffer) => {
        if ((data as Buffer).readUInt32LE() !== count) inOrder = false
        count++
      }
      for (const data of client.messages.splice(0)) take(data)
      client.socket.onmessage = (event) => take(event.data)
      client.socket.pause()
      await untilStill(() => service.flood.next)
      expect(service.flood.next).toBeLessThan(MESSAGES / 2)
      expect(proxy.rssMb() - before).toBeLessThan(MAX_GROWTH_MB)
      client.socket.resume()
      await until(() => client.closed !== undefined, "the close", 90_000)
      expect([count, inOrder]).toEqual([MESSAGES, true])
      expect(client.closed).toEqual({ code: 4000, reason: "all said" })
      expect(proxy.peakMb() - before).toBeLessThan(MAX_GROWTH_MB)
    })

    test("[F-22] a service that does not read stops the client, and loses nothing of 200 MB when it does", async () => {
      const before = proxy.peakMb()
      const socket = connect(proxy.port, "127.0.0.1")
      socket.write(
        "GET /sink HTTP/1.1\r\nHost: test.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      )
      await new Promise((resolve) => socket.once("data", resolve))
      await until(() => service.sink.socket !== undefined, "the service")
      let next = 0
      const pump = () => {
        while (next < MESSAGES) {
          const message = Buffer.alloc(MESSAGE_BYTES)
          message.writeUInt32LE(next++)
          if (!socket.write(frame(OPCODE.BINARY, message))) return
        }
        socket.off("drain", pump)
        socket.end(frame(OPCODE.CLOSE, Buffer.from([0x0f, 0xa1])))
      }
      socket.on("drain", pump)
      pump()
      await untilStill(() => next)
      expect(next).toBeLessThan(MESSAGES / 2)
      expect(proxy.peakMb() - before).toBeLessThan(MAX_GROWTH_MB)
      service.sink.socket!.resume()
      await until(() => service.sink.count === MESSAGES, "all messages", 90_000)
      expect(service.sink.inOrder).toBe(true)
      await until(() => service.sink.socket!.readyState === 3, "the close")
      expect(proxy.peakMb() - before).toBeLessThan(MAX_GROWTH_MB)
      socket.destroy()
    })

    test("after both floods nothing is left and nothing was thrown", async () => {
      let counts = await proxy.counts()
      for (let i = 0; i < 100 && counts.open > 0; i++) counts = await proxy.counts()
      expect(counts).toMatchObject({ open: 0, sent: MESSAGES, received: MESSAGES, problems: [] })
    })
  })
})

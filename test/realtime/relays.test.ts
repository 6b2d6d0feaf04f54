import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { createHash } from "node:crypto"
import { connect, createServer, type Socket } from "node:net"
import { throughBothRelays } from "../support/both_relays.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import type { startWsProxy } from "../support/ws_proxy.ts"
import { openRaw } from "../support/ws_raw.ts"
import { startWsService, type WsService } from "../support/ws_service.ts"

throughBothRelays((start, relay) => {
  let service: WsService
  beforeAll(() => {
    service = startWsService()
  })
  afterAll(() => {
    service.stop()
  })

  const session = () => service.sessions.at(-1)!
  const LIMITS = { idleTimeoutMs: 60_000, pingIntervalMs: 20_000 }

  /** A proxy whose time stands still but for `pass`, which also runs a round of the registry. */
  function startTimed(upstream: string, options: Partial<Parameters<typeof startWsProxy>[0]> = {}) {
    let time = 1_000_000
    const proxy = start({ upstream, limits: LIMITS, now: () => time, ...options })
    // The registry looks each second: what came before the time passed was seen before, too.
    const pass = (ms: number) => {
      proxy.relays.sweep()
      time += ms
      proxy.relays.sweep()
    }
    return { proxy, pass }
  }

  /** A service that completes the handshake and then never reads, answers or closes. */
  async function startDeaf() {
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on("error", () => socket.destroy())
      socket.once("data", (head) => {
        socket.pause()
        const key = /sec-websocket-key: (.*)\r/i.exec(head.toString())![1]
        const accept = createHash("sha1")
          .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest("base64")
        socket.write(
          `HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        )
      })
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    return {
      url: `ws://127.0.0.1:${(server.address() as { port: number }).port}`,
      stop: () => {
        for (const socket of sockets) socket.destroy()
        server.close()
      },
    }
  }

  describe("relays", () => {
    test("[F-48] shutdown closes clients with 1012 and services with 1001, and takes no new relay", async () => {
      const { proxy } = startTimed(service.url)
      const clients = await Promise.all([1, 2, 3].map(() => openWs(`${proxy.url}/echo`)))
      const served = service.sessions.slice(-3)
      expect(proxy.relays.size).toBe(3)
      proxy.relays.shutdown()
      await until(() => proxy.relays.size === 0, "all relays to end")
      await until(() => clients.every((c) => c.closed !== undefined), "all clients to hear")
      for (const client of clients) expect(client.closed).toEqual({ code: 1012, reason: "service restart" })
      for (const one of served) expect(one.closed).toEqual({ code: 1001, reason: "service restart" })
      const late = await openRaw(proxy.port, "/echo")
      expect(late.state.head).toStartWith("HTTP/1.1 503")
      expect(proxy.counted.open).toBe(0)
      proxy.stop()
    })

    test("[F-48] a relay whose handshake is under way at shutdown is refused", async () => {
      const { proxy } = startTimed(service.url)
      const asked = service.handshakes.length
      const raw = openRaw(proxy.port, "/echo")
      await until(() => service.handshakes.length > asked, "the service to be asked")
      proxy.relays.shutdown()
      const { state } = await raw
      if (state.head.startsWith("HTTP/1.1 101")) await until(() => state.closed, "the close")
      else expect(state.head).toStartWith("HTTP/1.1 503")
      await until(() => proxy.relays.size === 0, "no relay to be left")
      proxy.stop()
    })

    test("[F-48] at shutdown a slow client still gets what was on its way, whole and in order", async () => {
      const { proxy } = startTimed(service.url)
      const client = await openWs(`${proxy.url}/quiet`)
      client.socket.pause()
      const mine = session()
      for (let i = 0; i < 400; i++) mine.socket!.send(Buffer.alloc(64 * 1024, i % 251))
      await until(() => proxy.counted.sent > 20, "the client's buffers to fill")
      proxy.relays.shutdown()
      const owed = proxy.counted.sent
      await until(() => mine.closed !== undefined, "the service to hear")
      expect(client.closed).toBeUndefined()
      client.socket.resume()
      await until(() => client.closed !== undefined, "the client to hear")
      expect(client.closed?.code).toBe(1012)
      expect(client.messages.length).toBeGreaterThanOrEqual(owed)
      client.messages.forEach((message, i) => {
        expect([(message as Buffer).length, (message as Buffer)[0]]).toEqual([64 * 1024, i % 251])
      })
      await until(() => proxy.relays.size === 0, "the end")
      proxy.stop()
    })

    test("[F-22] a client that never reads is dropped after the idle timeout", async () => {
      const { proxy, pass } = startTimed(service.url)
      const client = await openWs(`${proxy.url}/quiet`)
      client.socket.pause()
      const mine = session()
      for (let i = 0; i < 400; i++) mine.socket!.send(Buffer.alloc(64 * 1024))
      await until(() => proxy.counted.sent > 20, "the client's buffers to fill")
      pass(61_000)
      await until(() => mine.closed !== undefined, "the service to hear")
      expect(mine.closed?.code).toBe(1001)
      pass(61_000)
      await until(() => proxy.relays.size === 0, "the end")
      client.socket.terminate()
      proxy.stop()
    })

    test("an idle relay is closed with 1001 at both ends, a used one is not", async () => {
      const { proxy, pass } = startTimed(service.url)
      const client = await openWs(`${proxy.url}/echo`)
      const mine = session()
      for (let i = 1; i <= 4; i++) {
        client.socket.send("still here")
        await until(() => client.messages.length === i, "the echo")
        pass(40_000)
      }
      expect(client.closed).toBeUndefined()
      pass(30_000)
      await until(() => client.closed !== undefined && mine.closed !== undefined, "both closes")
      expect(client.closed).toEqual({ code: 1001, reason: "idle timeout" })
      expect(mine.closed).toEqual({ code: 1001, reason: "idle timeout" })
      await until(() => proxy.relays.size === 0, "the end")
      proxy.stop()
    })

    test("the registry looks after its relays by itself", async () => {
      const proxy = start({ upstream: service.url, limits: { idleTimeoutMs: 50 } })
      const client = await openWs(`${proxy.url}/echo`)
      await until(() => client.closed !== undefined, "the idle timeout")
      expect(client.closed?.code).toBe(1001)
      await until(() => proxy.relays.size === 0, "the end")
      proxy.stop()
    })

    test("a silent service is pinged, and its pong is not passed on", async () => {
      const { proxy, pass } = startTimed(service.url)
      const client = await openWs(`${proxy.url}/echo`)
      const mine = session()
      pass(21_000)
      await until(() => mine.pings.length === 1, "the ping")
      client.socket.send("after")
      await until(() => client.messages.length === 1, "the echo")
      expect(client.pongs).toEqual([])
      client.socket.close(1000)
      await until(() => proxy.relays.size === 0, "the end")
      proxy.stop()
    })

    test("a service that gives no sign of life is given up: the client gets 1014", async () => {
      const deaf = await startDeaf()
      const { proxy, pass } = startTimed(deaf.url)
      const client = await openWs(`${proxy.url}/echo`)
      pass(21_000)
      expect(client.closed).toBeUndefined()
      pass(20_000)
      await until(() => client.closed !== undefined, "the close")
      expect(client.closed?.code).toBe(1014)
      await until(() => proxy.relays.size === 0, "the end")
      proxy.stop()
      deaf.stop()
    })

    test("a service that never answers the close is cut off, so its place is free again", async () => {
      const deaf = await startDeaf()
      const { proxy, pass } = startTimed(deaf.url)
      const client = await openWs(`${proxy.url}/echo`)
      client.socket.close(1000)
      let seconds = 0
      const ended = () => {
        if (proxy.relays.size > 0) pass(1000)
        return proxy.relays.size === 0 || seconds++ > 100
      }
      await until(ended, "the end")
      expect(seconds).toBeGreaterThan(8)
      await until(() => client.closed !== undefined, "the client's close")
      expect(client.closed!.code).toBe(relay === "frames" ? 1014 : 1000)
      expect(proxy.counted.open).toBe(0)
      proxy.stop()
      deaf.stop()
    })

    test("a client that leaves during the handshake leaves no relay behind", async () => {
      const gated = startWsService()
      const { proxy } = startTimed(gated.url)
      const socket = connect(proxy.port, "127.0.0.1")
      socket.write(
        "GET /gate HTTP/1.1\r\nHost: test.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      )
      await until(() => gated.handshakes.length === 1, "the service to be asked")
      socket.resetAndDestroy()
      gated.openGate()
      await until(() => gated.sessions[0]?.closed !== undefined, "the service to hear")
      await until(() => proxy.relays.size === 0, "the end")
      expect(proxy.counted.open).toBe(0)
      expect(proxy.problems).toEqual([])
      proxy.stop()
      gated.stop()
    })

    test("a relay whose client never completes the handshake is dropped", async () => {
      const { proxy, pass } = startTimed(service.url, { neverUpgrade: true })
      await openRaw(proxy.port, "/early")
      const mine = session()
      expect(proxy.relays.size).toBe(1)
      pass(11_000)
      await until(() => mine.closed !== undefined && proxy.relays.size === 0, "the end")
      expect(proxy.counted.open).toBe(0)
      proxy.stop()
    })
  })
})

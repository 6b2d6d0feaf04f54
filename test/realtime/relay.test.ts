import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { throughBothRelays } from "../support/both_relays.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import type { WsProxy } from "../support/ws_proxy.ts"
import { frame, OPCODE, openRaw } from "../support/ws_raw.ts"
import { startWsService, type WsService } from "../support/ws_service.ts"
import { floodWithPings, startPythonEcho } from "../support/ws_suite.ts"

const python =
  Bun.spawnSync(["/usr/bin/python3", "-c", "import websockets"], { stderr: "ignore" }).exitCode === 0

throughBothRelays((start, relay) => {
  let service: WsService
  let proxy: WsProxy

  beforeAll(() => {
    service = startWsService()
    proxy = start({ upstream: service.url, maxPayloadBytes: 64 * 1024 * 1024 })
  })
  afterAll(() => {
    proxy.stop()
    service.stop()
  })
  afterEach(async () => {
    await until(() => proxy.relays.size === 0, "all relays to end")
    expect(proxy.counted.open).toBe(0)
    expect(proxy.problems).toEqual([])
  })

  /** The service's view of the newest connection. */
  const session = () => service.sessions.at(-1)!

  describe("relay", () => {
    test("[T-3.1] a handshake on a proxied route reaches the service with path, query and headers", async () => {
      const client = await openWs(`${proxy.url}/room/7?x=1`, {
        headers: { cookie: "a=b", "x-user-id": "u1" },
      })
      expect(session().path).toBe("/room/7")
      expect(session().headers).toMatchObject({ cookie: "a=b", "x-user-id": "u1" })
      expect(session().headers["sec-websocket-extensions"]).toBeUndefined()
      client.socket.close(1000)
    })

    test("[S-FR4.2] text, binary and empty messages keep kind, content and order both ways", async () => {
      const client = await openWs(`${proxy.url}/echo`)
      const sent = ["text", "", "012", '"q"', "é€😀\0", Buffer.from([0, 255, 128]), Buffer.alloc(0), "end"]
      for (const message of sent) client.socket.send(message)
      await until(() => client.messages.length === sent.length, "all echoes")
      expect(client.messages).toEqual(sent)
      expect(session().received).toEqual(sent)
      client.socket.close(1000)
    })

    test("[S-FR4.2] messages and bytes are counted each way", async () => {
      const before = { ...proxy.counted }
      const client = await openWs(`${proxy.url}/echo`)
      expect(proxy.counted.open).toBe(1)
      client.socket.send("é")
      client.socket.send(Buffer.alloc(10))
      await until(() => client.messages.length === 2, "both echoes")
      expect(proxy.counted.received - before.received).toBe(2)
      expect(proxy.counted.receivedBytes - before.receivedBytes).toBe(12)
      expect(proxy.counted.sent - before.sent).toBe(2)
      expect(proxy.counted.sentBytes - before.sentBytes).toBe(12)
      client.socket.close(1000)
    })

    test("what the service says before the client's handshake is complete arrives first and in order", async () => {
      const client = await openWs(`${proxy.url}/early`)
      client.socket.send("four")
      await until(() => client.messages.length === 4, "four messages")
      expect(client.messages).toEqual(["one", "two", "three", "four"])
      client.socket.close(1000)
    })

    test("a service that speaks and closes at once is heard to its end", async () => {
      const client = await openWs(`${proxy.url}/early-close`)
      await until(() => client.closed !== undefined, "the close")
      expect(client.messages).toEqual(["one", "two", "three"])
      expect(client.closed).toEqual({ code: 4002, reason: "said it all" })
    })

    test("fragments arrive as one message, with a ping between them answered", async () => {
      const { socket, frames } = await openRaw(proxy.port, "/echo")
      socket.write(frame(OPCODE.TEXT, "one ", false))
      socket.write(frame(OPCODE.PING, "mid"))
      socket.write(frame(OPCODE.CONTINUATION, "two ", false))
      socket.write(frame(OPCODE.CONTINUATION, "three"))
      await until(() => frames.length >= 2, "pong and echo")
      expect(frames.map((f) => [f.opcode, f.payload.toString()])).toEqual([
        [OPCODE.PONG, "mid"],
        [OPCODE.TEXT, "one two three"],
      ])
      socket.end(frame(OPCODE.CLOSE, ""))
    })

    test("a frame split at every byte is one message", async () => {
      const { socket, frames } = await openRaw(proxy.port, "/echo")
      socket.setNoDelay(true)
      for (const byte of frame(OPCODE.BINARY, "slow")) {
        socket.write(Buffer.from([byte]))
        await new Promise(setImmediate)
      }
      await until(() => frames.length === 1, "the echo")
      expect(frames[0]!.payload.toString()).toBe("slow")
      socket.end(frame(OPCODE.CLOSE, ""))
    })

    test("a message of 60 MB goes through unharmed", async () => {
      const big = start({
        upstream: service.url,
        maxPayloadBytes: 64 * 1024 * 1024,
        limits: { maxMessageBytes: 64 * 1024 * 1024 },
      })
      const client = await openWs(`${big.url}/echo`)
      const sent = Buffer.alloc(60 * 1024 * 1024, "0123456789abcdef_")
      client.socket.send(sent)
      await until(() => client.messages.length === 1, "the echo", 20_000)
      expect(sent.equals(client.messages[0] as Buffer)).toBe(true)
      client.socket.close(1000)
      await until(() => big.relays.size === 0, "the end")
      big.stop()
    })

    test("a ping reaches the other end and gets exactly one pong, both ways", async () => {
      const client = await openWs(`${proxy.url}/echo`)
      client.socket.ping("from client")
      await until(() => session().pings.length === 1, "the ping at the service")
      expect(session().pings).toEqual(["from client"])
      client.socket.send("ping:from service")
      await until(() => client.pings.length === 1 && session().pongs.length === 1, "ping and pong")
      expect(client.pings).toEqual(["from service"])
      client.socket.send("last")
      await until(() => client.messages.length === 1, "the echo")
      expect(client.pongs).toEqual(["from client"])
      expect(session().pongs).toEqual(["from service"])
      client.socket.close(1000)
    })

    if (relay === "frames")
      test.skipIf(!python)(
        "[F-22] who sends pings and reads no pongs gets each pong of the service when it does",
        async () => {
          const PINGS = 50_000
          const echo = await startPythonEcho()
          const through = start({ upstream: `ws://127.0.0.1:${echo.port}` })
          expect((await floodWithPings(through.port, "/", PINGS).told()).pongs).toBe(PINGS)
          await until(() => through.relays.size === 0, "the end")
          through.stop()
          await echo.stop()
        },
        30_000,
      )
    else
      test.skipIf(!python)(
        "[F-22] who sends pings and reads no pongs is not read further, and gets each pong when it does",
        async () => {
          const PINGS = 300_000
          const { held, pongs } = await floodWithPings(proxy.port, "/quiet", PINGS).told()
          expect(held).toBeLessThan(PINGS / 2)
          expect(pongs).toBe(PINGS)
          // Pongs are the gateway's own; the service hears of the pings in its own time.
          await until(() => session().pings.length === PINGS, "the pings at the service")
        },
        30_000,
      )

    test("an unasked pong passes both ways", async () => {
      const client = await openWs(`${proxy.url}/echo`)
      client.socket.pong("beat up")
      await until(() => session().pongs.length === 1, "the pong at the service")
      client.socket.send("pong:beat down")
      await until(() => client.pongs.length === 1, "the pong at the client")
      expect([session().pongs, client.pongs]).toEqual([["beat up"], ["beat down"]])
      client.socket.close(1000)
    })

    test("the subprotocol the service chose is the one the client gets", async () => {
      const client = await openWs(`${proxy.url}/protocol/b`, { protocols: ["a", "b"] })
      expect(session().headers["sec-websocket-protocol"]).toBe("a, b")
      expect(client.socket.protocol).toBe("b")
      client.socket.close(1000)
    })

    test("when the service chose no subprotocol the client is told none", async () => {
      const { socket, state } = await openRaw(proxy.port, "/none", "Sec-WebSocket-Protocol: a, b\r\n")
      expect(state.head).toStartWith("HTTP/1.1 101")
      expect(state.head.toLowerCase()).not.toContain("sec-websocket-protocol")
      socket.end(frame(OPCODE.CLOSE, ""))
    })

    test.each([
      ["invalid UTF-8", frame(OPCODE.TEXT, new Uint8Array([0xc3, 0x28])), 1007],
      ["an unmasked frame", frame(OPCODE.TEXT, "x", true, false), 1002],
      ["a reserved bit", frame(OPCODE.TEXT | 0x40, "x"), 1002],
      ["a reserved opcode", frame(3, "x"), 1002],
      ["a fragmented ping", frame(OPCODE.PING, "x", false), 1002],
      ["a ping of 126 bytes", frame(OPCODE.PING, Buffer.alloc(126)), 1002],
      ["a continuation of nothing", frame(OPCODE.CONTINUATION, "x"), 1002],
    ])("%s closes the client and cuts the service off", async (_, bytes, code) => {
      const { socket, state, frames } = await openRaw(proxy.port, "/quiet")
      const mine = session()
      socket.write(bytes)
      await until(() => state.closed && mine.closed !== undefined, "both ends to close")
      const close = frames.find((f) => f.opcode === OPCODE.CLOSE)
      if (close !== undefined) expect(close.payload.readUInt16BE(0)).toBe(code)
      expect(mine.closed?.code).toBe(1006)
      expect(mine.received).toEqual([])
    })
  })
})

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { throughBothRelays } from "../support/both_relays.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import type { WsProxy } from "../support/ws_proxy.ts"
import { closePayload, frame, OPCODE, openRaw } from "../support/ws_raw.ts"
import { startWsService, type WsService } from "../support/ws_service.ts"

const KB = 1024

throughBothRelays((start) => {
  let service: WsService
  let proxy: WsProxy

  beforeAll(() => {
    service = startWsService()
    proxy = start({
      upstream: service.url,
      maxPayloadBytes: 64 * KB,
      limits: { maxMessageBytes: 32 * KB },
    })
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

  const session = () => service.sessions.at(-1)!
  const REASON = "é".repeat(61)

  describe("close", () => {
    test.each([1000, 1001, 1003, 1011, 1012, 1013, 1014, 3000, 4999])(
      "the client's code %d and reason reach the service",
      async (code) => {
        const client = await openWs(`${proxy.url}/echo`)
        client.socket.close(code, REASON)
        await until(() => session().closed !== undefined && client.closed !== undefined, "both closes")
        expect(session().closed).toEqual({ code, reason: REASON })
      },
    )

    test.each([1000, 1001, 1003, 1011, 1012, 1013, 1014, 3000, 4999])(
      "the service's code %d and reason reach the client",
      async (code) => {
        const client = await openWs(`${proxy.url}/echo`)
        client.socket.send(`close:${code}:${REASON}`)
        await until(() => client.closed !== undefined, "the close")
        expect(client.closed).toEqual({ code, reason: REASON })
      },
    )

    test("a close without code stays one, both ways", async () => {
      const first = await openWs(`${proxy.url}/echo`)
      first.socket.close()
      await until(() => session().closed !== undefined, "the service's close")
      expect(session().closed).toEqual({ code: 1005, reason: "" })
      const second = await openWs(`${proxy.url}/echo`)
      second.socket.send("close")
      await until(() => second.closed !== undefined, "the client's close")
      expect(second.closed).toEqual({ code: 1005, reason: "" })
    })

    test.each([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])(
      "code %d, which no one may send, ends the relay without harm",
      async (code) => {
        const { socket, state } = await openRaw(proxy.port, "/echo")
        const mine = session()
        socket.write(frame(OPCODE.CLOSE, closePayload(code)))
        await until(() => state.closed && mine.closed !== undefined, "both ends to close")
        expect([1002, 1005, 1006]).toContain(mine.closed!.code)
      },
    )

    test("a client that vanishes is a broken connection for the service too, after all it had sent", async () => {
      const client = await openWs(`${proxy.url}/quiet`)
      for (let i = 0; i < 200; i++) client.socket.send(Buffer.alloc(16 * KB, i))
      await until(() => client.socket.bufferedAmount === 0, "all to be sent")
      client.socket.terminate()
      const mine = session()
      await until(() => mine.closed !== undefined, "the service's close")
      expect(mine.closed).toEqual({ code: 1006, reason: "" })
      expect(mine.received).toHaveLength(200)
    })

    test("a service that breaks off is a bad gateway (1014) for the client", async () => {
      const client = await openWs(`${proxy.url}/echo`)
      client.socket.send("drop")
      await until(() => client.closed !== undefined, "the close")
      expect(client.closed).toEqual({ code: 1014, reason: "service connection lost" })
    })

    test("a message over the door's limit closes both ends with 1009", async () => {
      const client = await openWs(`${proxy.url}/echo`)
      client.socket.send(Buffer.alloc(65 * KB))
      await until(() => client.closed !== undefined && session().closed !== undefined, "both closes")
      expect([client.closed?.code, session().closed?.code]).toEqual([1009, 1009])
      expect(session().received).toEqual([])
    })

    test("a message over the relay's limit closes both ends with 1009", async () => {
      const client = await openWs(`${proxy.url}/echo`)
      client.socket.send(Buffer.alloc(33 * KB))
      await until(() => client.closed !== undefined && session().closed !== undefined, "both closes")
      expect([client.closed?.code, session().closed?.code]).toEqual([1009, 1009])
      expect(session().received).toEqual([])
    })

    test("a service's message over the limit closes both ends with 1009", async () => {
      const client = await openWs(`${proxy.url}/echo`)
      await until(() => session().socket !== undefined, "the service")
      session().socket!.send(Buffer.alloc(33 * KB))
      await until(() => client.closed !== undefined && session().closed !== undefined, "both closes")
      expect([client.closed?.code, session().closed?.code]).toEqual([1009, 1009])
      expect(client.messages).toEqual([])
    })

    test("a limit's last byte still passes", async () => {
      const client = await openWs(`${proxy.url}/echo`)
      client.socket.send(Buffer.alloc(32 * KB))
      await until(() => client.messages.length === 1, "the echo")
      client.socket.close(1000)
    })
  })
})

import { heapStats } from "bun:jsc"
import { afterAll, expect, test } from "bun:test"
import { throughBothDoors, throughDoor } from "../support/doors.ts"
import { type ServedGateway, serveGateway } from "../support/gateway.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { openRaw } from "../support/ws_raw.ts"
import { startWsService } from "../support/ws_service.ts"

throughBothDoors((door) => {
  const service = startWsService()
  const served: ServedGateway = serveGateway(
    throughDoor(door, {
      services: { ws: { instances: [`http://127.0.0.1:${service.port}`] } },
      defaults: { request_id: {}, access_log: {} },
      routes: [{ path: "/*", service: "ws", websocket: "relay" }],
    }),
  )
  afterAll(() => {
    served.close()
    service.stop()
  })
  const url = (path: string) => `ws://127.0.0.1:${served.port}${path}`

  test("a handshake that is accepted is logged and counted as 101, once", async () => {
    const client = await openWs(url("/echo"), { headers: { "x-request-id": "abc-1" } })
    client.socket.send("hello")
    await until(() => client.messages.length === 1, "the echo")
    expect(service.handshakes.at(-1)!["x-request-id"]).toBe("abc-1")
    expect(served.access.map((each) => [each.status, each.id, each.error])).toEqual([[101, "abc-1", ""]])
    expect([served.inFlight(), served.finished()]).toEqual([0, 1])
    client.socket.close()
    await until(() => client.closed !== undefined, "the close")
  })

  test("a handshake that the service refuses is its status, and one it never answers is cancelled with the client", async () => {
    const before = served.finished()
    const refused = await openWs(url("/status/403"))
    expect(refused.error).toContain("403")
    expect(served.access.at(-1)!.status).toBe(403)
    const raw = await Bun.connect({ hostname: "127.0.0.1", port: served.port, socket: { data() {} } })
    raw.write(
      "GET /hang HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    await until(() => served.inFlight() === 1, "the handshake to begin")
    raw.terminate()
    await until(() => served.inFlight() === 0, "the handshake to end", 40_000)
    expect(served.finished()).toBe(before + 2)
  }, 45_000)

  test("[F-21] an open WebSocket holds nothing of the request it came with", async () => {
    const requests = () => {
      Bun.gc(true)
      return heapStats().objectTypeCounts.Request ?? 0
    }
    const before = requests()

    const opened = await Promise.all(Array.from({ length: 50 }, () => openRaw(served.port, "/echo")))
    expect(opened.filter(({ state }) => !state.head.startsWith("HTTP/1.1 101"))).toEqual([])
    await until(() => requests() < before + 10, "the requests to be let go")
    for (const { socket } of opened) socket.destroy()
  })
})

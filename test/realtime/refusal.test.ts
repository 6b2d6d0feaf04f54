import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { createServer, type Server } from "node:net"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { startWsProxy } from "../support/ws_proxy.ts"
import { openRaw } from "../support/ws_raw.ts"
import { startWsService, type WsService } from "../support/ws_service.ts"

let service: WsService
beforeAll(() => {
  service = startWsService()
})
afterAll(() => {
  service.stop()
})

/** Status line and body that a client gets for its handshake. */
async function answer(
  upstream: string,
  path: string,
  options: Partial<Parameters<typeof startWsProxy>[0]> = {},
) {
  const proxy = startWsProxy({ upstream, ...options })
  const { socket, state } = await openRaw(proxy.port, path)
  await until(() => state.rest.length > 0 || state.closed, "a body")
  const body = state.rest.toString()
  socket.destroy()
  const left = { size: proxy.relays.size, open: proxy.counted.open }
  proxy.stop()
  return { status: Number(state.head.slice(9, 12)), body, left }
}

async function listen(onConnect: (write: (text: string) => void, end: () => void) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy())
    socket.once("data", () => {
      onConnect(
        (text) => socket.write(text),
        () => socket.end(),
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return server
}

const portOf = (server: Server) => (server.address() as { port: number }).port

describe("refusal", () => {
  test.each([401, 403, 404])(
    "[S-FR4.2] the service's %d becomes the answer to the handshake",
    async (status) => {
      const got = await answer(service.url, `/status/${status}`)
      expect(got.status).toBe(status)
      expect(got.body).toStartWith("status:")
      expect(got.left).toEqual({ size: 0, open: 0 })
    },
  )

  test.each([200, 302, 400, 500, 503])("any other status (%d) is a bad gateway", async (status) => {
    const got = await answer(service.url, `/status/${status}`)
    expect(got.status).toBe(502)
    expect(got.body).toBe(`status: Expected 101 status code: ${status}`)
  })

  test("[F-30] a service that never answers the handshake is a gateway timeout", async () => {
    const got = await answer(service.url, "/hang", { timeoutMs: 60 })
    expect(got.status).toBe(504)
    expect(got.left).toEqual({ size: 0, open: 0 })
  })

  test("[F-29] a service that is not there is a bad gateway, and the cause names no address", async () => {
    const got = await answer("ws://127.0.0.1:1", "/echo")
    expect(got.status).toBe(502)
    expect(got.body).toContain("unreachable")
    expect(got.body).not.toContain("127.0.0.1")
  })

  test.each([
    ["garbage", "\0\0garbage\r\n\r\n"],
    ["101 without the accept key", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"],
    [
      "101 with a wrong accept key",
      "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
    ],
    ["nothing at all", ""],
  ])("[F-29] %s instead of a handshake is a bad gateway", async (_, text) => {
    const server = await listen((write, end) => {
      if (text !== "") write(text)
      end()
    })
    const got = await answer(`ws://127.0.0.1:${portOf(server)}`, "/echo")
    expect(got.status).toBe(502)
    server.close()
  })

  test("a subprotocol nobody offered is a bad gateway", async () => {
    expect((await answer(service.url, "/protocol/zzz")).status).toBe(502)
  })

  test("beyond the bound of relays a handshake is refused with 503, and taken again when one has ended", async () => {
    const proxy = startWsProxy({ upstream: service.url, max: 1 })
    const first = await openWs(`${proxy.url}/echo`)
    const second = await openRaw(proxy.port, "/echo")
    expect(second.state.head).toStartWith("HTTP/1.1 503")
    first.socket.close(1000)
    await until(() => proxy.relays.size === 0, "the first to end")
    const third = await openWs(`${proxy.url}/echo`)
    expect(third.closed).toBeUndefined()
    proxy.stop()
  })

  test("refused handshakes give their place back", async () => {
    const proxy = startWsProxy({ upstream: service.url, max: 1 })
    for (let i = 0; i < 3; i++) {
      const { state } = await openRaw(proxy.port, "/status/401")
      expect(state.head).toStartWith("HTTP/1.1 401")
    }
    proxy.stop()
  })

  test("a service on a Unix socket is reached", async () => {
    const path = `/tmp/ws-${process.pid}-${Math.random().toString(36).slice(2)}.sock`
    const server = Bun.serve({
      unix: path,
      fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 400 })),
      websocket: { message: (socket, data) => void socket.send(data) },
    })
    const proxy = startWsProxy({ upstream: `ws+unix://${path}:` })
    const client = await openWs(`${proxy.url}/echo`)
    client.socket.send("over unix")
    await until(() => client.messages.length === 1, "the echo")
    expect(client.messages).toEqual(["over unix"])
    proxy.stop()
    server.stop(true)
  })
})

import { afterEach, describe, expect, test } from "bun:test"
import { connect, type Socket } from "node:net"
import { LANE } from "../support/doors.ts"
import { type Edge, type EdgeOptions, openEdge } from "../support/edge.ts"
import { serveGateway } from "../support/gateway.ts"
import { openClient } from "../support/raw_client.ts"
import { until } from "../support/until.ts"
import { frame, OPCODE } from "../support/ws_raw.ts"
import { startWsService } from "../support/ws_service.ts"

const HOST = "Host: a.example\r\n"
const GET = `GET /x HTTP/1.1\r\n${HOST}\r\n`
const open: { close(): void }[] = []
afterEach(() => {
  for (const each of open.splice(0)) each.close()
})
function edgeWith(options: EdgeOptions = {}): Edge {
  const edge = openEdge({ ...options, door: LANE })
  open.push(edge)
  return edge
}

/** A client of an address of 127.0.0.0/8. */
function openFrom(localAddress: string, port: number) {
  const state = { received: "", closed: false }
  const socket: Socket = connect({ host: "127.0.0.1", port, localAddress })
  socket.on("data", (bytes) => {
    state.received += bytes.toString("latin1")
  })
  // "close" follows and tells.
  socket.on("error", () => undefined)
  socket.on("close", () => {
    state.closed = true
  })
  open.push({ close: () => socket.destroy() })
  return { socket, state }
}

describe("what the lane does not speak goes on to the Serve door, also on a connection it has served", () => {
  const others: Record<string, [request: string, line: string]> = {
    "HTTP/1.0": [`GET /other HTTP/1.0\r\n${HOST}\r\n`, "GET /other HTTP/1.1"],
    "an upgrade to HTTP/2": [
      `GET /other HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
      "GET /other HTTP/1.1",
    ],
    "8-bit bytes in the target": [`GET /\xc3\xa9 HTTP/1.1\r\n${HOST}\r\n`, "GET /%C3%A9 HTTP/1.1"],
    "braces in the query": [`GET /other?{a} HTTP/1.1\r\n${HOST}\r\n`, "GET /other?{a} HTTP/1.1"],
  }
  for (const [what, [request, line]] of Object.entries(others)) {
    for (const behind of ["first", "later", "pipelined"]) {
      test(`${what}, ${behind}: with the client's own address`, async () => {
        const edge = edgeWith()
        const { socket, state } = openFrom("127.0.0.9", edge.port)
        const answers = () => edge.served.access.length
        if (behind === "pipelined") socket.write(GET + request, "latin1")
        else {
          if (behind === "later") {
            socket.write(GET)
            await until(() => answers() === 1, "the first answer")
          }
          socket.write(request, "latin1")
        }
        const count = behind === "first" ? 1 : 2
        await until(() => answers() === count && state.received.split("ok").length > count, "the answers")
        expect(edge.received().at(-1)!.line).toBe(line)
        expect(edge.received().map((each) => each.header("x-forwarded-for"))).toEqual(
          Array(count).fill("127.0.0.9"),
        )
        expect(edge.served.access.map((each) => each.client)).toEqual(Array(count).fill("127.0.0.9"))
      })
    }
  }

  test("a WebSocket on a connection that was used before, with what the client had sent already", async () => {
    const service = startWsService()
    const served = serveGateway({
      services: { ws: { instances: [`http://127.0.0.1:${service.port}`] } },
      defaults: { access_log: {} },
      routes: [
        { path: "/page", respond: { body: "page" } },
        { path: "/*", service: "ws", websocket: "relay" },
      ],
    })
    open.push(served, { close: () => service.stop() })
    const { socket, state } = openFrom("127.0.0.9", served.port)
    const page = `GET /page HTTP/1.1\r\n${HOST}\r\n`
    const handshake =
      `GET /echo HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    socket.write(page + page + handshake)
    await until(() => state.received.includes("HTTP/1.1 101"), "the handshake's answer")
    socket.write(frame(OPCODE.TEXT, "hello"))
    await until(() => state.received.endsWith("hello"), "the echo")
    expect(served.access.map((each) => [each.client, each.status])).toEqual([
      ["127.0.0.9", 200],
      ["127.0.0.9", 200],
      ["127.0.0.9", 101],
    ])
  })
})

describe("connections", () => {
  const asked = async (edge: Edge) => {
    const client = await openClient(edge.port)
    client.send(GET)
    await until(() => client.closed || client.received.endsWith("ok"), "an answer or the end")
    return client
  }

  test("[F-21] beyond server.max_connections are closed at once, and there is room when others go", async () => {
    const edge = edgeWith({ config: { server: { max_connections: 2 } } })
    const first = await asked(edge)
    const second = await asked(edge)
    const third = await asked(edge)
    expect([first.closed, second.closed, third.closed, third.received]).toEqual([false, false, true, ""])
    first.reset()
    await until(() => first.closed, "the end of the first")
    let next = await asked(edge)
    while (next.closed) next = await asked(edge)
    expect(edge.received()).toHaveLength(3)
    for (const client of [second, next]) client.reset()
  })

  test("[F-21] beyond server.max_connections_per_ip are closed, those of other addresses are not", async () => {
    const edge = edgeWith({ config: { server: { max_connections_per_ip: 1 } } })
    const all = ["127.0.0.8", "127.0.0.8", "127.0.0.9"].map((address) => openFrom(address, edge.port))
    for (const { socket } of all) socket.write(GET)
    await until(() => all.every(({ state }) => state.closed || state.received.endsWith("ok")), "the answers")
    expect(all.map(({ state }) => state.closed)).toEqual([false, true, false])
  })

  test("[F-21] one that was handed over counts too", async () => {
    const edge = edgeWith({ config: { server: { max_connections_per_ip: 1 } } })
    const other = openFrom("127.0.0.8", edge.port)
    other.socket.write(`GET /\xc3\xa9 HTTP/1.1\r\n${HOST}\r\n`, "latin1")
    await until(() => other.state.received.endsWith("ok"), "its answer")
    const second = openFrom("127.0.0.8", edge.port)
    await until(() => second.state.closed, "the end of the second")
    expect(other.state.closed).toBe(false)
  })
})

test("closing waits for the answer under way, closes idle connections, and tells clients that it was the last", async () => {
  const edge = edgeWith({ script: () => undefined })
  const idle = await openClient(edge.port)
  const busy = await openClient(edge.port)
  busy.send(GET)
  await until(
    () => edge.upstream.connections[0]?.received.includes("GET") === true,
    "the service to be asked",
  )
  let closed = false
  const closing = edge.served.door.close().then(() => {
    closed = true
  })
  await idle.ended()
  expect(closed).toBe(false)
  edge.upstream.last.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
  const response = await busy.response()
  expect([response.body, response.header("connection")]).toEqual(["ok", "close"])
  await closing
})

test("a stream that began before the end and is over after it closes its connection", async () => {
  const more = Promise.withResolvers<void>()
  const edge = edgeWith({
    script: async (connection) => {
      connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
      await more.promise
      connection.write("3\r\ntwo\r\n0\r\n\r\n")
    },
  })
  const client = await openClient(edge.port)
  client.send(GET)
  await client.seen("one")
  const closed = edge.served.door.close()
  more.resolve()
  await closed
  await client.ended()
  expect(client.received).toEndWith("3\r\ntwo\r\n0\r\n\r\n")
})

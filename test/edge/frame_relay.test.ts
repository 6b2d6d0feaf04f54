import { afterEach, describe, expect, test } from "bun:test"
import { createHash } from "node:crypto"
import { SERVICE_CERTIFICATE, SERVICE_KEY } from "../support/certificates.ts"
import { type ServedGateway, serveGateway } from "../support/gateway.ts"
import { openClient } from "../support/raw_client.ts"
import { type RawScript, RawUpstream } from "../support/raw_upstream.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { closePayload, frame, OPCODE, openRaw } from "../support/ws_raw.ts"
import { startWsService } from "../support/ws_service.ts"

// WebSockets that the lane relays itself: what passes with their handshake, and what happens around it.

const closing: (() => unknown)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

const KEY = "dGhlIHNhbXBsZSBub25jZQ=="
const accept = (key: string): string =>
  createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")
const SWITCH = `HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept(KEY)}\r\n`
const HANDSHAKE =
  "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`

/** A frame of a service. */
const sent = (text: string): Buffer => frame(OPCODE.TEXT, text, true, false)

/** A gateway before a service that does this, in plain or behind TLS on both sides. */
function relayTo(script: RawScript, file: object = {}, secure = false, unix?: string) {
  const tls = { key: SERVICE_KEY, cert: SERVICE_CERTIFICATE }
  const upstream = new RawUpstream(script, unix === undefined ? (secure ? { tls } : {}) : { unix })
  const instances = [upstream.url]
  const gateway: ServedGateway = serveGateway(
    {
      services: { ws: { instances, ...(secure && { tls: { verify: false } }) } },
      defaults: { access_log: {} },
      routes: [{ path: "/*", service: "ws", websocket: "relay", ...file }],
      ...(secure && { server: { tls: { cert: "unread", key: "unread" } } }),
    },
    secure ? { tls } : {},
  )
  closing.push(
    () => gateway.close(),
    () => upstream.stop(),
  )
  return { upstream, gateway }
}

describe("the handshake", () => {
  test("reaches the service with the client's key and subprotocols, without extensions", async () => {
    let asked = ""
    const { gateway } = relayTo((connection, head) => {
      asked = head
      connection.write(`${SWITCH}Sec-WebSocket-Protocol: b\r\n\r\n`)
    })
    const extra =
      "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX-Own: 1\r\n"
    const { state } = await openRaw(gateway.port, "/chat?x=1", extra)
    const lines = asked.toLowerCase().split("\r\n")
    expect(asked).toStartWith("GET /chat?x=1 HTTP/1.1\r\n")
    expect(lines).toContain("connection: upgrade")
    expect(lines).toContain("upgrade: websocket")
    expect(lines).toContain(`sec-websocket-key: ${KEY.toLowerCase()}`)
    expect(lines).toContain("sec-websocket-protocol: a, b")
    expect(lines).toContain("x-own: 1")
    expect(lines.filter((line) => line.startsWith("sec-websocket-extensions"))).toEqual([])
    expect(state.head.toLowerCase().split("\r\n")).toContain("sec-websocket-protocol: b")
  })

  test("brings the service's header fields along, cookies one by one, as policies edit them", async () => {
    const { gateway } = relayTo(
      (connection) =>
        connection.write(
          `${SWITCH}Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\n\r\n`,
        ),
      { edit_headers: { response: { remove: ["x-gone"], set: { "x-more": "2" } } } },
    )
    const { state } = await openRaw(gateway.port, "/chat")
    const lines = state.head.split("\r\n").map((line) => line.toLowerCase())
    expect(lines[0]).toBe("http/1.1 101 switching protocols")
    expect(lines.filter((line) => line.startsWith("set-cookie"))).toEqual([
      "set-cookie: a=1",
      "set-cookie: b=2",
    ])
    expect(lines).toContain("x-more: 2")
    expect(lines.filter((line) => /^(x-gone|keep-alive)/.test(line))).toEqual([])
    expect(lines.filter((line) => /^(connection|upgrade|date|sec-websocket-accept):/.test(line)).length).toBe(
      4,
    )
  })

  test.each([
    ["a wrong key", SWITCH.replace(/Accept: .*\r/, "Accept: AAAA\r")],
    ["no key", SWITCH.replace(/Sec-WebSocket-Accept: .*\r\n/, "")],
    ["another protocol", SWITCH.replace("websocket", "h2c")],
    ["no Connection", SWITCH.replace("Connection: Upgrade\r\n", "")],
    ["an extension", `${SWITCH}Sec-WebSocket-Extensions: permessage-deflate\r\n`],
    ["a subprotocol nobody offered", `${SWITCH}Sec-WebSocket-Protocol: z\r\n`],
  ])("[F-29] answered by a 101 with %s is a bad gateway", async (_, head) => {
    const { gateway } = relayTo((connection) => connection.write(`${head}\r\n`))
    const { state } = await openRaw(gateway.port, "/chat", "Sec-WebSocket-Protocol: a\r\n")
    expect(state.head).toStartWith("HTTP/1.1 502")
    expect(gateway.access.at(-1)!.error).toBe("BAD_GATEWAY")
    expect(gateway.relays.size).toBe(0)
  })

  test("[F-29] a 101 to a request that asked for none is a bad gateway", async () => {
    const { gateway } = relayTo((connection) => connection.write(`${SWITCH}\r\n`))
    expect((await fetch(gateway.url)).status).toBe(502)
  })

  test.each([
    [401, 401, "HANDSHAKE_UNAUTHENTICATED"],
    [403, 403, "HANDSHAKE_FORBIDDEN"],
    [404, 404, "NOT_FOUND"],
    [302, 502, "BAD_GATEWAY"],
    [200, 502, "BAD_GATEWAY"],
  ])(
    "[S-FR4.2] refused by the service with %d is answered with %d, and the connection goes on",
    async (status, answer, code) => {
      const { gateway } = relayTo((connection, head) =>
        connection.write(
          head.includes("Upgrade")
            ? `HTTP/1.1 ${status} No\r\ncontent-length: 2\r\n\r\nno`
            : "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        ),
      )
      const client = await openClient(gateway.port)
      client.send(`${HANDSHAKE}\r\n`)
      await until(() => client.received.includes("\r\n\r\n{"), "the refusal")
      expect(client.received).toStartWith(`HTTP/1.1 ${answer} `)
      expect(client.received).toContain(code)
      client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
      await until(() => client.received.endsWith("ok"), "the next answer")
      expect(gateway.relays.size).toBe(0)
    },
  )

  test("that a service refuses with a body without an end holds nothing", async () => {
    const { gateway, upstream } = relayTo((connection) =>
      connection.write("HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n"),
    )
    const { state } = await openRaw(gateway.port, "/chat")
    expect(state.head).toStartWith("HTTP/1.1 403")
    await until(() => upstream.connections.every(({ closed }) => closed), "the service's connection to end")
  })

  test("that is malformed is refused before the service is asked", async () => {
    let asked = 0
    const { gateway } = relayTo(() => asked++)
    const client = await openClient(gateway.port)
    client.send(`${HANDSHAKE.replace("Version: 13", "Version: 8")}\r\n`)
    await until(() => client.received.includes("\r\n\r\n"), "the answer")
    expect(client.received).toStartWith("HTTP/1.1 426")
    expect(asked).toBe(0)
  })
})

describe.each([
  ["plain", false],
  ["TLS on both sides", true],
])("frames, %s:", (_, secure) => {
  test("what comes with either end's handshake is relayed after it", async () => {
    const { gateway, upstream } = relayTo(
      (connection) => connection.write(`${SWITCH}\r\n`).write(sent("first")),
      {},
      secure,
    )
    const client = await openClient(gateway.port, secure ? { tls: true } : {})
    const early = frame(OPCODE.TEXT, "early")
    client.send(`${HANDSHAKE}\r\n${early.toString("latin1")}`)
    const connection = () => upstream.connections[0]
    await until(() => connection()?.received.endsWith(early.toString("latin1")) === true, "the early frame")
    await until(() => client.received.endsWith("first"), "the first frame")
    expect(client.received).toStartWith("HTTP/1.1 101")
  })

  test("4 MB each way arrive as they were", async () => {
    const payload = Buffer.alloc(4 * 1024 * 1024, "0123456789abcdef_")
    const there = frame(OPCODE.BINARY, payload)
    const back = frame(OPCODE.BINARY, payload, true, false)
    const { gateway, upstream } = relayTo(
      (connection) => connection.write(`${SWITCH}\r\n`).write(back),
      {},
      secure,
    )
    const client = await openClient(gateway.port, secure ? { tls: true } : {})
    client.send(`${HANDSHAKE}\r\n`)
    await until(() => client.bytesReceived > back.length, "the service's message")
    client.send(there.toString("latin1"))
    await until(() => upstream.connections[0]!.bytesReceived > there.length, "the client's message")
    expect(client.received.slice(-back.length) === back.toString("latin1")).toBe(true)
    expect(upstream.connections[0]!.received.slice(-there.length) === there.toString("latin1")).toBe(true)
  })
})

test("a service on a Unix socket is reached", async () => {
  const unix = `/tmp/frames-${process.pid}.sock`
  const { gateway } = relayTo(
    (connection) => connection.write(`${SWITCH}\r\n`).write(sent("over unix")),
    {},
    false,
    unix,
  )
  const { frames } = await openRaw(gateway.port, "/chat")
  await until(() => frames.length === 1, "the frame")
  expect(frames[0]!.payload.toString()).toBe("over unix")
})

test("a client that asks too late for what it had asked before gets its answers first", async () => {
  const { gateway, upstream } = relayTo((connection, head) =>
    connection.write(
      head.includes("Upgrade")
        ? `${SWITCH}\r\n`
        : `HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\n${"x".repeat(20_000_000)}`,
    ),
  )
  const client = await openClient(gateway.port, { countOnly: true })
  client.send(`GET / HTTP/1.1\r\nHost: a.example\r\n\r\n${HANDSHAKE}\r\n`)
  client.pause()
  await until(() => upstream.connections.length === 1, "the first request")
  client.resume()
  await until(() => gateway.access.length === 2, "both answers")
  expect(gateway.access.map(({ status }) => status)).toEqual([200, 101])
  await until(() => client.bytesReceived > 20_000_000, "all of the first")
})

describe("the end", () => {
  /** A client and its service, joined. */
  async function joined() {
    const service = startWsService()
    const gateway = serveGateway({
      services: { ws: { instances: [`http://127.0.0.1:${service.port}`] } },
      routes: [{ path: "/*", service: "ws", websocket: "relay" }],
    })
    closing.push(
      () => gateway.close(),
      () => service.stop(),
    )
    const client = await openWs(`ws://127.0.0.1:${gateway.port}/echo`)
    await until(() => service.sessions.length === 1, "the session")
    return { gateway, client, session: service.sessions[0]! }
  }

  test("of the gateway is told to both, and waited for", async () => {
    const { gateway, client, session } = await joined()
    gateway.relays.shutdown()
    await gateway.relays.emptied()
    await until(() => client.closed !== undefined && session.closed !== undefined, "both closes")
    expect(client.closed).toEqual({ code: 1012, reason: "service restart" })
    expect(session.closed).toEqual({ code: 1001, reason: "service restart" })
  })

  test("by force cuts both", async () => {
    const { gateway, client, session } = await joined()
    gateway.door.terminate()
    await until(() => client.closed !== undefined && session.closed !== undefined, "both ends")
    expect([client.closed!.code, session.closed!.code]).toEqual([1006, 1006])
    expect(gateway.relays.size).toBe(0)
  })

  test("within a large frame of the service breaks the client's connection off: nothing can be put between", async () => {
    const { gateway, upstream } = relayTo((connection) => {
      connection.write(`${SWITCH}\r\n`)
      connection.write(frame(OPCODE.BINARY, Buffer.alloc(100_000), true, false).subarray(0, 50_000))
    })
    const { state, frames } = await openRaw(gateway.port, "/chat")
    await until(() => state.rest.length === 50_000, "half a frame")
    upstream.connections[0]!.end()
    await until(() => state.closed, "the end")
    expect([frames, state.rest.length]).toEqual([[], 50_000])
    await until(() => gateway.relays.size === 0, "no relay to be left")
  })

  test("[F-48] of the gateway within a large frame comes after it", async () => {
    const large = frame(OPCODE.BINARY, Buffer.alloc(100_000), true, false)
    const { gateway, upstream } = relayTo((connection) => {
      connection.write(`${SWITCH}\r\n`).write(large.subarray(0, 50_000))
    })
    const { state, frames, socket } = await openRaw(gateway.port, "/chat")
    await until(() => state.rest.length === 50_000, "half a frame")
    gateway.relays.shutdown()
    upstream.connections[0]!.write(large.subarray(50_000)).write(sent("too late"))
    await until(() => frames.length === 2, "the rest and the close")
    expect(frames.map(({ opcode, payload }) => [opcode, payload.length])).toEqual([
      [OPCODE.BINARY, 100_000],
      [OPCODE.CLOSE, 17],
    ])
    socket.end(frame(OPCODE.CLOSE, closePayload(1012)))
    upstream.connections[0]!.end()
    await until(() => gateway.relays.size === 0, "no relay to be left")
  })
})

import { afterAll, expect, test } from "bun:test"
import { type ClientHttp2Stream, connect } from "node:http2"
import { SERVICE_CERTIFICATE, SERVICE_KEY } from "../support/certificates.ts"
import { afterBody, type Edge, openEdge } from "../support/edge.ts"
import { askH2, type HeaderPairs } from "../support/h2_raw.ts"
import { openClient } from "../support/raw_client.ts"
import { until } from "../support/until.ts"

const MB = 1024 * 1024
const tls = { cert: SERVICE_CERTIFICATE, key: SERVICE_KEY }
const config = { server: { http2: true } }
const edge = openEdge({ script: afterBody(), tls, config })
const opened: Edge[] = [edge]
afterAll(() => {
  for (const each of opened) each.close()
})

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
const request = (method = "GET", path = "/x", authority = "a.example"): [string, string][] => [
  [":method", method],
  [":scheme", "https"],
  [":path", path],
  [":authority", authority],
]
const withFields = (...fields: [string, string][]) => [...request(), ...fields]

const MALFORMED: readonly (readonly [string, HeaderPairs, string?])[] = [
  ["a body longer than content-length 0", [...request("POST"), ["content-length", "0"]], SMUGGLED],
  ["a body longer than content-length", [...request("POST"), ["content-length", "3"]], SMUGGLED],
  ["a body shorter than content-length", [...request("POST"), ["content-length", "300"]], SMUGGLED],
  ["two content-lengths", [...request("POST"), ["content-length", "5"], ["content-length", "6"]], "hello"],
  ["content-length +5", [...request("POST"), ["content-length", "+5"]], "hello"],
  ["transfer-encoding", [...request("POST"), ["transfer-encoding", "chunked"]], `0\r\n\r\n${SMUGGLED}`],
  ["te other than trailers", withFields(["te", "gzip"])],
  ["connection", withFields(["connection", "x-a"], ["x-a", "1"])],
  ["upgrade", withFields(["upgrade", "websocket"])],
  ["CRLF in a value", withFields(["a", "b\r\nx-evil: 1"])],
  ["LF in a value", withFields(["a", "b\nx-evil: 1"])],
  ["NUL in a value", withFields(["a", "b\0"])],
  ["CRLF in a name", withFields(["a\r\nx-evil", "1"])],
  ["a colon in a name", withFields(["a:b", "1"])],
  ["a space in a name", withFields(["a b", "1"])],
  ["a capital in a name", withFields(["Abc", "1"])],
  ["an empty name", withFields(["", "1"])],
  ["a space in the path", request("GET", "/x HTTP/1.1")],
  ["CRLF in the path", request("GET", "/x HTTP/1.1\r\nx-evil: 1\r\n\r\n")],
  ["a path without slash", request("GET", "x")],
  ["an empty path", request("GET", "")],
  ["a URL as path", request("GET", "http://b.example/y")],
  ["a fragment", request("GET", "/x#y")],
  ["a request line as method", request("GET /smuggled HTTP/1.1\r\nx: ")],
  ["a space in the authority", request("GET", "/x", "a b")],
  ["a user in the authority", request("GET", "/x", "u@h")],
  ["CRLF in the authority", request("GET", "/x", "a\r\nx-evil: 1")],
  ["a path in the authority", request("GET", "/x", "a/../b")],
  ["an empty authority", request("GET", "/x", "")],
  ["a host that differs from the authority", withFields(["host", "b.example"])],
  ["neither host nor authority", request().slice(0, 3)],
  ["two paths", withFields([":path", "/y"])],
  ["two authorities", withFields([":authority", "b.example"])],
  ["a pseudo-header after a field", [["a", "b"], ...request()]],
  ["an unknown pseudo-header", withFields([":foo", "x"])],
  ["a response's pseudo-header", withFields([":status", "200"])],
  ["no method", request().slice(1)],
  ["a GET that declares a body", withFields(["content-length", String(SMUGGLED.length)]), SMUGGLED],
  ["two Authorization fields", withFields(["authorization", "Bearer a"], ["authorization", "Bearer b"])],
]
for (const [what, fields, body] of MALFORMED) {
  test(`[F-17] HTTP/2: ${what} is refused and reaches no service whole`, async () => {
    const before = edge.received().filter((each) => each.body !== "" || each.complete).length
    const { kind } = await askH2(edge.port, fields, body)
    expect(["stream error", "connection error", "400"]).toContain(kind)
    for (const got of edge.received().slice(before))
      expect([got.line, got.body]).toEqual(["POST /x HTTP/1.1", ""])
    expect(edge.received().filter((each) => each.line.includes("smuggled") || each.header("x-evil"))).toEqual(
      [],
    )
  })
}

test("[F-12] HTTP/2: CONNECT, TRACE and unknown methods get no service", async () => {
  const before = edge.received().length
  for (const fields of [
    [
      [":method", "CONNECT"],
      [":authority", "b:443"],
    ] as HeaderPairs,
    request("TRACE"),
    request("FOO"),
    request("get"),
  ]) {
    expect((await askH2(edge.port, fields)).kind).toBe("other status")
  }
  expect(edge.received()).toHaveLength(before)
})

test("[F-15] HTTP/2: a sound request goes out as HTTP/1.1, cookies joined, look-alike names dropped", async () => {
  const fields = withFields(["cookie", "a=1"], ["cookie", "b=2"], ["x_user_id", "1"], ["x-user-id", "1"])
  expect((await askH2(edge.port, fields)).kind).toBe("200")
  const last = edge.received().at(-1)!
  expect([last.line, last.header("host"), last.header("cookie")]).toEqual([
    "GET /x HTTP/1.1",
    "a.example",
    "a=1; b=2",
  ])
  expect(last.lines.filter((line) => /user.id/i.test(line))).toEqual([])
  expect((await askH2(edge.port, request("POST"), "hello")).kind).toBe("200")
  expect(edge.received().at(-1)!.body).toBe("hello")
})

function fetchStream(
  port: number,
): ClientHttp2Stream & { bytes: number; ended: boolean; code: number | undefined } {
  const session = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  const stream = Object.assign(session.request({ ":path": "/x" }), {
    bytes: 0,
    ended: false,
    code: undefined,
  })
  stream.on("data", (bytes: Buffer) => {
    stream.bytes += bytes.length
  })
  stream.on("end", () => {
    stream.ended = true
    session.close()
  })
  stream.on("error", () => session.destroy())
  return stream
}

test("HTTP/2: a large answer streams in full", async () => {
  const large = openEdge({
    tls,
    config,
    script: (connection) => {
      connection.write(`HTTP/1.1 200 OK\r\ncontent-length: ${20 * MB}\r\n\r\n`)
      for (let i = 0; i < 20; i++) connection.write(Buffer.alloc(MB, 120))
    },
  })
  opened.push(large)
  const stream = fetchStream(large.port)
  await until(() => stream.ended, "the whole body", 10_000)
  expect(stream.bytes).toBe(20 * MB)
  await until(() => large.served.inFlight() === 0, "no exchange under way")
})

test("[F-30] HTTP/2: a stream that is cancelled cancels the request at the service", async () => {
  const hanging = openEdge({
    tls,
    config,
    script: (connection) =>
      connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"),
  })
  opened.push(hanging)
  const stream = fetchStream(hanging.port)
  await until(() => stream.bytes === 3, "the first bytes")
  stream.close(8)
  await until(() => hanging.upstream.last.closed, "the service's end to be closed")
  await until(() => hanging.served.inFlight() === 0, "no exchange under way")
  expect(hanging.served.finished()).toBe(1)
})

test("with HTTP/2 on, a WebSocket handshake over HTTP/1.1 is still one", async () => {
  const sockets = openEdge({
    tls,
    config: { ...config, routes: [{ path: "/*", service: "s", websocket: "relay" }] },
  })
  opened.push(sockets)
  const client = await openClient(sockets.port, { tls: true })
  client.send(
    "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  )
  await until(
    () => sockets.upstream.connections.length > 0 && sockets.upstream.last.received !== "",
    "the service to be asked",
  )
  expect(sockets.upstream.last.received.toLowerCase()).toContain("upgrade: websocket")
  // The raw upstream answers 200: no WebSocket.
  expect((await client.response()).status).toBe(502)
  client.reset()
})

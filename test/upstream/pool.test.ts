import { afterEach, describe, expect, test } from "bun:test"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readBody } from "../support/bodies.ts"
import { FakeTime } from "../support/fake_time.ts"
import { closeAll, failure, get, listen, poolTo, response } from "../support/pool_to.ts"
import { until } from "../support/until.ts"
import { TestRequest } from "../support/upstream_request.ts"

afterEach(closeAll)

const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

test("a small response comes with its whole body, and its connection is used again", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const pool = poolTo(upstream.url)
  for (let i = 0; i < 3; i++) {
    const request = new TestRequest()
    const asked = response(await get(pool, request))
    expect(asked.status).toBe(200)
    expect(asked.body).toBeInstanceOf(Uint8Array)
    expect(await readBody(asked.body)).toBe("hello")
    expect(request.outcomes).toEqual(["complete"])
  }
  expect(upstream.connections.length).toBe(1)
  expect(pool.stats).toEqual({ open: 1, idle: 1, busy: 0, waiting: 0 })
})

test.each([
  ["GET", undefined, "\r\n\r\n"],
  ["GET", new Uint8Array(0), "\r\n\r\n"],
  ["POST", undefined, "content-length: 0\r\n\r\n"],
  ["DELETE", undefined, "\r\n\r\n"],
  ["DELETE", new Uint8Array(0), "content-length: 0\r\n\r\n"],
  ["PUT", Buffer.from("abc"), "content-length: 3\r\n\r\nabc"],
  ["GET", Buffer.from("abc"), "content-length: 3\r\n\r\nabc"],
])("a %s with body %p is framed", async (method, body, tail) => {
  const upstream = listen((connection) => connection.write("HTTP/1.1 204 No Content\r\n\r\n"))
  response(await get(poolTo(upstream.url), new TestRequest(method, body)))
  const framing = tail === "\r\n\r\n" ? "\r\n" : tail
  await upstream.last.seen(framing)
  expect(upstream.last.received).toBe(`${method} / HTTP/1.1\r\nhost: service.test\r\n${framing}`)
})

test("a body larger than the buffer arrives whole", async () => {
  const upstream = listen(() => undefined)
  const body = Buffer.alloc(3_000_000, "0123456789")
  const asked = get(poolTo(upstream.url), new TestRequest("POST", body))
  const length =
    `POST / HTTP/1.1\r\nhost: service.test\r\ncontent-length: 3000000\r\n\r\n`.length + body.length
  await until(() => upstream.connections[0]?.bytesReceived === length, "the whole body")
  expect(upstream.last.received.endsWith(body.latin1Slice())).toBe(true)
  upstream.last.write(HELLO)
  expect(response(await asked).status).toBe(200)
})

test.each([
  ["HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "5"],
  ["HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", undefined],
  ["GET", "HTTP/1.1 204 No Content\r\n\r\n", undefined],
  ["GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", "5"],
])("%s with %j has no body and keeps its fields", async (method, head, length) => {
  const upstream = listen((connection) => connection.write(head))
  const pool = poolTo(upstream.url)
  for (let i = 0; i < 2; i++) {
    const asked = response(await get(pool, new TestRequest(method)))
    expect(asked.body).toBeUndefined()
    expect(asked.fields.get("content-length")).toBe(length)
  }
  expect(upstream.connections.length).toBe(1)
})

test("a response cut at any byte is the same response", async () => {
  const wire =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\na: b\r\n\r\n"
  let cut = 0
  const upstream = listen((connection) => connection.writeParts([wire.slice(0, cut), wire.slice(cut)]))
  const pool = poolTo(upstream.url)
  for (cut = 1; cut < wire.length; cut++) {
    const asked = response(await get(pool))
    expect(await readBody(asked.body)).toBe("hello")
  }
  expect(upstream.connections.length).toBe(1)
})

describe("[F-29] no valid answer", () => {
  test("refused", async () => {
    const upstream = listen(() => undefined)
    upstream.stop()
    const asked = failure(await get(poolTo(upstream.url)))
    expect(asked).toMatchObject({ reason: "connect", sent: false, stale: false })
  })

  test("a name that does not exist", async () => {
    expect(failure(await get(poolTo("http://nowhere.invalid:80")))).toMatchObject({ reason: "connect" })
  })

  test.each([
    ["closed before a byte", "reset", ""],
    ["closed inside the head", "reset", "HTTP/1.1 200 OK\r\ncontent-"],
    ["garbage", "protocol", "\x16\x03\x01garbage"],
    ["HTTP/0.9", "protocol", "<html>hello</html>"],
  ])("%s", async (_name, reason, bytes) => {
    const upstream = listen((connection) => connection.write(bytes).end())
    const pool = poolTo(upstream.url)
    const asked = failure(await get(pool))
    expect(asked).toMatchObject({ reason, sent: true, stale: false })
    expect(pool.stats.open).toBe(0)
  })

  test("reset before a byte", async () => {
    const upstream = listen((connection) => connection.reset())
    expect(failure(await get(poolTo(upstream.url)))).toMatchObject({
      reason: "reset",
      sent: true,
      stale: false,
    })
  })
})

test("[F-30] an upstream that never answers fails at the deadline and gives its place free", async () => {
  const upstream = listen(() => undefined)
  const time = new FakeTime()
  const pool = poolTo(upstream.url, { clock: time.now, max_connections: 1 })
  const request = new TestRequest()
  request.deadlineAt = 1000
  const asked = get(pool, request)
  await until(() => (upstream.connections[0]?.received ?? "") !== "", "the request")
  time.pass(999)
  pool.sweep()
  expect(pool.stats.busy).toBe(1)
  time.pass(1)
  expect(failure(await asked)).toMatchObject({ reason: "timeout", sent: true })
  expect(pool.stats.open).toBe(0)
  await until(() => upstream.last.closed, "the connection to close")
  expect(request.outcomes).toEqual([])
})

test("[F-30] cancelling a request that waits for its answer closes the connection", async () => {
  const upstream = listen(() => undefined)
  const pool = poolTo(upstream.url)
  const ask = pool.ask(new TestRequest())
  await until(() => (upstream.connections[0]?.received ?? "") !== "", "the request")
  ask.cancel()
  ask.cancel()
  expect(failure(await ask.result)).toMatchObject({ reason: "cancelled", sent: true })
  await until(() => upstream.last.closed, "the connection to close")
})

test("[F-32] extra bytes after the body are dropped with their connection", async () => {
  const upstream = listen((connection) =>
    connection.write(`${HELLO}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`),
  )
  const pool = poolTo(upstream.url)
  for (let i = 0; i < 2; i++) expect(await readBody(response(await get(pool)).body)).toBe("hello")
  expect(upstream.connections.length).toBe(2)
})

test.each([
  "HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nevil",
  "HTTP/1.1 304 Not Modified\r\n\r\nevil",
])("[F-32] the body of %j is not passed and its connection dropped", async (wire) => {
  const upstream = listen((connection) => connection.write(wire))
  const pool = poolTo(upstream.url)
  expect(response(await get(pool)).body).toBeUndefined()
  expect(pool.stats.open).toBe(0)
})

test("[F-32] 101 unasked is a protocol failure", async () => {
  const upstream = listen((connection) => connection.write("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
  expect(failure(await get(poolTo(upstream.url))).reason).toBe("protocol")
})

test("[F-32] bytes on an idle connection drop it", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const pool = poolTo(upstream.url)
  response(await get(pool))
  upstream.last.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
  await until(() => pool.stats.open === 0, "the connection to be dropped")
  expect(await readBody(response(await get(pool)).body)).toBe("hello")
})

test("[F-33] an endless head is cut at the bound", async () => {
  const upstream = listen((connection) => {
    connection.write("HTTP/1.1 200 OK\r\n")
    connection.write(Buffer.alloc(1_000_000, `a: ${"b".repeat(500)}\r\n`))
  })
  const pool = poolTo(upstream.url)
  expect(failure(await get(pool))).toMatchObject({ reason: "protocol", cause: "head too large" })
  expect(pool.stats.open).toBe(0)
})

test("[F-33] an instance that claims both framings is a protocol failure", async () => {
  const wire = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
  const upstream = listen((connection) => connection.write(wire))
  expect(failure(await get(poolTo(upstream.url))).reason).toBe("protocol")
})

test("[F-34] the final answer after interim ones is the answer; a flood of them is refused", async () => {
  let interims = 2
  const upstream = listen((connection) => {
    for (let i = 0; i < interims; i++) connection.write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
    connection.write(HELLO)
  })
  const pool = poolTo(upstream.url)
  expect(await readBody(response(await get(pool)).body)).toBe("hello")
  interims = 1000
  expect(failure(await get(pool)).reason).toBe("protocol")
})

test("[F-35] a POST on a connection that dies is not sent again, and told to be stale", async () => {
  const upstream = listen((connection, head) => {
    if (head.startsWith("GET")) connection.write(HELLO)
    else connection.reset()
  })
  const pool = poolTo(upstream.url)
  response(await get(pool))
  const asked = failure(await get(pool, new TestRequest("POST", Buffer.from("abc"))))
  expect(asked).toMatchObject({ reason: "reset", sent: true, stale: true })
  expect(upstream.connections.length).toBe(1)
})

test("[F-35] an idle connection that the upstream closes is not used", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const pool = poolTo(upstream.url)
  response(await get(pool))
  upstream.last.end()
  await until(() => pool.stats.open === 0, "the connection to leave the pool")
  response(await get(pool))
  expect(upstream.connections.length).toBe(2)
})

test("a head that cannot be written rejects the result and spares the connection", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const pool = poolTo(upstream.url)
  response(await get(pool))
  const request = new TestRequest()
  request.writeHead = () => {
    throw new Error("a bug")
  }
  expect(get(pool, request)).rejects.toThrow("a bug")
  response(await get(pool))
  expect(upstream.connections.length).toBe(1)
})

test("a Unix socket is connected to by its path", async () => {
  const unix = join(tmpdir(), `gatehouse-pool-${process.pid}.sock`)
  const upstream = listen((connection) => connection.write(HELLO), { unix })
  expect(await readBody(response(await get(poolTo(upstream.url))).body)).toBe("hello")
})

test("a Unix socket that is not there is a connect failure", async () => {
  expect(failure(await get(poolTo("unix:/nonexistent/gatehouse.sock"))).reason).toBe("connect")
})

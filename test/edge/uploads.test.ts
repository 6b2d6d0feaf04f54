import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { throughBothDoors } from "../support/doors.ts"
import { afterBody, type Edge, openEdge } from "../support/edge.ts"
import { openClient, talk } from "../support/raw_client.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(40_000)

const HOST = "Host: a.example\r\n"
const MB = 1024 * 1024
throughBothDoors((door) => {
  const open: Edge[] = []
  afterAll(() => {
    for (const edge of open) edge.close()
  })
  function edgeWith(options: Parameters<typeof openEdge>[0]): Edge {
    const edge = openEdge({ ...options, door })
    open.push(edge)
    return edge
  }
  const code = (body: string) => (JSON.parse(body) as { error: { code: string } }).error.code
  const head = (fields: string) => `POST /x HTTP/1.1\r\n${HOST}${fields}\r\n`
  const idle = (edge: Edge) => until(() => edge.served.inFlight() === 0, "no exchange under way")

  describe("too large", () => {
    const edge = edgeWith({
      config: {
        server: { max_body: "1MB" },
        routes: [
          { path: "/*", service: "s" },
          { path: "/small/*", service: "s", body_limit: { max: "10B" } },
        ],
      },
    })

    test("[F-16] a declared length over the limit is refused before a byte of it is read, and nothing is sent on", async () => {
      const client = await openClient(edge.port)
      const response = await client.send(head("Content-Length: 107374182400\r\n")).response()
      expect([response.status, code(response.body)]).toEqual([413, "PAYLOAD_TOO_LARGE"])
      expect(response.header("connection")).toBe("close")
      await client.ended()
      expect(edge.received()).toEqual([])
      await idle(edge)
    })

    test("[F-16] a chunked body is cut at the limit: 413 while the client still sends, no whole request at the service", async () => {
      const client = await openClient(edge.port)
      client.send(head("Transfer-Encoding: chunked\r\n"))
      for (let i = 0; i < 64; i++) client.send(`10000\r\n${"x".repeat(65_536)}\r\n`)
      const response = await client.response()
      expect([response.status, code(response.body)]).toEqual([413, "PAYLOAD_TOO_LARGE"])
      await client.ended()
      await until(
        () => edge.upstream.connections.every((each) => each.closed),
        "the service's connection to end",
      )
      expect(edge.received().filter((each) => each.complete)).toEqual([])
      await idle(edge)
    })

    test("[F-16] a chunked body over the limit of its route is told that limit", async () => {
      const body = `64\r\n${"x".repeat(100)}\r\n0\r\n\r\n`
      const wire = `POST /small/x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}`
      const response = (await talk(edge.port, wire))[0]!
      expect(response.status).toBe(413)
      expect(JSON.parse(response.body)).toMatchObject({ error: { details: { limit: 10 } } })
    })

    test("[F-16] a body a little over the limit is refused and the connection goes on", async () => {
      const client = await openClient(edge.port)
      client.send(`POST /small/x HTTP/1.1\r\n${HOST}Content-Length: 11\r\n\r\nhello world`)
      expect((await client.response()).status).toBe(413)
      client.send(`POST /small/x HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`)
      const responses = await client.responses(2)
      expect(responses.map((each) => each.status)).toEqual([413, 200])
      client.reset()
    })
  })

  describe("too slow", () => {
    const edge = edgeWith({
      script: afterBody(),
      config: { server: { body_timeout: "100ms", min_body_rate: "0B" } },
    })

    for (const [what, fields, part] of [
      ["short", "Content-Length: 5\r\n", "he"],
      ["long", "Content-Length: 100000\r\n", "he"],
      ["chunked", "Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n"],
    ] as const) {
      test(`[F-18] a ${what} body that stops gets 408`, async () => {
        const client = await openClient(edge.port)
        const response = await client.send(head(fields) + part).response()
        expect([response.status, code(response.body)]).toEqual([408, "REQUEST_TIMEOUT"])
        await client.ended()
        await idle(edge)
      })
    }

    test("[F-18] a body that a policy reads and that stops gets 408 too", async () => {
      const validating = edgeWith({
        config: {
          server: { body_timeout: "100ms" },
          routes: [{ path: "/*", service: "s", validate: { body: { type: "object" } } }],
        },
      })
      const json = "Content-Type: application/json\r\n"
      for (const fields of ["Content-Length: 20\r\n", "Transfer-Encoding: chunked\r\n"]) {
        const response = (await talk(validating.port, head(json + fields)))[0]!
        expect([response.status, code(response.body)]).toEqual([408, "REQUEST_TIMEOUT"])
      }
      expect(validating.received()).toEqual([])
      await idle(validating)
    })
  })

  test("[F-18] a body that stops is the client's doing: 408, no fallback, whichever bound it meets first", async () => {
    const edge = edgeWith({
      script: () => undefined,
      service: { idle_timeout: "100ms", timeout: "50ms", fallback: { status: 200, body: "instead" } },
    })
    const client = await openClient(edge.port)
    const response = await client.send(`${head("Content-Length: 100000\r\n")}he`).response()
    expect([response.status, code(response.body)]).toEqual([408, "REQUEST_TIMEOUT"])
    await client.ended()
    await idle(edge)
  })

  test("an upload waits for a slow service: memory stays bounded", async () => {
    const total = 300 * MB
    const edge = edgeWith({
      script: (connection) => {
        connection.countOnly = true
        connection.pause()
      },
      config: { server: { max_body: "1GB" } },
    })
    Bun.gc(true)
    const before = process.memoryUsage.rss()
    const piece = Buffer.alloc(MB, 120)
    const client = await openClient(edge.port)
    client.send(head(`Content-Length: ${total}\r\n`))
    let sent = 0
    const feed = () => {
      while (sent < total && client.unsent < MB) {
        client.send(piece)
        sent += MB
      }
    }
    await until(() => {
      feed()
      return edge.upstream.connections.length === 1
    }, "the service to be asked")
    const upstream = edge.upstream.last
    let last = -1
    await until(() => {
      const still = sent === last && client.unsent > 0
      last = sent
      feed()
      return still
    }, "the client to be held back")
    // Client, gateway and service share this process; test/e2e/streaming.test.ts looks at a gateway alone.
    expect(sent).toBeLessThan(100 * MB)
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * MB)
    upstream.resume()
    await until(
      () => {
        feed()
        return upstream.bytesReceived > total
      },
      "all bytes to arrive",
      20_000,
    )
    upstream.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    expect((await client.response()).status).toBe(200)
    client.reset()
  })

  test("[F-31] a client that breaks its upload off cancels the request at the service and is counted once", async () => {
    const edge = edgeWith({ script: () => undefined })
    for (const fields of ["Content-Length: 100000\r\n", "Transfer-Encoding: chunked\r\n"]) {
      const client = await openClient(edge.port)
      client.send(`${head(fields)}5\r\nhello\r\n`)
      const count = edge.upstream.connections.length
      await until(
        () =>
          edge.upstream.connections.length > count || edge.upstream.last?.received.includes("hello") === true,
        "the service to be asked",
      )
      client.reset()
      await until(
        () => edge.upstream.connections.every((each) => each.closed),
        "the service's end to be closed",
      )
      await idle(edge)
    }
    const short = await openClient(edge.port)
    short.send(`${head("Content-Length: 10\r\n")}he`)
    await until(() => edge.served.inFlight() === 1, "the exchange to begin")
    short.reset()
    await idle(edge)
    expect(edge.served.finished()).toBe(3)
    expect(edge.served.access.map((each) => each.status)).toEqual([499, 499, 499])
    expect(edge.served.log.filter((each) => each.level === "error")).toEqual([])
    expect(edge.received().filter((each) => each.complete)).toEqual([])
  })

  test("[F-34] an answer that comes while the upload goes on reaches the client", async () => {
    const edge = edgeWith({
      script: (connection) => connection.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"),
      config: { server: { max_body: "1GB" } },
    })
    const client = await openClient(edge.port)
    client.send(head(`Content-Length: ${50 * MB}\r\n`))
    client.send(Buffer.alloc(4 * MB, 120))
    const response = await client.response()
    expect([response.status, response.body]).toEqual([403, "no"])
    await idle(edge)
    client.reset()
  })

  test("[F-30] an upload the service answers early does not hold the service's connection", async () => {
    const edge = edgeWith({
      script: (connection) => connection.write("HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nno"),
      service: { idle_timeout: 0 },
    })
    for (const fields of ["Content-Length: 200000\r\n", "Transfer-Encoding: chunked\r\n"]) {
      const client = await openClient(edge.port)
      const part = fields.startsWith("C") ? "x".repeat(70_000) : `2710\r\n${"x".repeat(10_000)}\r\n`
      expect((await client.send(head(fields) + part).response()).status).toBe(401)
      await until(() => edge.upstream.last.closed, "the service's connection to be given up")
      client.reset()
    }
    await idle(edge)
  })

  test("uploads that were sent whole leave the service's connection in use", async () => {
    const edge = edgeWith({ script: afterBody() })
    const client = await openClient(edge.port)
    for (const [i, size] of [1, 65_536, 65_537, 200_000, 1_000_000, 70_000].entries()) {
      client.send(`POST /x HTTP/1.1\r\n${HOST}Content-Length: ${size}\r\n\r\n${"x".repeat(size)}`)
      expect((await client.responses(i + 1)).at(-1)!.status).toBe(200)
    }
    expect(edge.upstream.connections.length).toBe(1)
    client.reset()
  })
})

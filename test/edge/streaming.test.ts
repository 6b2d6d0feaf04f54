import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { constants, gunzipSync } from "node:zlib"
import { throughBothDoors } from "../support/doors.ts"
import { type Edge, openEdge } from "../support/edge.ts"
import { openClient, talk } from "../support/raw_client.ts"
import type { RawConnection, RawScript } from "../support/raw_upstream.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)

const HOST = "Host: a.example\r\n"
const GET = `GET /x HTTP/1.1\r\n${HOST}\r\n`
const MB = 1024 * 1024
throughBothDoors((door) => {
  const open: Edge[] = []
  afterAll(() => {
    for (const edge of open) edge.close()
  })
  function edgeFor(script: RawScript | string, config: Record<string, unknown> = {}): Edge {
    const edge = openEdge({
      door,
      script: typeof script === "string" ? (connection) => connection.write(script) : script,
      config,
    })
    open.push(edge)
    return edge
  }
  const idle = (edge: Edge) => until(() => edge.served.inFlight() === 0, "no exchange under way")
  async function answerOf(raw: string, method = "GET") {
    const edge = edgeFor(raw)
    const request = `${method} /x HTTP/1.1\r\n${HOST}\r\n`
    const responses = await talk(edge.port, request, 1, { methods: [method] })
    await idle(edge)
    return responses[0]!
  }

  describe("answers keep their form", () => {
    test("several Set-Cookie stay several", async () => {
      const raw =
        "HTTP/1.1 200 OK\r\nset-cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nset-cookie: b=2\r\n" +
        "set-cookie: c=3\r\ncontent-length: 2\r\n\r\nok"
      const response = await answerOf(raw)
      expect(response.all("set-cookie")).toEqual(["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2", "c=3"])
    })

    test("HEAD keeps the length and has no body", async () => {
      const response = await answerOf(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1234\r\n\r\n",
        "HEAD",
      )
      expect([response.header("content-length"), response.header("transfer-encoding")]).toEqual([
        "1234",
        undefined,
      ])
    })

    test("HEAD of a body without a length claims none", async () => {
      const response = await answerOf("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "HEAD")
      expect(response.header("content-length")).toBeUndefined()
    })

    test("204 has neither body nor length", async () => {
      const response = await answerOf("HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n")
      expect([response.status, response.header("x-a"), response.header("content-length")]).toEqual([
        204,
        "1",
        undefined,
      ])
    })

    test("304 keeps its validators and has no body", async () => {
      const response = await answerOf('HTTP/1.1 304 Not Modified\r\netag: "x"\r\ncontent-length: 99\r\n\r\n')
      expect([response.status, response.header("etag"), response.header("transfer-encoding")]).toEqual([
        304,
        '"x"',
        undefined,
      ])
    })

    test("an empty body has length 0 and gets no type", async () => {
      const response = await answerOf("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
      expect([response.header("content-length"), response.header("content-type")]).toEqual(["0", undefined])
    })

    test("a body without a type gets none", async () => {
      const response = await answerOf("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
      expect([response.header("content-type"), response.header("content-length"), response.body]).toEqual([
        undefined,
        "5",
        "hello",
      ])
    })

    test("304 without a length claims none", async () => {
      const response = await answerOf('HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n')
      expect(response.header("content-length")).toBeUndefined()
    })

    test("[F-34] early hints are passed on by the lane alone, and the final answer is intact", async () => {
      const early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
      const edge = edgeFor(`${early}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello`)
      const client = await openClient(edge.port)
      await client.send(GET).seen("hello")
      const seen = client.parsed().map((each) => [each.status, each.header("link"), each.body])
      const hints = door.lane ? [[103, "</a>", ""]] : []
      expect(seen).toEqual([...hints, [200, undefined, "hello"]])
      client.reset()
    })

    test("[F-34] trailers are dropped", async () => {
      const response = await answerOf(
        "HTTP/1.1 200 OK\r\ntrailer: x-t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
      )
      expect([response.body, response.complete, response.head.includes("x-t")]).toEqual([
        "hello",
        true,
        false,
      ])
    })

    test("hop-by-hop fields of the service do not pass", async () => {
      const response = await answerOf(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nx-hop: 1\r\n" +
          "upgrade: h2c\r\nproxy-authenticate: Basic\r\ncontent-length: 2\r\n\r\nok",
      )
      for (const name of ["keep-alive", "upgrade", "proxy-authenticate"])
        expect(response.header(name)).toBeUndefined()
      expect(response.header("x-hop")).toBeUndefined()
    })

    test("an error of the service passes as it is", async () => {
      const response = await answerOf(
        "HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nmine",
      )
      expect([response.status, response.body]).toEqual([500, "mine"])
    })

    test("a redirect is passed on, not followed", async () => {
      const response = await answerOf(
        "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
      )
      expect([response.status, response.header("location")]).toEqual([302, "/elsewhere"])
    })

    test("8-bit values pass as they came", async () => {
      const response = await answerOf("HTTP/1.1 200 OK\r\nx-bytes: \xe9\xff\r\ncontent-length: 2\r\n\r\nok")
      expect(response.header("x-bytes")).toBe("\xe9\xff")
    })
  })

  const CHUNKED = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`

  describe("what a service sends bit by bit is passed on at once", () => {
    const ACCEPTS = `GET /x HTTP/1.1\r\n${HOST}Accept-Encoding: gzip\r\n\r\n`
    const events = Array.from({ length: 20 }, (_, i) => `data: ${i}\n\n`)

    for (const [what, defaults] of [
      ["by itself", {}],
      ["with compress on", { compress: {} }],
    ] as const) {
      test(`each server-sent event arrives before the next one is sent, ${what}`, async () => {
        const edge = edgeFor((connection) => connection.write(CHUNKED), { defaults })
        const client = await openClient(edge.port)
        client.send(ACCEPTS)
        await client.seen("event-stream")
        for (const event of events) {
          edge.upstream.last.write(chunk(event))
          await client.seen(event)
        }
        edge.upstream.last.write("0\r\n\r\n")
        const response = await client.response()
        expect([response.complete, response.body]).toEqual([true, events.join("")])
        expect(response.header("content-encoding")).toBeUndefined()
        await idle(edge)
        client.reset()
      })
    }

    test("each line of a stream that is compressed can be read before the next one is sent", async () => {
      const head = CHUNKED.replace("text/event-stream", "application/x-ndjson")
      const edge = edgeFor((connection) => connection.write(head), { defaults: { compress: {} } })
      const client = await openClient(edge.port)
      client.send(ACCEPTS)
      await client.seen("x-ndjson")
      const readable = () => {
        const body = client.parsed()[0]?.body ?? ""
        const bytes = Buffer.from(body, "latin1")
        return body === "" ? "" : gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).toString()
      }
      for (const [i, event] of events.entries()) {
        edge.upstream.last.write(chunk(event))
        await until(() => readable() === events.slice(0, i + 1).join(""), `the client to read ${event}`)
      }
      client.reset()
      await idle(edge)
    })
  })

  describe("a client that leaves", () => {
    for (const [how, leave] of [
      ["FIN", "end"],
      ["RST", "reset"],
    ] as const) {
      test(`[F-30] (${how}) before the answer cancels the request at the service at once`, async () => {
        const edge = edgeFor(() => undefined)
        const client = await openClient(edge.port)
        client.send(GET)
        await until(
          () => edge.upstream.connections[0]?.received !== undefined && edge.upstream.last.received !== "",
          "the service to be asked",
        )
        client[leave]()
        await until(() => edge.upstream.last.closed, "the service's end to be closed")
        await idle(edge)
        expect(edge.served.access.map((each) => [each.status, each.error])).toEqual([[499, ""]])
      })

      test(`[F-30] (${how}) within the answer closes the service's end at once`, async () => {
        const edge = edgeFor((connection) => connection.write(CHUNKED + chunk("one")))
        const client = await openClient(edge.port)
        await client.send(GET).seen("one")
        client[leave]()
        await until(() => edge.upstream.last.closed, "the service's end to be closed")
        await idle(edge)
        expect(edge.served.finished()).toBe(1)
        expect(edge.served.access.map((each) => each.status)).toEqual([499])
      })
    }

    test("between the head and the first byte of a body closes the service's end", async () => {
      const edge = edgeFor((connection) => connection.write(CHUNKED))
      const client = await openClient(edge.port)
      client.send(GET)
      await client.seen("event-stream")
      client.reset()
      await until(() => edge.upstream.last.closed, "the service's end to be closed")
      await idle(edge)
      expect(edge.served.finished()).toBe(1)
    })

    test("a hundred at every moment leave nothing under way", async () => {
      const edge = edgeFor((connection) => connection.write(CHUNKED + chunk("one")))
      for (let i = 0; i < 100; i++) {
        const client = await openClient(edge.port)
        client.send(GET)
        for (let turn = 0; turn < i % 10; turn++) await new Promise(setImmediate)
        client.reset()
      }
      await idle(edge)
      await until(
        () => edge.upstream.connections.every((each) => each.closed),
        "the service's ends to be closed",
      )
      expect(edge.served.inFlight()).toBe(0)
    })
  })

  describe("a body the service cuts short", () => {
    const length = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100000\r\n\r\nsome"
    const cases: Record<string, [string, (connection: RawConnection) => unknown]> = {
      "content-length, FIN": [length, (connection) => connection.end()],
      "content-length, RST": [length, (connection) => connection.reset()],
      "chunked, FIN": [CHUNKED + chunk("some"), (connection) => connection.end()],
      "chunked, RST": [CHUNKED + chunk("some"), (connection) => connection.reset()],
      "chunked, broken": [CHUNKED + chunk("some"), (connection) => connection.write("zz\r\n")],
    }
    for (const [what, [first, cut]] of Object.entries(cases)) {
      test(`[F-31] (${what}) never looks complete to the client`, async () => {
        const edge = edgeFor(first)
        const client = await openClient(edge.port)
        await client.send(GET).seen("some")
        cut(edge.upstream.last)
        await client.ended()
        expect(client.parsed().map((each) => [each.status, each.body, each.complete])).toEqual([
          [200, "some", false],
        ])
        await idle(edge)
        expect(edge.served.access.map((each) => each.error)).toEqual(["BAD_GATEWAY"])
        expect(edge.served.finished()).toBe(1)
      })
    }

    test("[F-31] (silent for longer than idle_timeout) never looks complete to the client", async () => {
      const edge = openEdge({
        door,
        script: (connection) => connection.write(length),
        service: { idle_timeout: "200ms" },
      })
      open.push(edge)
      const client = await openClient(edge.port)
      await client.send(GET).ended()
      expect(client.parsed().map((each) => each.complete)).toEqual([false])
      await idle(edge)
    })

    test("[F-29] one that breaks before anything was passed on is a 502", async () => {
      const edge = edgeFor(`${CHUNKED}zz\r\n`)
      const [response] = await talk(edge.port, GET)
      expect([response!.status, response!.complete]).toEqual([502, true])
    })
  })

  test("a download waits for a slow client: memory stays bounded and every byte arrives", async () => {
    const total = 500 * MB
    const piece = Buffer.alloc(MB, 120)
    let made = 0
    const edge = edgeFor(async (connection) => {
      connection.write(`HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${total}\r\n\r\n`)
      for (; made < total; made += MB) {
        connection.write(piece)
        await until(() => connection.closed || connection.unsent < 4 * MB, "the gateway to read", 20_000)
      }
    })
    Bun.gc(true)
    const before = process.memoryUsage.rss()
    const client = await openClient(edge.port, { countOnly: true })
    client.pause()
    client.send(GET)
    let last = -1
    let peak = 0
    await until(() => made > 0, "the service to be asked")
    for (let still = 0; still < 50; still = made === last ? still + 1 : 0) {
      last = made
      peak = Math.max(peak, process.memoryUsage.rss())
      await Bun.sleep(2)
    }
    expect(made).toBeLessThan(100 * MB)
    client.resume()
    await until(
      () => {
        peak = Math.max(peak, process.memoryUsage.rss())
        return client.bytesReceived > total
      },
      "all bytes to arrive",
      20_000,
    )
    await idle(edge)
    expect(edge.served.access[0]!.bytes_out).toBe(total)
    expect(peak - before).toBeLessThan(250 * MB)
    client.reset()
  })
})

import { afterAll, describe, expect, test } from "bun:test"
import { throughBothDoors } from "../support/doors.ts"
import { afterBody, openEdge } from "../support/edge.ts"
import { openClient, talk, talkToEnd } from "../support/raw_client.ts"
import { parseRequests } from "../support/received.ts"
import { until } from "../support/until.ts"

throughBothDoors((door) => {
  const edge = openEdge({ door })
  afterAll(() => edge.close())

  const HOST = "Host: a.example\r\n"
  const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n`
  const post = (fields: string, body: string) => `POST /x HTTP/1.1\r\n${HOST}${fields}\r\n${body}`
  const chunked = (body: string) => post("Transfer-Encoding: chunked\r\n", body)

  /** Sends the bytes on a connection of their own; what the client and the service saw of it. */
  async function send(bytes: string) {
    const before = edge.upstream.connections.map((each) => each.received.length)
    const responses = await talkToEnd(edge.port, bytes)
    const requests = edge.upstream.connections.flatMap((each, i) =>
      parseRequests(each.received.slice(before[i] ?? 0)),
    )
    return { responses, requests, complete: requests.filter((each) => each.complete) }
  }

  const REFUSED: readonly (readonly [string, string, string])[] = [
    [
      "F-1",
      "content-length with transfer-encoding",
      post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ],
    [
      "F-2",
      "a CL.TE gadget",
      post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${SMUGGLED}`),
    ],
    [
      "F-2",
      "a TE.CL gadget",
      post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", `2c\r\n${SMUGGLED}\r\n0\r\n\r\n`),
    ],
    [
      "F-2",
      "a TE.TE gadget",
      post(
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\nContent-Length: 4\r\n",
        `0\r\n\r\n${SMUGGLED}`,
      ),
    ],
    ["F-3", "two content-lengths that differ", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!")],
    ["F-3", "two equal content-lengths", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")],
    ["F-3", "content-length 5,5", post("Content-Length: 5,5\r\n", "hello")],
    ["F-3", "content-length +5", post("Content-Length: +5\r\n", "hello")],
    ["F-3", "content-length -5", post("Content-Length: -5\r\n", "hello")],
    ["F-3", "content-length 0x5", post("Content-Length: 0x5\r\n", "hello")],
    ["F-3", "content-length 2^64", post("Content-Length: 18446744073709551616\r\n", "hello")],
    ["F-3", "content-length of 16 digits", post("Content-Length: 1234567890123456\r\n", "hello")],
    ["F-3", "an empty content-length", post("Content-Length: \r\n", "hello")],
    ["F-4", "identity, chunked", post("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n")],
    ["F-4", "an empty coding, chunked", post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n")],
    ["F-4", "chunked;q=1", post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n")],
    [
      "F-4",
      "chunked twice",
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ],
    ["F-4", "a vertical tab before chunked", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")],
    ["F-4", "a NUL after chunked", post("Transfer-Encoding: chunked\0\r\n", "0\r\n\r\n")],
    [
      "F-4",
      "transfer-encoding on HTTP/1.0",
      `POST /x HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ["F-5", "a chunk size that overflows", chunked(`10000000000000005\r\nhello\r\n0\r\n\r\n`)],
    ["F-5", "a chunk size with 0x", chunked("0x5\r\nhello\r\n0\r\n\r\n")],
    ["F-5", "a chunk size with +", chunked("+5\r\nhello\r\n0\r\n\r\n")],
    ["F-5", "a chunk size with _", chunked("5_0\r\nhello\r\n0\r\n\r\n")],
    ["F-5", "a space before the chunk size", chunked(" 5\r\nhello\r\n0\r\n\r\n")],
    ["F-5", "a space after the chunk size", chunked("5 \r\nhello\r\n0\r\n\r\n")],
    ["F-5", "a bare LF after the chunk size", chunked("5\nhello\n0\n\n")],
    ["F-5", "a chunk not ended by CRLF", chunked(`5\r\nhello${SMUGGLED}`)],
    ["F-5", "a chunk longer than it says", chunked(`1\r\nA${SMUGGLED}0\r\n\r\n`)],
    ["F-6", "an LF in a chunk extension", chunked(`5;a\n${SMUGGLED}hello\r\n0\r\n\r\n`)],
    ["F-6", "a NUL in a chunk extension", chunked("5;a\0b\r\nhello\r\n0\r\n\r\n")],
    ["F-9", "a NUL in a value", `GET /x HTTP/1.1\r\n${HOST}A: a\0b\r\n\r\n`],
    ["F-9", "a control in a value", `GET /x HTTP/1.1\r\n${HOST}A: a\x01b\r\n\r\n`],
    ["F-9", "a bare CR in a value", `GET /x HTTP/1.1\r\n${HOST}A: a\rB: c\r\n\r\n`],
    ["F-9", "a bare LF in a value", `GET /x HTTP/1.1\r\n${HOST}A: a\nB: c\r\n\r\n`],
    ["F-9", "a folded line", `GET /x HTTP/1.1\r\n${HOST}A: a\r\n b\r\n\r\n`],
    ["F-9", "a line without a colon", `GET /x HTTP/1.1\r\n${HOST}A\r\n\r\n`],
    ["F-9", "a space before the colon", `GET /x HTTP/1.1\r\n${HOST}A : b\r\n\r\n`],
    ["F-9", "an 8-bit name", `GET /x HTTP/1.1\r\n${HOST}\xc3\xa9: b\r\n\r\n`],
    ["F-9", "an empty name", `GET /x HTTP/1.1\r\n${HOST}: b\r\n\r\n`],
  ]

  describe("framing that two readers could take differently", () => {
    for (const [row, what, bytes] of REFUSED) {
      test(`[${row}] ${what} is refused with 400, the connection closed, no whole request passed on`, async () => {
        const { responses, complete } = await send(bytes)
        expect(responses.map((each) => each.status)).toEqual([400])
        expect(responses[0]!.header("connection")).toBe("close")
        expect(complete).toEqual([])
      })
    }
  })

  test("[F-5] chunks that break only after the service got some are refused with 400, and cut off at the service", async () => {
    const late = openEdge({ door, script: () => undefined })
    const client = await openClient(late.port)
    client.send(chunked("5\r\nhello\r\n"))
    await until(() => late.upstream.connections[0]?.received.includes("hello") === true, "the first chunk")
    await client.send(`zz\r\n${SMUGGLED}`).ended()
    expect(client.parsed().map((each) => each.status)).toEqual([400])
    await until(() => late.upstream.last.closed, "the service's end to be closed")
    expect(late.received().map((each) => [each.line, each.complete])).toEqual([["POST /x HTTP/1.1", false]])
    late.close()
  })

  test("[F-6] a long chunk extension is refused and no whole request is passed on", async () => {
    const length = door.lane ? 1025 : 20_000
    const { responses, complete } = await send(chunked(`5;${"a".repeat(length)}\r\nhello\r\n0\r\n\r\n`))
    expect(responses.map((each) => each.status)).toEqual([door.lane ? 400 : 413])
    expect(complete).toEqual([])
  })

  test("[F-6] a short chunk extension is not passed on", async () => {
    const [response] = await talk(edge.port, chunked('5;a="b"\r\nhello\r\n0\r\n\r\n'))
    expect(response!.status).toBe(200)
    expect(edge.received().at(-1)!.body).toBe("hello")
  })

  test("[F-4] chunked in capitals is chunked", async () => {
    const [response] = await talk(
      edge.port,
      post("Transfer-Encoding: CHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    )
    expect(response!.status).toBe(200)
    expect(edge.received().at(-1)!.body).toBe("hello")
  })

  const TRAILERS = {
    plain: "X-Trailer: 1\r\n",
    framing: "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n",
  }
  for (const [what, trailers] of Object.entries(TRAILERS)) {
    const bytes = chunked(`5\r\nhello\r\n0\r\n${trailers}\r\n${SMUGGLED}`)
    if (door.lane)
      test(`[F-7] ${what} trailers are not passed on, and what follows them is a request of its own`, async () => {
        const client = await openClient(edge.port)
        const before = edge.received().length
        const responses = await client.send(bytes).responses(2)
        expect(responses.map((each) => each.status)).toEqual([200, 200])
        const requests = edge.received().slice(before)
        expect(requests.map((each) => [each.line, each.body])).toEqual([
          ["POST /x HTTP/1.1", "hello"],
          ["GET /smuggled HTTP/1.1", ""],
        ])
        client.reset()
      })
    else
      test(`[F-7] ${what} trailers are not passed on, the client gets one response, and the connection ends`, async () => {
        const { responses, requests } = await send(bytes)
        expect(responses).toHaveLength(1)
        for (const request of requests) expect(request.line).toBe("POST /x HTTP/1.1")
        expect(requests.length).toBeLessThanOrEqual(1)
      })
  }

  if (door.lane) {
    test("[F-7] trailers that come late are dropped too, and belong to no other request", async () => {
      const late = openEdge({ door, script: afterBody() })
      const client = await openClient(late.port)
      client.send(chunked("5\r\nhello\r\n0\r\nX-Trailer: 1"))
      await until(() => late.upstream.connections[0]?.received.includes("hello") === true, "the body's bytes")
      const responses = await client.send(`\r\n\r\n${SMUGGLED}`).responses(2)
      expect(responses.map((each) => each.status)).toEqual([200, 200])
      expect(late.received().map((each) => [each.line, each.body])).toEqual([
        ["POST /x HTTP/1.1", "hello"],
        ["GET /smuggled HTTP/1.1", ""],
      ])
      client.reset()
      late.close()
    })

    test("[F-14] fifty requests sent at once are answered in their order, however slow the first of them is", async () => {
      const paths = Array.from({ length: 50 }, (_, i) => `/${i}`)
      const late = openEdge({
        door,
        script: (connection, head) => {
          const path = head.split(" ")[1]!
          const answer = `HTTP/1.1 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`
          setTimeout(() => connection.write(answer), path === "/0" ? 50 : 0)
        },
      })
      const client = await openClient(late.port)
      client.send(paths.map((path) => `GET ${path} HTTP/1.1\r\n${HOST}\r\n`).join(""))
      const responses = await client.responses(50)
      expect(responses.map((each) => each.body)).toEqual(paths)
      expect(late.received().map((each) => each.line)).toEqual(paths.map((path) => `GET ${path} HTTP/1.1`))
      client.reset()
      late.close()
    })

    test("[F-14] a request behind a body is a request of its own, wherever the bytes are split", async () => {
      const bytes = post("Content-Length: 5\r\n", `hello${SMUGGLED}`)
      const client = await openClient(edge.port)
      for (let split = bytes.length - SMUGGLED.length - 7, i = 0; split < bytes.length; split += 3, i++) {
        const before = edge.received().length
        client.send(bytes.slice(0, split))
        await new Promise(setImmediate)
        await client.send(bytes.slice(split)).responses(i * 2 + 2)
        const requests = edge.received().slice(before)
        expect(requests.map((each) => [each.line, each.body])).toEqual([
          ["POST /x HTTP/1.1", "hello"],
          ["GET /smuggled HTTP/1.1", ""],
        ])
      }
      expect(client.parsed().every((each) => each.status === 200)).toBe(true)
      client.reset()
    })

    test("[F-14] after a request that is refused nothing of its connection is a request", async () => {
      const before = edge.received().length
      const bytes = post("Content-Length: x\r\n", SMUGGLED)
      const responses = await talkToEnd(edge.port, `${SMUGGLED}${bytes}${SMUGGLED}`)
      expect(responses.map((each) => each.status)).toEqual([200, 400])
      expect(edge.received()).toHaveLength(before + 1)
    })
  } else {
    test("[F-7] trailers that come late end the connection too, and are paired with no other request", async () => {
      const client = await openClient(edge.port)
      const before = edge.received().length
      client.send(chunked("5\r\nhello\r\n0\r\nX-Trailer: 1"))
      await client.response()
      await client.send(`\r\n\r\n${SMUGGLED}`).ended()
      expect(client.parsed().map((each) => each.status)).toEqual([400])
      for (const request of edge.received().slice(before)) expect(request.line).toBe("POST /x HTTP/1.1")
    })

    test("[F-14] a request sent before the answer to the one before it closes the connection, without a wrong answer", async () => {
      const one = (path: string) => `GET /${path} HTTP/1.1\r\n${HOST}\r\n`
      const client = await openClient(edge.port)
      await client.send(one("first") + one("second")).ended()
      expect(client.parsed()).toEqual([])
      const lines = edge.received().map((each) => each.line)
      expect(lines).not.toContain("GET /second HTTP/1.1")
    })
  }

  test("[F-14] a GET with a body is refused, and its body is not taken for a request", async () => {
    const before = edge.received().length
    const length = `Content-Length: ${SMUGGLED.length}\r\n`
    const responses = await talkToEnd(edge.port, `GET /x HTTP/1.1\r\n${HOST}${length}\r\n${SMUGGLED}`)
    expect(responses.map((each) => each.status)).toEqual([400])
    const chunks = `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`
    const again = await talkToEnd(
      edge.port,
      `GET /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${chunks}`,
    )
    expect(again.map((each) => each.status)).toEqual([400])
    expect(edge.received()).toHaveLength(before)
  })

  test("[F-14] a body of a DELETE is passed on as one", async () => {
    const length = `Content-Length: ${SMUGGLED.length}\r\n`
    await talk(edge.port, `DELETE /x HTTP/1.1\r\n${HOST}${length}\r\n${SMUGGLED}`)
    const last = edge.received().at(-1)!
    expect([last.line, last.body]).toEqual(["DELETE /x HTTP/1.1", SMUGGLED])
  })

  test("[F-14] Expect: 100-continue gets 100 and then the answer, and is not passed on", async () => {
    const client = await openClient(edge.port)
    client.send(post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""))
    await client.seen("HTTP/1.1 100 Continue\r\n\r\n")
    const responses = await client.send("hello").responses(2)
    expect(responses.map((each) => each.status)).toEqual([100, 200])
    expect(edge.received().at(-1)!.header("expect")).toBeUndefined()
    client.reset()
  })

  test("[F-14] an unknown expectation is refused with 417", async () => {
    const [response] = await talk(edge.port, post("Expect: something\r\nContent-Length: 5\r\n", "hello"))
    expect(response!.status).toBe(417)
    expect(response!.body).toContain("EXPECTATION_FAILED")
  })

  test("[F-15] look-alike names with an underscore do not reach the service", async () => {
    const fields = "Transfer_Encoding: chunked\r\nContent_Length: 5\r\nX_User_Id: 1\r\n"
    await talk(edge.port, `GET /x HTTP/1.1\r\n${HOST}${fields}\r\n`)
    expect(
      edge
        .received()
        .at(-1)!
        .lines.filter((line) => line.split(":")[0]!.includes("_")),
    ).toEqual([])
  })
})

import { afterAll, describe, expect, test } from "bun:test"
import { throughBothDoors } from "../support/doors.ts"
import { openEdge } from "../support/edge.ts"
import { openClient, talk, talkToEnd } from "../support/raw_client.ts"

throughBothDoors((door) => {
  const edge = openEdge({
    door,
    config: {
      routes: [
        { path: "/*", service: "s" },
        { path: "/admin/*", respond: { status: 403, body: "guarded" } },
        { path: "/open/*", service: "s" },
        { path: "/encoded/*", service: "s", allow_encoded: true },
      ],
    },
  })
  afterAll(() => edge.close())

  const HOST = "Host: a.example\r\n"
  const get = (target: string, fields = HOST, method = "GET") =>
    `${method} ${target} HTTP/1.1\r\n${fields}\r\n`
  const code = (body: string) => (JSON.parse(body) as { error: { code: string } }).error.code

  /** The answer to one request, and the request lines the service got for it. */
  async function ask(bytes: string) {
    const before = edge.received().length
    const [response] = await talk(edge.port, bytes)
    return {
      response,
      lines: edge
        .received()
        .slice(before)
        .map((each) => each.line),
    }
  }

  describe("Host", () => {
    const refused: Record<string, string> = {
      "an empty": "Host: \r\n",
      "a second": "Host: a.example\r\nHost: b.example\r\n",
      "a repeated": "Host: a.example\r\nHost: a.example\r\n",
      "a Host with a space": "Host: a b\r\n",
      "a Host with user and password": "Host: u:p@h\r\n",
      "a Host with a path": "Host: h/../admin\r\n",
      "a Host with a query": "Host: h?x\r\n",
      "a Host with a bad port": "Host: h:99999\r\n",
      "a Host with a letter as port": "Host: h:x\r\n",
      "a Host with an escape": "Host: h%2eexample\r\n",
      "a Host with 8-bit bytes": "Host: h\xe9.example\r\n",
    }
    for (const [what, fields] of Object.entries(refused)) {
      test(`[F-11] ${what} Host is refused with 400`, async () => {
        const { response, lines } = await ask(get("/open/x", fields))
        expect(response!.status).toBe(400)
        expect(code(response!.body)).toBe("INVALID_HOST")
        expect(response!.header("connection")).toBe("close")
        expect(lines).toEqual([])
      })
    }

    test("[F-11] HTTP/1.1 without Host is refused with 400 and close", async () => {
      const responses = await talkToEnd(edge.port, "GET /open/x HTTP/1.1\r\n\r\n")
      expect(responses.map((each) => each.status)).toEqual([400])
    })

    test("[F-11] HTTP/1.0 without Host is refused with 400", async () => {
      const responses = await talkToEnd(edge.port, "GET /open/x HTTP/1.0\r\n\r\n")
      expect(responses.map((each) => each.status)).toEqual([400])
    })

    for (const host of ["x", "ab", "abc", "h:1", "[::1]", "[::1]:80"]) {
      test(`[F-11 F-55] the Host ${host} does not shift the path that is matched`, async () => {
        const { response } = await ask(get("/open/admin/x", `Host: ${host}\r\n`))
        expect(response!.body).toBe("ok")
        const guarded = await ask(get("/admin/x", `Host: ${host}\r\n`))
        expect([guarded.response!.status, guarded.lines]).toEqual([403, []])
      })
    }

    // The runtime hides the target's authority: there, Host alone says where to.
    const authorities = door.lane ? ["a.example", "A.EXAMPLE"] : ["a.example", "other.example"]
    for (const authority of authorities) {
      test(`[F-11 F-56] a target in absolute form with ${authority} is routed by its path, and Host says where to`, async () => {
        const { response, lines } = await ask(get(`http://${authority}/admin/x`))
        expect([response!.status, lines]).toEqual([403, []])
        await ask(get(`http://${authority}/open/x?y`))
        const last = edge.received().at(-1)!
        expect([last.line, last.header("host")]).toEqual(["GET /open/x?y HTTP/1.1", "a.example"])
      })
    }

    if (door.lane)
      for (const target of [
        "http://other.example/open/x",
        "http://a.example:81/open/x",
        "http://u@a.example/x",
      ]) {
        test(`[F-11 F-56] the target ${target} is not for the Host it comes with: 400`, async () => {
          const { response, lines } = await ask(get(target))
          expect([response!.status, code(response!.body), lines]).toEqual([400, "INVALID_HOST", []])
        })
      }
  })

  describe("method", () => {
    for (const method of ["TRACE", "PURGE", "PROPFIND"]) {
      test(`[F-12] ${method} is refused with 405 and Allow`, async () => {
        const { response, lines } = await ask(get("/open/x", HOST, method))
        expect(response!.status).toBe(405)
        expect(response!.header("allow")).toContain("GET")
        expect(lines).toEqual([])
      })
    }

    for (const target of ["other.example:443", "http.example:443", "127.0.0.1:22"]) {
      test(`[F-12] CONNECT ${target} is refused with 405 and opens no tunnel`, async () => {
        const { response, lines } = await ask(get(target, HOST, "CONNECT"))
        expect(response!.status).toBe(405)
        expect(lines).toEqual([])
      })
    }

    if (door.lane)
      for (const method of ["FOO", "A".repeat(32), "get", "!#$%&'*+-.^_`|~09aZ"]) {
        test(`[F-12] the unknown method ${method.slice(0, 8)} is refused with 405 and Allow`, async () => {
          const { response, lines } = await ask(get("/open/x", HOST, method))
          expect([response!.status, lines]).toEqual([405, []])
          expect(response!.header("allow")).toContain("GET")
        })
      }
    for (const method of door.lane ? ["A".repeat(33), "GE\0T"] : ["FOO", "A".repeat(64), "get", "GE\0T"]) {
      test(`[F-12] the unknown method ${JSON.stringify(method.slice(0, 8))} gets no service and the connection is closed`, async () => {
        const before = edge.received().length
        const responses = await talkToEnd(edge.port, get("/open/x", HOST, method))
        expect(responses.filter((each) => each.status < 400)).toEqual([])
        expect(edge.received()).toHaveLength(before)
      })
    }

    test("[F-56] headers that override method or path change nothing and do not reach the service", async () => {
      const fields =
        "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\n" +
        "X-Original-URL: /admin/x\r\nX-Rewrite-URL: /admin/x\r\n"
      const { response, lines } = await ask(get("/open/x", HOST + fields))
      expect([response!.status, lines]).toEqual([200, ["GET /open/x HTTP/1.1"]])
      const last = edge.received().at(-1)!
      expect(last.lines.filter((line) => /override|x-http-method|original|rewrite/i.test(line))).toEqual([])
      const guarded = await ask(
        get("/admin/x", `${HOST}X-Original-URL: /open/x\r\nX-Rewrite-URL: /open/x\r\n`),
      )
      expect([guarded.response!.status, guarded.lines]).toEqual([403, []])
    })
  })

  describe("target", () => {
    const sameAsAdmin = [
      "/admin/x",
      "//admin/x",
      "/./admin/x",
      "/open/../admin/x",
      "/open/%2e%2e/admin/x",
      "/open/.%2E/admin/x",
      "/%61dmin/x",
      "/admin//x",
      "\\admin\\x".replace(/^\\/, "/"),
      "/open\\..\\admin\\x",
      "/admin/x?a=/open/",
      "/admin",
      "/admin/",
    ]
    for (const target of sameAsAdmin) {
      test(`[F-55] ${target} gets the decision of its canonical path`, async () => {
        const { response, lines } = await ask(get(target))
        expect([response!.status, response!.body, lines]).toEqual([403, "guarded", []])
      })
    }

    const refused = [
      "/open/%2fadmin",
      "/open%5cadmin",
      "/open/..;/admin/x",
      "/open/x;v=1",
      "/open/%3bx",
      "/open/%252e%252e/admin",
      "/open/%00",
      "/open/%0d%0aX:%201",
      "/open/%zz",
      "/open/%",
      "/open/%c0%ae%c0%ae/admin",
      "/open/%ff",
      "/open/\xff",
      "/open/x#y",
      "/open/x?y#z",
    ]
    for (const target of refused) {
      test(`[F-55 F-10] ${JSON.stringify(target)} is refused with 400`, async () => {
        const { response, lines } = await ask(get(target))
        expect([response!.status, code(response!.body), lines]).toEqual([400, "INVALID_PATH", []])
      })
    }

    test("[F-55] what is matched is what is forwarded: another case and fullwidth letters are other paths", async () => {
      expect((await ask(get("/ADMIN/x"))).lines).toEqual(["GET /ADMIN/x HTTP/1.1"])
      expect((await ask(get("/%EF%BC%A1dmin/x"))).lines).toEqual(["GET /%EF%BC%A1dmin/x HTTP/1.1"])
      expect((await ask(get("/open/a/./b/../c"))).lines).toEqual(["GET /open/a/c HTTP/1.1"])
    })

    test("[F-55] a route with allow_encoded passes encoded slashes on as they came", async () => {
      expect((await ask(get("/encoded/a%2Fb;v=1"))).lines).toEqual(["GET /encoded/a%2Fb;v=1 HTTP/1.1"])
    })

    test("[F-10] raw UTF-8 is passed on percent-encoded, raw bytes in a query as U+FFFD", async () => {
      expect((await ask(get("/open/\xc3\xa9"))).lines).toEqual(["GET /open/%C3%A9 HTTP/1.1"])
      expect((await ask(get("/open/x?a=\xff"))).lines).toEqual(["GET /open/x?a=%EF%BF%BD HTTP/1.1"])
    })

    test("[F-10] 8-bit bytes in a value are passed on as they came", async () => {
      await ask(get("/open/x", `${HOST}X-Bytes: \xff\xfe\xc3\xa9\r\n`))
      expect(edge.received().at(-1)!.header("x-bytes")).toBe("\xff\xfe\xc3\xa9")
    })
  })

  describe("what is no HTTP/1.1", () => {
    // Whatever is wrong with a request line, the runtime takes for its version.
    const mangled = [door.lane ? 400 : 505]
    const refused: Record<string, [string, number[]]> = {
      "HTTP/0.9": ["GET /open/x\r\n\r\n", mangled],
      "HTTP/1.2": ["GET /open/x HTTP/1.2\r\nHost: a\r\n\r\n", [505]],
      "HTTP/2.0 in an HTTP/1 line": ["GET /open/x HTTP/2.0\r\nHost: a\r\n\r\n", mangled],
      "the HTTP/2 preface": ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]],
      "a TLS hello": ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0", [400]],
      garbage: ["\0\x01\x02\x03garbage\r\n\r\n", [400]],
      "lines ended by LF": ["GET /open/x HTTP/1.1\nHost: a\n\n", mangled],
      "a space in the target": ["GET /open /x HTTP/1.1\r\nHost: a\r\n\r\n", mangled],
      "a PROXY line": ["PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n", [400]],
      "OPTIONS *": ["OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", [400]],
    }
    for (const [what, [bytes, statuses]] of Object.entries(refused)) {
      test(`[F-13] ${what} is refused and the connection closed`, async () => {
        const before = edge.received().length
        const responses = await talkToEnd(edge.port, bytes)
        expect(responses.map((each) => each.status)).toEqual(statuses)
        expect(edge.received()).toHaveLength(before)
      })
    }
  })

  describe("size of the head", () => {
    const bombs: Record<string, string> = {
      "5000 fields": get("/open/x", HOST + "A: b\r\n".repeat(5000)),
      "a field of 64 KB": get("/open/x", `${HOST}A: ${"b".repeat(65_536)}\r\n`),
      "a target of 20 KB": get(`/open/${"x".repeat(20_000)}`),
    }
    for (const [what, bytes] of Object.entries(bombs)) {
      test(`[F-8] ${what} is refused with 431 and the connection closed`, async () => {
        const before = edge.received().length
        const responses = await talkToEnd(edge.port, bytes)
        expect(responses.map((each) => each.status)).toEqual([431])
        expect(edge.received()).toHaveLength(before)
      })
    }

    test("[F-8] an endless head is cut at the bound, whoever goes on sending", async () => {
      const client = await openClient(edge.port)
      client.send(`GET /open/x HTTP/1.1\r\n${HOST}A: ${"b".repeat(1_000_000)}`)
      await client.ended()
      expect(client.parsed().map((each) => each.status)).toEqual([431])
    })

    test("[F-8] a thousand heads too large leave the memory where it was", async () => {
      const bomb = bombs["a field of 64 KB"]!
      for (let i = 0; i < 100; i++) await talkToEnd(edge.port, bomb)
      Bun.gc(true)
      const before = process.memoryUsage.rss()
      for (let i = 0; i < 1000; i += 10)
        await Promise.all(Array.from({ length: 10 }, () => talkToEnd(edge.port, bomb)))
      Bun.gc(true)
      expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024)
    })
  })

  describe("fields that may come once", () => {
    const refused: Record<string, string> = {
      Authorization: `GET /open/x HTTP/1.1\r\n${HOST}Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n`,
      "Content-Type": `POST /open/x HTTP/1.1\r\n${HOST}Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 2\r\n\r\nhi`,
    }
    for (const [name, bytes] of Object.entries(refused)) {
      test(`[F-11] two lines of ${name} are refused with 400`, async () => {
        const { response, lines } = await ask(bytes)
        expect([response!.status, code(response!.body), lines]).toEqual([400, "INVALID_REQUEST", []])
      })
    }

    test("[F-11] commas that belong to a value pass", async () => {
      const type = 'multipart/form-data; boundary="a,b"'
      const { response } = await ask(
        `POST /open/x HTTP/1.1\r\n${HOST}Content-Type: ${type}\r\nContent-Length: 2\r\n` +
          'Authorization: Digest username="u", realm="r"\r\n\r\nhi',
      )
      expect(response!.status).toBe(200)
      expect(edge.received().at(-1)!.header("content-type")).toBe(type)
    })

    test("cookies of several lines are joined as cookies", async () => {
      await ask(get("/open/x", `${HOST}Cookie: a=1\r\nCookie: b=2\r\n`))
      expect(edge.received().at(-1)!.header("cookie")).toBe("a=1; b=2")
    })
  })

  test("no exchange of this file is left under way", () => {
    expect(edge.served.inFlight()).toBe(0)
  })
})

import { afterAll, describe, expect, test } from "bun:test"
import { throughBothDoors } from "../support/doors.ts"
import { type Edge, type EdgeOptions, openEdge } from "../support/edge.ts"
import { openClient, type RawResponse, talk } from "../support/raw_client.ts"
import { until } from "../support/until.ts"

const HOST = "Host: a.example\r\n"
throughBothDoors((door) => {
  const open: { close(): void }[] = []
  afterAll(() => {
    for (const each of open) each.close()
  })
  function edgeWith(options: EdgeOptions = {}): Edge {
    const edge = openEdge({ ...options, door })
    open.push(edge)
    return edge
  }
  const get = (fields = "", target = "/x") => `GET ${target} HTTP/1.1\r\n${HOST}${fields}\r\n`
  const code = ({ body }: RawResponse) => (JSON.parse(body) as { error: { code: string } }).error.code
  async function one(edge: Edge, bytes: string): Promise<RawResponse> {
    const [response] = await talk(edge.port, bytes)
    if (response === undefined) throw new Error("no response")
    return response
  }
  /** What the service got of one request. */
  async function passed(edge: Edge, fields: string) {
    await one(edge, get(fields))
    return edge.received().at(-1)!
  }

  describe("who the client is", () => {
    const plain = edgeWith()
    const behind = edgeWith({ config: { server: { trusted_proxies: ["127.0.0.0/8", "10.0.0.0/8"] } } })
    const clientOf = (edge: Edge) => edge.served.access.at(-1)!.client

    const SPOOFED =
      "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Forwarded-User: root\r\n" +
      "X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"

    test("[F-57] what a peer that is not trusted says of earlier hops is replaced", async () => {
      const request = await passed(plain, SPOOFED)
      expect(request.header("x-forwarded-for")).toBe("127.0.0.1")
      expect(request.header("x-forwarded-proto")).toBe("http")
      expect(request.header("x-forwarded-host")).toBe("a.example")
      for (const name of ["forwarded", "x-real-ip", "x-forwarded-port", "x-forwarded-user"])
        expect(request.header(name)).toBeUndefined()
      expect(clientOf(plain)).toBe("127.0.0.1")
    })

    test("[F-57] identity headers of the client never reach the service, however they are spelled", async () => {
      const names = [
        "X-User-Id",
        "X-User-Anything",
        "x-user-roles",
        "X-USER-SCOPES",
        "X-User-Email",
        "X-User-Tier",
        "X-Client-Id",
        "X-Api-Key-Id",
        "X-Auth-Method",
      ]
      const underscored = ["X_User_Id", "X-User_Id", "x_user_roles"]
      const request = await passed(
        plain,
        [...names, ...underscored].map((name) => `${name}: evil\r\n`).join(""),
      )
      expect(request.lines.filter((line) => line.includes("evil"))).toEqual([])
    })

    const cases: readonly (readonly [string, string, string])[] = [
      ["1.2.3.4", "1.2.3.4", "1.2.3.4, 127.0.0.1"],
      ["6.6.6.6, 1.2.3.4", "1.2.3.4", "1.2.3.4, 127.0.0.1"],
      ["6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4", "1.2.3.4, 10.1.1.1, 127.0.0.1"],
      ["6.6.6.6, 1.2.3.4:5678", "1.2.3.4", "1.2.3.4, 127.0.0.1"],
      ["6.6.6.6, unknown", "127.0.0.1", "127.0.0.1"],
      ["6.6.6.6, unknown, 10.1.1.1", "10.1.1.1", "10.1.1.1, 127.0.0.1"],
      ["[2001:db8::1]:443", "2001:db8::1", "2001:db8::1, 127.0.0.1"],
      ["10.1.1.1, 10.1.1.2", "10.1.1.1", "10.1.1.1, 10.1.1.2, 127.0.0.1"],
      ["", "127.0.0.1", "127.0.0.1"],
    ]
    for (const [list, client, chain] of cases) {
      test(`[F-57 F-60] behind trusted proxies "${list}" is ${client}`, async () => {
        const request = await passed(behind, `X-Forwarded-For: ${list}\r\nX-Forwarded-Proto: https\r\n`)
        expect(clientOf(behind)).toBe(client)
        expect(request.header("x-forwarded-for")).toBe(chain)
        expect(request.header("x-forwarded-proto")).toBe("https")
      })
    }
  })

  describe("Connection", () => {
    const edge = edgeWith({
      config: {
        defaults: {
          request_id: {},
          access_log: {},
          trace: {},
          edit_headers: { request: { set: { "x-gateway": "yes" } } },
        },
      },
    })

    test("[F-58] takes away the client's own hop-by-hop fields", async () => {
      const request = await passed(
        edge,
        "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-End: 2\r\n",
      )
      for (const name of ["x-hop", "connection", "keep-alive", "te"])
        expect(request.header(name)).toBeUndefined()
      expect(request.header("x-end")).toBe("2")
    })

    test("[F-58] takes away nothing the gateway sets or a decision rests on", async () => {
      const named =
        "X-User-Id, Authorization, Host, X-Forwarded-For, X-Request-Id, Traceparent, X-Gateway, Content-Length"
      const request = await passed(edge, `Connection: close, ${named}\r\nAuthorization: Bearer abc\r\n`)
      expect(request.header("authorization")).toBe("Bearer abc")
      expect(request.header("host")).toBe("a.example")
      expect(request.header("x-forwarded-for")).toBe("127.0.0.1")
      expect(request.header("x-gateway")).toBe("yes")
      for (const name of ["x-request-id", "traceparent"]) expect(request.header(name)).toBeDefined()
    })

    test("[F-58] with thousands of names or with no names at all is harmless", async () => {
      const names = Array.from({ length: 2500 }, (_, i) => `a${i}`).join(",")
      expect((await one(edge, get(`Connection: ${names}\r\n`))).status).toBe(200)
      expect((await one(edge, get('Connection: , ;;, "x", a b,\r\n'))).status).toBe(200)
    })

    test("[F-13] h2c is not offered: the upgrade is ignored and not passed on", async () => {
      const request = await passed(
        edge,
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
      )
      for (const name of ["upgrade", "http2-settings", "connection"])
        expect(request.header(name)).toBeUndefined()
    })
  })

  describe("cross-site WebSockets", () => {
    const edge = edgeWith({
      config: {
        routes: [
          {
            path: "/*",
            service: "s",
            websocket: "relay",
            cors: { origins: ["https://app.example.com"], credentials: true },
          },
        ],
      },
    })
    const UPGRADE =
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    const handshake = (origin: string, connection = "Connection: Upgrade\r\n") =>
      get(`${connection}${UPGRADE}Origin: ${origin}\r\nCookie: session=1\r\n`)

    for (const origin of [
      "https://evil.example",
      "null",
      "https://app.example.com.evil.example",
      "http://app.example.com",
    ]) {
      test(`[F-61] a handshake of the origin ${origin} is refused with 403`, async () => {
        const response = await one(edge, handshake(origin))
        expect([response.status, code(response)]).toEqual([403, "ORIGIN_NOT_ALLOWED"])
        expect(edge.upstream.connections).toEqual([])
      })
    }

    test("[F-61] an upgrade without Connection is refused with 400", async () => {
      const response = await one(edge, handshake("https://app.example.com", ""))
      expect([response.status, code(response)]).toEqual([400, "INVALID_REQUEST"])
    })

    test("[F-61] origins that are allowed, the gateway's own, and clients without one reach the service", async () => {
      for (const origin of ["https://app.example.com", "http://a.example"]) {
        const before = edge.upstream.connections.length
        const client = await openClient(edge.port)
        client.send(handshake(origin))
        await until(() => edge.upstream.connections.length > before, "the service to be asked")
        edge.upstream.last.reset()
        expect((await client.response()).status).toBe(502)
        client.reset()
      }
    })

    for (const origin of [
      "null",
      "https://evil.example",
      "https://app.example.com.evil.example",
      "https://xapp.example.com",
    ]) {
      test(`[F-62] the origin ${origin} is never reflected`, async () => {
        const response = await one(edge, get(`Origin: ${origin}\r\n`))
        expect(response.header("access-control-allow-origin")).toBeUndefined()
        expect(response.header("vary")).toContain("Origin")
        const preflight = `OPTIONS /x HTTP/1.1\r\n${HOST}Origin: ${origin}\r\nAccess-Control-Request-Method: PUT\r\n\r\n`
        const refused = await one(edge, preflight)
        expect([refused.status, refused.header("access-control-allow-origin")]).toEqual([403, undefined])
      })
    }
  })

  describe("logs", () => {
    const edge = edgeWith()

    test("[F-71] whatever a client sends, a request is one JSON line of bounded size", async () => {
      const hostile = `\x1b[31m"},{"x":"\\u2028 \xe2\x80\xa8 \xff ${"A".repeat(8000)}`
      await one(
        edge,
        get(`User-Agent: ${hostile}\r\n`, `/x%0Ay?q=%22%7D%0d%0a${"b".repeat(5000)}`.replace("%0Ay", "y")),
      )
      await one(edge, get("", "/%E2%80%A8%1b"))
      for (const line of edge.served.accessText) {
        expect(line).not.toMatch(/[\0-\x1f\x7f\u2028\u2029]/)
        expect(line.length).toBeLessThan(6000)
        expect(() => JSON.parse(line)).not.toThrow()
      }
    })

    test("[F-72] secrets of the client are in no log line and no error", async () => {
      const secret = "s3cr3tVALUE"
      const fields = `Authorization: Bearer ${secret}\r\nCookie: sid=${secret}\r\nX-Api-Key: ${secret}\r\n`
      const query = `?access_token=${secret}&api_key=${secret}&x=1&code=${secret}`
      const refused = await one(edge, get(`${fields}Expect: no\r\n`, `/x${query}`))
      await one(edge, get(fields, `/y${query}`))
      expect(refused.body).not.toContain(secret)
      expect(edge.served.accessText.join("\n")).not.toContain(secret)
      expect(JSON.stringify(edge.served.log)).not.toContain(secret)
      expect(edge.served.access.at(-1)!.path).toContain("x=1")
    })

    test("[F-73] ten thousand paths are one label, refused ones another", async () => {
      for (let i = 0; i < 20; i++) await one(edge, get("", `/random/${i}`))
      const narrow = edgeWith({ config: { routes: [{ path: "/only", service: "s" }] } })
      for (let i = 0; i < 20; i++) await one(narrow, get("", `/random/${i}`))
      expect(new Set(edge.served.access.map((each) => each.route))).toEqual(new Set(["/*", "unmatched"]))
      expect(new Set(narrow.served.access.map((each) => each.route))).toEqual(new Set(["unmatched"]))
    })
  })

  describe("trace context", () => {
    const edge = edgeWith({ config: { defaults: { trace: {} } } })
    const TRACE = "0af7651916cd43dd8448eb211c80319c"
    const good = `00-${TRACE}-b7ad6b7169203331-01`

    test("[F-77] a sound trace is continued", async () => {
      const request = await passed(edge, `Traceparent: ${good}\r\nTracestate: a=1\r\n`)
      expect(request.header("traceparent")).toContain(TRACE)
      expect(request.header("tracestate")).toBe("a=1")
    })

    for (const [what, fields] of Object.entries({
      "a malformed one": "Traceparent: 00-xyz\r\nTracestate: a=1\r\n",
      "two of them": `Traceparent: ${good}\r\nTraceparent: ${good}\r\nTracestate: a=1\r\n`,
      "an all-zero id": `Traceparent: 00-${"0".repeat(32)}-b7ad6b7169203331-01\r\nTracestate: a=1\r\n`,
    })) {
      test(`[F-77] ${what} is replaced by a new one, and its state dropped`, async () => {
        const request = await passed(edge, fields)
        expect(request.header("traceparent")).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/)
        expect(request.header("traceparent")).not.toContain(TRACE)
        expect(request.header("tracestate")).toBeUndefined()
      })
    }

    test("[F-77] oversized state is dropped and oversized baggage cut", async () => {
      const members = (count: number) => Array.from({ length: count }, (_, i) => `k${i}=v`).join(",")
      const request = await passed(
        edge,
        `Traceparent: ${good}\r\nTracestate: ${members(40)}\r\nBaggage: ${members(512)}\r\n`,
      )
      expect(request.header("traceparent")).toContain(TRACE)
      expect(request.header("tracestate")).toBeUndefined()
      expect((request.header("baggage") ?? "").split(",").length).toBeLessThanOrEqual(180)
    })
  })

  test("no exchange of this file is left under way", () => {
    for (const each of open) if ("served" in each) expect((each as Edge).served.inFlight()).toBe(0)
  })
})

import { afterEach, describe, expect, test } from "bun:test"
import { parsePattern } from "../../src/config/pattern.ts"
import { DROPPED_FROM_REQUEST, DROPPED_FROM_RESPONSE } from "../../src/gateway/dropped.ts"
import { handle } from "../../src/gateway/handle.ts"
import { TrustedProxies } from "../../src/gateway/proxies.ts"
import { compileRelayLimits } from "../../src/gateway/relay_limits.ts"
import type { Route, Step } from "../../src/gateway/route.ts"
import { RouteTable } from "../../src/gateway/routes.ts"
import type { Snapshot } from "../../src/gateway/snapshot.ts"
import { account } from "../../src/gateway/steps.ts"
import { now } from "../../src/lib/clock.ts"
import { Relays } from "../../src/realtime/relays.ts"
import { Exchange } from "../../src/upstream/exchange.ts"
import { readBody } from "../support/bodies.ts"
import { arrivalOf } from "../support/byte_arrival.ts"
import { exampleConfig } from "../support/config.ts"
import { makeAnswer } from "../support/exchange.ts"
import { makeGateway, type TestGateway } from "../support/gateway.ts"
import { makeGuard } from "../support/guard.ts"
import { memoryLog } from "../support/memory_log.ts"
import { type RawScript, RawUpstream } from "../support/raw_upstream.ts"
import { receivedBy } from "../support/received.ts"
import { makeShedding } from "../support/shedding.ts"
import { until } from "../support/until.ts"

const HOST = "host: api.example.com\r\n"
const OK = "HTTP/1.1 200 OK\r\nx-answer: yes\r\ncontent-length: 2\r\n\r\nok"
const opened: { close?(): void; stop?(): void }[] = []
afterEach(() => {
  for (const each of opened.splice(0)) {
    each.close?.()
    each.stop?.()
  }
})

function upstreamWith(script: RawScript | string = OK): RawUpstream {
  const upstream = new RawUpstream(
    typeof script === "string" ? (connection) => connection.write(script) : script,
  )
  opened.push(upstream)
  return upstream
}
function gatewayWith(config: object): TestGateway {
  const made = makeGateway(config)
  opened.push(made)
  return made
}
/** A gateway with the service "s" on `upstream`. */
function gatewayTo(
  upstream: RawUpstream,
  routes: object[],
  more: Record<string, unknown> = {},
  service: object = {},
) {
  const services = {
    s: { instances: [upstream.url], ejection: { max_percent: 0 }, retry: { attempts: 1 }, ...service },
  }
  return gatewayWith({ services, routes, ...more })
}
const get = (target: string, fields = "", method = "GET") =>
  `${method} ${target} HTTP/1.1\r\n${HOST}${fields}\r\n`

/** Runs a request, given as bytes, through the whole pipeline; its answer as a client would see it. */
async function ask({ gateway }: TestGateway, bytes: string, peer?: string) {
  const exchange = gateway.begin(arrivalOf(bytes, peer))
  await gateway.handle(exchange)
  const { answer } = exchange
  const body = await readBody(answer!.body)
  gateway.finish(exchange)
  const error = body.startsWith("{")
    ? (JSON.parse(body) as { error?: { code: string; message: string; details: object }; request_id: string })
    : undefined
  return {
    exchange,
    status: answer!.status,
    body,
    json: error,
    code: error?.error?.code,
    header: (name: string) => exchange.responseHeader(name),
  }
}

describe("requests made from plain bytes, with no server in the room", () => {
  test("[T-1.1 C-1.1 S-FR1] a request goes out byte for byte as expected and its answer comes back", async () => {
    const upstream = upstreamWith(
      "HTTP/1.1 201 Created\r\nX-Answer: yes\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\ncontent-length: 5\r\n\r\nhello",
    )
    const gateway = gatewayTo(upstream, [{ path: "/*", service: "s" }])
    const answered = await ask(
      gateway,
      `POST /a/../b%41?x=1&y HTTP/1.1\r\nHost: API.example.com\r\nX-One: 1\r\nConnection: keep-alive, X-Gone\r\n` +
        "X-Gone: 1\r\nX-User-Id: evil\r\naccept:  text/plain \r\nContent-Length: 4\r\n\r\nbody",
    )
    expect(upstream.last.received).toBe(
      "POST /bA?x=1&y HTTP/1.1\r\nhost: api.example.com\r\n" +
        "X-One: 1\r\naccept:  text/plain \r\n" +
        "x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: api.example.com\r\n" +
        "content-length: 4\r\n\r\nbody",
    )
    expect([answered.status, answered.body, answered.header("x-answer")]).toEqual([201, "hello", "yes"])
    expect(answered.exchange.answer!.fields.flat().filter((each) => each === "set-cookie")).toHaveLength(2)
    expect([gateway.inFlight(), gateway.finished()]).toEqual([0, 1])
  })

  test("[T-1.1] strip_prefix takes the prefix away, also when nothing is left", async () => {
    const upstream = upstreamWith()
    const gateway = gatewayTo(upstream, [{ path: "/api/v1/*", service: "s", strip_prefix: "/api/v1" }])
    for (const path of ["/api/v1/things/7?q=1", "/api/v1", "/api/v1/"]) await ask(gateway, get(path))
    expect(receivedBy(upstream).map((each) => each.line)).toEqual([
      "GET /things/7?q=1 HTTP/1.1",
      "GET / HTTP/1.1",
      "GET / HTTP/1.1",
    ])
  })

  test("[T-1.1] rewrite puts what was matched in its places, as it was sent", async () => {
    const upstream = upstreamWith()
    const gateway = gatewayTo(upstream, [
      { path: "/u/:user/files/*", service: "s", rewrite: "/store/$2/of/$1" },
    ])
    await ask(gateway, get("/u/a%20b/files/x/y.txt?z"))
    expect(receivedBy(upstream)[0]!.line).toBe("GET /store/x/y.txt/of/a%20b?z HTTP/1.1")
  })

  test("[T-1.1] host and header decide between routes of one path", async () => {
    const gateway = gatewayWith({
      routes: [
        { path: "/x", respond: { body: "any" } },
        { path: "/x", hosts: ["api.example.com"], respond: { body: "host" } },
        { path: "/x", hosts: ["api.example.com"], headers: { "X-Beta": "1" }, respond: { body: "beta" } },
        { path: "/x", hosts: ["*.example.org"], respond: { body: "wild" } },
      ],
    })
    const at = async (host: string, fields = "") =>
      (await ask(gateway, `GET /x HTTP/1.1\r\nhost: ${host}\r\n${fields}\r\n`)).body
    expect(await at("other.test")).toBe("any")
    expect(await at("api.example.com:8443")).toBe("host")
    expect(await at("API.example.com", "x-beta: 1\r\n")).toBe("beta")
    expect(await at("api.example.com", "x-beta: 2\r\n")).toBe("host")
    expect(await at("a.example.org")).toBe("wild")
    expect(await at("a.b.example.org")).toBe("any")
  })

  test("the service's own Host is used when config names one", async () => {
    const upstream = upstreamWith()
    const gateway = gatewayTo(upstream, [{ path: "/*", service: "s" }], {}, { host: "inner.test" })
    await ask(gateway, get("/x"))
    expect(receivedBy(upstream)[0]!.header("host")).toBe("inner.test")
    expect(receivedBy(upstream)[0]!.header("x-forwarded-host")).toBe("api.example.com")
  })
})

describe("refusals", () => {
  const config = {
    defaults: { request_id: {}, access_log: {}, cors: { origins: ["https://app.example.com"] } },
    routes: [{ path: "/things", methods: ["GET", "POST"], respond: { body: "things" } }],
  }

  test("[T-2.2 T-2.3 C-7.1 C-7.2 I-err] an error has one form: code, message, details and the request's id", async () => {
    const answered = await ask(gatewayWith(config), get("/nowhere", "x-request-id: abc-123\r\n"))
    expect(answered.status).toBe(404)
    expect(answered.header("content-type")).toBe("application/json")
    expect(answered.header("cache-control")).toBe("no-store")
    expect(answered.header("x-request-id")).toBe("abc-123")
    expect(answered.json).toEqual({
      error: { code: "NOT_FOUND", message: "No route matches this request.", details: {} },
      request_id: "abc-123",
    })
  })

  test("[T-2.3 C-7.2] it is a problem document for a client that prefers those", async () => {
    const answered = await ask(gatewayWith(config), get("/nowhere", "accept: application/problem+json\r\n"))
    expect(answered.header("content-type")).toBe("application/problem+json")
    expect(JSON.parse(answered.body)).toMatchObject({ type: "about:blank", status: 404, code: "NOT_FOUND" })
    expect(JSON.parse(answered.body).request_id).toBe(answered.header("x-request-id"))
  })

  test("[T-2.2 C-1.4] another method is 405 with Allow", async () => {
    const answered = await ask(gatewayWith(config), get("/things", "", "DELETE"))
    expect([answered.status, answered.code, answered.header("allow")]).toEqual([
      405,
      "METHOD_NOT_ALLOWED",
      "GET, HEAD, POST, OPTIONS",
    ])
  })

  test("[T-2.2] HEAD comes with GET, and OPTIONS tells the methods", async () => {
    const gateway = gatewayWith(config)
    expect((await ask(gateway, get("/things", "", "HEAD"))).status).toBe(200)
    const options = await ask(gateway, get("/things", "", "OPTIONS"))
    expect([options.status, options.header("allow")]).toEqual([204, "GET, HEAD, POST, OPTIONS"])
    expect((await ask(gateway, get("/nowhere", "", "OPTIONS"))).status).toBe(404)
  })

  test("[F-62 C-1.6] a preflight is answered by the policies of the route it asks about", async () => {
    const gateway = gatewayWith(config)
    const preflight = (origin: string, method: string) =>
      ask(
        gateway,
        get("/things", `origin: ${origin}\r\naccess-control-request-method: ${method}\r\n`, "OPTIONS"),
      )
    const allowed = await preflight("https://app.example.com", "POST")
    expect(allowed.status).toBe(204)
    expect(allowed.header("access-control-allow-origin")).toBe("https://app.example.com")
    expect(allowed.header("access-control-allow-methods")).toBe("GET, POST")
    expect((await preflight("https://evil.example", "POST")).status).toBe(403)
    expect((await preflight("https://app.example.com", "DELETE")).status).toBe(204)
  })

  test("a refusal has the CORS headers without which a page could not read it", async () => {
    const answered = await ask(gatewayWith(config), get("/nowhere", "origin: https://app.example.com\r\n"))
    expect(answered.header("access-control-allow-origin")).toBe("https://app.example.com")
  })

  test("[F-16] a body over the limit is 413 with the limit", async () => {
    const gateway = gatewayWith({ ...config, server: { max_body: "3B" } })
    const answered = await ask(gateway, `POST /things HTTP/1.1\r\n${HOST}content-length: 4\r\n\r\nbody`)
    expect([answered.status, answered.code]).toEqual([413, "PAYLOAD_TOO_LARGE"])
    expect(answered.json!.error!.details).toEqual({ limit: 3 })
  })

  test("before any config, everything is 503", async () => {
    const { Gateway } = await import("../../src/gateway/gateway.ts")
    const gateway = gatewayWith(config)
    const bare = new Gateway({
      ...gatewayDeps(),
      accounting: { begin: () => {}, end: () => {}, failed: () => {} } as never,
    } as never)
    const exchange = bare.begin(arrivalOf(get("/things")))
    await bare.handle(exchange)
    expect([bare.ready, exchange.answer!.status]).toEqual([false, 503])
    expect(gateway.gateway.ready).toBe(true)
  })
})

function gatewayDeps() {
  return {
    shedding: makeShedding(),
    guard: makeGuard(),
    relays: new Relays({ now }),
    relayLimits: compileRelayLimits(exampleConfig({}).server.websocket),
    chainOf: () => undefined,
    onRelay: () => undefined,
    onRelayed: () => undefined,
    log: memoryLog(),
  }
}

describe("a service that fails", () => {
  const route = [{ path: "/*", service: "s" }]

  test("[C-1.8 I-perf.4] one that does not answer is 504 after the timeout, which is 30 s unless config says otherwise", async () => {
    expect(
      exampleConfig({ services: { s: { instances: ["http://127.0.0.1:1"] } } }).services.s!.timeout,
    ).toBe(30_000)
    const upstream = upstreamWith(() => undefined)
    const gateway = gatewayTo(upstream, route, {}, { timeout: "60ms" })
    const answered = await ask(gateway, get("/x"))
    expect([answered.status, answered.code]).toEqual([504, "GATEWAY_TIMEOUT"])
    await until(() => upstream.last.closed, "the connection to be given up")
    const shorter = gatewayTo(upstream, [{ path: "/*", service: "s", timeout: "30ms" }])
    expect((await ask(shorter, get("/x"))).status).toBe(504)
  })

  test("[T-2.3 C-7.1] one that cannot be reached is 502 and tells the client nothing of where it is", async () => {
    const upstream = upstreamWith()
    upstream.stop()
    const gateway = gatewayTo(upstream, route)
    const answered = await ask(gateway, get("/x"))
    expect([answered.status, answered.code]).toEqual([502, "BAD_GATEWAY"])
    expect(answered.body).not.toContain("127.0.0.1")
    expect(gateway.log.at(-1)).toMatchObject({ event: "request.failed", fields: { code: "BAD_GATEWAY" } })
  })

  test("[C-7.3 S-FR3] an open circuit is 503 with Retry-After, without asking", async () => {
    const upstream = upstreamWith("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")
    const breaker = { failure_threshold: 3, min_throughput: 3, recovery_timeout: "7s" }
    const gateway = gatewayTo(upstream, route, {}, { breaker })
    for (let i = 0; i < 3; i++) expect((await ask(gateway, get("/x"))).status).toBe(500)
    const refused = await ask(gateway, get("/x"))
    expect([refused.status, refused.code]).toEqual([503, "CIRCUIT_OPEN"])
    expect(Number(refused.header("retry-after"))).toBeGreaterThan(5)
    expect(receivedBy(upstream)).toHaveLength(3)
  })

  test("[C-7.6 C-rel.3] a static fallback answers in its place, and the failure is counted", async () => {
    const upstream = upstreamWith()
    upstream.stop()
    const fallback = { status: 203, headers: { "x-from": "fallback" }, body: "later" }
    const gateway = gatewayTo(upstream, route, { defaults: { access_log: {} } }, { fallback })
    const answered = await ask(gateway, get("/x"))
    expect([answered.status, answered.body, answered.header("x-from")]).toEqual([203, "later", "fallback"])
    expect(gateway.access.at(-1)).toMatchObject({ status: 203, error: "BAD_GATEWAY" })
  })

  test("[C-7.6 C-rel.3] a fallback service gets the request, body and all", async () => {
    const dead = upstreamWith()
    dead.stop()
    const spare = upstreamWith()
    const gateway = gatewayWith({
      services: {
        s: { instances: [dead.url], fallback: { service: "spare" }, retry: { attempts: 1 } },
        spare: { instances: [spare.url] },
      },
      routes: [{ path: "/*", service: "s" }],
    })
    const answered = await ask(gateway, `POST /x HTTP/1.1\r\n${HOST}content-length: 4\r\n\r\nbody`)
    expect([answered.status, answered.body]).toEqual([200, "ok"])
    expect(receivedBy(spare)[0]!.body).toBe("body")
  })

  test("[F-30] a client that leaves is no failure of anybody", async () => {
    const upstream = upstreamWith(() => undefined)
    const gateway = gatewayTo(upstream, route, { defaults: { access_log: {} } })
    const exchange = gateway.gateway.begin(arrivalOf(get("/x")))
    const handled = gateway.gateway.handle(exchange)
    await until(
      () => upstream.connections.length > 0 && upstream.last.received !== "",
      "the service to be asked",
    )
    exchange.clientLeft()
    await handled
    gateway.gateway.finish(exchange)
    expect([exchange.answer, exchange.failure]).toEqual([undefined, ""])
    expect(gateway.access.at(-1)!.status).toBe(499)
    await until(() => upstream.last.closed, "the service's end to be closed")
  })
})

describe("policies", () => {
  interface Faults {
    failsClosed: boolean
    in: "request" | "response" | "done"
  }
  /** A snapshot of one route "/*" with steps that write down that they ran; `faults`: the second one throws. */
  function snapshotWith(faults?: Faults) {
    const ran: string[] = []
    const pattern = parsePattern("/*")
    if (typeof pattern === "string") throw new Error(pattern)
    const step = <N extends "request" | "response" | "done">(
      policy: string,
      name: N,
      broken: boolean,
    ): Step<N> => ({
      policy,
      failsClosed: broken ? faults!.failsClosed : true,
      always: policy === "first",
      run: ((exchange: Exchange) => {
        ran.push(`${policy}.${name}`)
        if (name === "response") exchange.responseEdits.set(`x-${policy}`, "ran")
        if (broken) throw new Error("secret cause")
        return undefined
      }) as Step<N>["run"],
    })
    const steps = <N extends "request" | "response" | "done">(name: N) =>
      ["first", "second", "third"].map((policy) =>
        step(policy, name, faults?.in === name && policy === "second"),
      )
    const route: Route = {
      id: 2,
      label: "/*",
      service: "",
      pattern,
      methods: new Set(),
      hosts: [],
      headers: [],
      target: {
        kind: "respond",
        answer: makeAnswer(200, { "content-type": "text/plain" }, Buffer.from("ok")),
      },
      requestSteps: steps("request"),
      responseSteps: steps("response").reverse(),
      doneSteps: steps("done"),
      timeoutMs: 0,
      maxBodyBytes: 100,
      allowEncoded: false,
      websocket: false,
      upstreamPath: undefined,
    }
    const snapshot: Snapshot = {
      config: exampleConfig({}),
      places: new Map(),
      table: new RouteTable([route]),
      unmatched: route,
      proxies: new TrustedProxies([]),
      certificateHeader: undefined,
    }
    return { snapshot, ran }
  }

  async function run(faults?: Faults, bytes = get("/x")) {
    const { snapshot, ran } = snapshotWith(faults)
    const runtime = gatewayDeps()
    const exchange = new Exchange(arrivalOf(bytes), DROPPED_FROM_REQUEST, DROPPED_FROM_RESPONSE)
    await handle(snapshot, exchange, runtime)
    account(exchange, runtime)
    return { exchange, ran, log: runtime.log.events, body: await readBody(exchange.answer!.body) }
  }

  test("[C-1.1] request steps run in order, response steps in reverse, accounting last", async () => {
    const { ran, exchange } = await run()
    expect(ran).toEqual([
      "first.request",
      "second.request",
      "third.request",
      "third.response",
      "second.response",
      "first.response",
      "first.done",
      "second.done",
      "third.done",
    ])
    expect(exchange.answer!.status).toBe(200)
  })

  test("[C-1.1] after a refusal only steps that identify the request run, and all response steps", async () => {
    const { ran, exchange } = await run(undefined, get("/x", "expect: no\r\n"))
    expect(exchange.answer!.status).toBe(417)
    expect(ran.filter((each) => each.endsWith(".request"))).toEqual(["first.request"])
    expect(ran.filter((each) => each.endsWith(".response"))).toHaveLength(3)
  })

  test("[C-1.4] one that fails closed and throws is a 500 without its cause, and nothing after it decides", async () => {
    const { exchange, ran, log, body } = await run({ failsClosed: true, in: "request" })
    expect(exchange.answer!.status).toBe(500)
    expect(body).not.toContain("secret")
    expect(ran).not.toContain("third.request")
    expect(log[0]).toMatchObject({ event: "policy.fault", fields: { policy: "second", step: "request" } })
  })

  test("[C-1.4] one that does not fail closed and throws is logged, and the request goes on", async () => {
    const { exchange, ran, log } = await run({ failsClosed: false, in: "request" })
    expect(exchange.answer!.status).toBe(200)
    expect(ran).toContain("third.request")
    expect(log).toHaveLength(1)
  })

  test("[C-1.4] a response step that fails closed and throws replaces the answer; what was said of it is taken back", async () => {
    const { exchange, ran, body } = await run({ failsClosed: true, in: "response" })
    expect(exchange.answer!.status).toBe(500)
    expect(JSON.parse(body).error.code).toBe("INTERNAL_ERROR")
    expect(body).not.toContain("secret")
    expect(exchange.responseHeader("x-third")).toBeUndefined()
    expect(exchange.responseHeader("x-first")).toBe("ran")
    expect(ran).toContain("first.response")
  })

  test("[C-1.4] a response step that does not fail closed and throws leaves the answer as it is", async () => {
    const { exchange } = await run({ failsClosed: false, in: "response" })
    expect(exchange.answer!.status).toBe(200)
  })

  test("a fault in accounting is logged and the other steps run", async () => {
    const { ran, log } = await run({ failsClosed: true, in: "done" })
    expect(ran).toContain("third.done")
    expect(log[0]).toMatchObject({ event: "policy.fault", fields: { step: "done" } })
  })
})

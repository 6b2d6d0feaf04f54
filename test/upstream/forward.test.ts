import { afterEach, describe, expect, test } from "bun:test"
import type { Body } from "../../src/http1/body.ts"
import { now } from "../../src/lib/clock.ts"
import { type Forwarded, forward } from "../../src/upstream/forward.ts"
import { EndlessSource, HandSource, readBody } from "../support/bodies.ts"
import { makeExchange } from "../support/exchange.ts"
import { OpenService } from "../support/open_service.ts"
import { type RawConnection, type RawScript, RawUpstream } from "../support/raw_upstream.ts"
import { until } from "../support/until.ts"

const open: { close(): void }[] = []
afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

const OK = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
const BUSY = "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"

function upstream(script: RawScript): RawUpstream {
  const made = new RawUpstream(script)
  open.push({ close: () => made.stop() })
  return made
}

/** An upstream that does the same to every request. */
const always = (bytes: string) => upstream((connection) => connection.write(bytes))

/** An address where nobody listens. */
function nobody(): string {
  const gone = new RawUpstream(() => undefined)
  gone.stop()
  return gone.url
}

function serviceOf(urls: string[], file: object = {}): OpenService {
  const service = new OpenService({ instances: urls, balance: "round_robin", ...file })
  open.push(service)
  return service
}

async function ask(on: OpenService, method = "GET", body: Body = undefined, timeoutMs = 5000) {
  const exchange = makeExchange({ method, body, path: "/a", query: "b=1" })
  const forwarded = await forward(exchange, on.service, timeoutMs)
  return { exchange, forwarded, text: await textOf(forwarded) }
}

async function textOf(forwarded: Forwarded): Promise<string> {
  if (forwarded.kind !== "answer") return forwarded.kind
  return `${forwarded.answer.status} ${await readBody(forwarded.answer.body)}`
}

const requests = (from: RawUpstream) =>
  from.connections.flatMap(({ received }) => received.match(/[A-Z]+ \/a\?b=1 HTTP\/1.1\r\n/g) ?? []).length

describe("forward", () => {
  test("sends the request as edited and gives the answer", async () => {
    const one = always(OK)
    const on = serviceOf([one.url])
    const exchange = makeExchange({
      path: "/in",
      query: "q=1",
      host: "app.example.com",
      headers: [
        ["Accept", "text/plain"],
        ["X-Drop", "1"],
        ["Connection", "keep-alive"],
      ],
    })
    exchange.upstreamPath = "/out"
    exchange.requestEdits.drop("x-drop")
    exchange.requestEdits.set("x-user-id", "u\r\nx-admin: 1")
    exchange.requestEdits.set("x-name", "Ċ")
    const forwarded = await forward(exchange, on.service, 5000)
    expect(await textOf(forwarded)).toBe("200 ok")
    expect(Buffer.from(one.last.received, "latin1").toString()).toBe(
      "GET /out?q=1 HTTP/1.1\r\nhost: app.example.com\r\naccept: text/plain\r\nx-user-id: u  x-admin: 1\r\nx-name: Ċ\r\n\r\n",
    )
    expect(exchange.instance).toBe(one.url)
    expect(exchange.retries).toBe(0)
    expect(exchange.upstreamMs).toBeGreaterThan(0)
    expect(on.inFlight).toBe(0)
  })

  test("sends the host config asks for", async () => {
    const one = always(OK)
    await ask(serviceOf([one.url], { host: "inner.test" }))
    expect(one.last.received).toContain("\r\nhost: inner.test\r\n")
  })

  test("[T-1.2] spreads requests evenly over instances", async () => {
    const many = [always(OK), always(OK), always(OK)]
    const on = serviceOf(many.map(({ url }) => url))
    for (let i = 0; i < 60; i++) await ask(on)
    expect(many.map(requests)).toEqual([20, 20, 20])
  })

  test("counts a request as in flight until its body has ended", async () => {
    const one = always("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
    const on = serviceOf([one.url])
    const exchange = makeExchange({ path: "/a" })
    const forwarded = await forward(exchange, on.service, 5000)
    expect(on.inFlight).toBe(1)
    one.last.write("cd")
    expect(await textOf(forwarded)).toBe("200 abcd")
    expect(on.inFlight).toBe(0)
  })
})

describe("retries", () => {
  test("[S-FR3.2] go to another instance when one does not listen, also for POST", async () => {
    const good = always(OK)
    const on = serviceOf([nobody(), good.url])
    for (let i = 0; i < 2; i++) expect((await ask(on, "POST", Buffer.from("x"))).text).toBe("200 ok")
    expect(on.attempts.filter((attempt) => attempt.endsWith("connect")).length).toBe(1)
    expect(on.waits.length).toBe(1)
    expect(on.waits[0]).toBeLessThan(25)
    expect(requests(good)).toBe(2)
  })

  test("[S-FR3.2] carry a streamed body along when none of it was read", async () => {
    const good = always(OK)
    const on = serviceOf([nobody(), good.url])
    for (let i = 0; i < 2; i++)
      expect((await ask(on, "POST", new EndlessSource(100_000, 1000, true))).text).toBe("200 ok")
    await until(() => good.connections.some(({ bytesReceived }) => bytesReceived > 200_000), "both bodies")
  })

  test("go to another instance on 503 and hand the last answer on when there is none better", async () => {
    const busy = always(BUSY)
    const good = always(OK)
    const on = serviceOf([busy.url, good.url])
    for (let i = 0; i < 2; i++) expect((await ask(on)).text).toBe("200 ok")
    const alone = serviceOf([busy.url])
    const { text, exchange } = await ask(alone)
    expect(text).toBe("503 busy")
    expect(exchange.retries).toBe(1)
    expect(alone.inFlight).toBe(0)
  })

  for (const [name, breakIt] of [
    ["closed", (connection: RawConnection) => connection.end()],
    ["reset", (connection: RawConnection) => connection.reset()],
  ] as const) {
    test(`[F-35] a kept connection ${name} under a POST: 502, and it is never sent again`, async () => {
      const one = upstream((connection, head) =>
        head.startsWith("GET") ? connection.write(OK) : breakIt(connection),
      )
      const two = upstream((connection, head) =>
        head.startsWith("GET") ? connection.write(OK) : breakIt(connection),
      )
      const on = serviceOf([one.url, two.url])
      for (let i = 0; i < 2; i++) await ask(on)
      expect((await ask(on, "POST", Buffer.from("x"))).text).toBe("reset")
      expect(requests(one) + requests(two)).toBe(3)
    })

    test(`[F-35] a kept connection ${name} under a GET: sent once more, on another instance`, async () => {
      let breaking = false
      const script: RawScript = (connection) => {
        if (!breaking) connection.write(OK)
        else {
          breaking = false
          breakIt(connection)
        }
      }
      const one = upstream(script)
      const two = upstream(script)
      const on = serviceOf([one.url, two.url], { retry: { attempts: 1 } })
      for (let i = 0; i < 2; i++) await ask(on)
      breaking = true
      const { text, exchange } = await ask(on)
      expect(text).toBe("200 ok")
      expect(exchange.retries).toBe(1)
      expect([requests(one), requests(two)]).toEqual([2, 2])
      expect(on.service.members.map(({ state }) => state.consecutiveFailures)).toEqual([0, 0])
    })
  }

  test("[F-37 F-39] of a service that is down stay within the budget", async () => {
    const busy = always(BUSY)
    const on = serviceOf([busy.url], { retry: { attempts: 4, budget: 0.2 } })
    for (let i = 0; i < 200; i++) await ask(on)
    expect(requests(busy)).toBeLessThanOrEqual(240)
    expect(requests(busy)).toBeGreaterThan(230)
  })

  test("do not outlive the timeout", async () => {
    const on = serviceOf([nobody()], { retry: { attempts: 10, backoff: "10s", max_backoff: "10s" } })
    expect((await ask(on, "GET", undefined, 100)).text).toBe("unreachable")
    expect(on.waits.every((ms) => ms < 100)).toBe(true)
  })

  test("follow an attempt that took longer than per_try_timeout", async () => {
    const slow = upstream(() => undefined)
    const good = always(OK)
    const retry = { per_try_timeout: "50ms", on: ["timeout"] }
    const on = serviceOf([slow.url, good.url], { retry })
    for (let i = 0; i < 2; i++) expect((await ask(on)).text).toBe("200 ok")
    expect(requests(slow)).toBe(1)
  })
})

describe("a fallback service", () => {
  test("gets a streamed body that the first service never read", async () => {
    const good = always(OK)
    const exchange = makeExchange({ method: "POST", path: "/a", body: new EndlessSource(5000, 1000, true) })
    expect((await forward(exchange, serviceOf([nobody()]).service, 5000)).kind).toBe("unreachable")
    expect(await textOf(await forward(exchange, serviceOf([good.url]).service, 5000))).toBe("200 ok")
  })

  test("is not asked with a body of which a part is already gone", async () => {
    const resetting = upstream((connection) => connection.reset())
    const good = always(OK)
    const exchange = makeExchange({ method: "POST", path: "/a", body: new EndlessSource(5000, 1000, true) })
    expect((await forward(exchange, serviceOf([resetting.url]).service, 5000)).kind).toBe("reset")
    expect((await forward(exchange, serviceOf([good.url]).service, 5000)).kind).toBe("reset")
    expect(good.connections.length).toBe(0)
  })
})

describe("[F-29 F-30] a bad upstream", () => {
  const once = { retry: { attempts: 1 } }

  test("that refuses connections is unreachable", async () => {
    expect((await ask(serviceOf([nobody()], once))).text).toBe("unreachable")
  })

  test("[F-38] whose name does not exist is unreachable", async () => {
    const on = new OpenService(
      { instances: ["http://nowhere.invalid:80"], ...once },
      { lookUp: () => Promise.reject(new Error("ENOTFOUND")) },
    )
    open.push(on)
    expect((await ask(on)).text).toBe("unreachable")
  })

  test("that closes, resets or talks garbage gives no answer", async () => {
    const closing = upstream((connection) => connection.end())
    const resetting = upstream((connection) => connection.reset())
    const garbage = always("\0\0hello\r\n\r\n")
    expect((await ask(serviceOf([closing.url], once))).text).toBe("reset")
    expect((await ask(serviceOf([resetting.url], once))).text).toBe("reset")
    expect((await ask(serviceOf([garbage.url], once))).text).toBe("protocol")
  })

  test("that never answers is a timeout, and its slot is freed", async () => {
    const silent = upstream(() => undefined)
    const on = serviceOf([silent.url], once)
    expect((await ask(on, "GET", undefined, 60)).text).toBe("timeout")
    expect(on.inFlight).toBe(0)
    await until(() => silent.last.closed, "the connection to be dropped")
  })

  test("is let go at once when the client leaves", async () => {
    const silent = upstream(() => undefined)
    const on = serviceOf([silent.url], { breaker: {} })
    const exchange = makeExchange({ path: "/a" })
    const forwarded = forward(exchange, on.service, 60_000)
    await until(() => silent.connections[0]?.received.endsWith("\r\n\r\n") === true, "the request")
    exchange.clientLeft()
    expect((await forwarded).kind).toBe("client_gone")
    await until(() => silent.last.closed, "the connection to be dropped")
    expect(on.inFlight).toBe(0)
    expect(on.service.breaker!.view(now())).toMatchObject({ requests: 0, failures: 0 })
  })

  test("is not blamed for a client that stops in the middle of its upload", async () => {
    const silent = upstream(() => undefined)
    const on = serviceOf([silent.url, nobody()], { breaker: {}, idle_timeout: "60ms" })
    const source = new HandSource(100)
    const waiting = ask(on, "POST", source)
    // Whichever instance is tried first, the one that listens gets it.
    await until(() => source.sink !== undefined, "the upload to start")
    source.sink!.write(Buffer.from("abc"))
    expect((await waiting).text).toBe("client_slow")
    expect(on.service.members[0]!.state.consecutiveFailures).toBe(0)
    expect(on.inFlight).toBe(0)
  })

  test("[F-19] has its whole timeout after a client that paused in its upload for longer", async () => {
    const one = upstream((connection) => connection.seen("ab").then(() => connection.write(OK)))
    const on = serviceOf([one.url])
    const source = new HandSource(2)
    const waiting = ask(on, "POST", source, 400)
    await until(() => source.sink !== undefined, "the upload to start")
    source.sink!.write(Buffer.from("a"))
    await Bun.sleep(600)
    source.sink!.write(Buffer.from("b"))
    source.sink!.end()
    expect((await waiting).text).toBe("200 ok")
  })

  test("[F-19] a slow upload may take longer than the timeout", async () => {
    const one = upstream((connection) => connection.seen("0123456789").then(() => connection.write(OK)))
    const on = serviceOf([one.url])
    const source = new HandSource(10)
    const waiting = ask(on, "POST", source, 400)
    await until(() => source.sink !== undefined, "the upload to start")
    for (const digit of "0123456789") {
      await Bun.sleep(60)
      source.sink!.write(Buffer.from(digit))
    }
    source.sink!.end()
    expect((await waiting).text).toBe("200 ok")
  })

  test("[F-31] that breaks its answers off in the middle is ejected", async () => {
    const cut = upstream((connection) =>
      connection.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab").end(),
    )
    const on = serviceOf([cut.url, cut.url.replace("127.0.0.1", "localhost")])
    for (let i = 0; i < 20 && on.changes.length === 0; i++) await ask(on).catch(() => undefined)
    expect(on.changes[0]).toMatchObject({ kind: "ejected", service: "s" })
  })
})

describe("[F-36] a failing service", () => {
  const breaker = { failure_threshold: 5, min_throughput: 5, recovery_timeout: "60s" }

  test("opens its circuit: requests are refused with a time to come back, and none reaches it", async () => {
    const failing = always("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")
    const on = serviceOf([failing.url], { breaker })
    for (let i = 0; i < 5; i++) expect((await ask(on)).text).toBe("500 ")
    const { forwarded } = await ask(on)
    expect(forwarded).toMatchObject({ kind: "circuit_open" })
    if (forwarded.kind === "answer") throw new Error("answered")
    expect(forwarded.retryAfterMs).toBeGreaterThan(50_000)
    expect(forwarded.retryAfterMs).toBeLessThanOrEqual(60_000)
    expect(requests(failing)).toBe(5)
    expect(on.changes).toEqual([{ kind: "circuit", service: "s", state: "open" }])
  })

  test("comes back through a trial, and its circuit closes", async () => {
    let healthy = false
    const one = upstream((connection) =>
      connection.write(healthy ? OK : "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"),
    )
    let shift = 0
    const on = new OpenService({ instances: [one.url], breaker }, { now: () => now() + shift })
    open.push(on)
    for (let i = 0; i < 5; i++) await ask(on)
    expect((await ask(on)).text).toBe("circuit_open")
    healthy = true
    shift = 60_001
    expect((await ask(on)).text).toBe("200 ok")
    expect(on.changes.at(-1)).toEqual({ kind: "circuit", service: "s", state: "closed" })
  })

  test("[S-FR3.2] with one bad instance goes on: that one is ejected and nobody else notices", async () => {
    const failing = always("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")
    const good = always(OK)
    const on = serviceOf([failing.url, good.url])
    for (let i = 0; i < 10; i++) await ask(on)
    expect(on.changes).toMatchObject([{ kind: "ejected", instance: failing.url }])
    for (let i = 0; i < 10; i++) expect((await ask(on)).text).toBe("200 ok")
    expect(requests(failing)).toBe(5)
  })

  test("[F-37] without any available instance and without panic mode says so", async () => {
    const good = always(OK)
    const on = serviceOf([good.url], { panic_threshold: 0 })
    on.service.members[0]!.state.setHealth(false, now())
    expect((await ask(on)).text).toBe("no_instance")
    const panicking = serviceOf([good.url])
    panicking.service.members[0]!.state.setHealth(false, now())
    expect((await ask(panicking)).text).toBe("200 ok")
  })

  test("that only exceeds its pool is overloaded, not failing", async () => {
    const silent = upstream(() => undefined)
    const pool = { max_connections: 1, max_waiting: 0 }
    const on = serviceOf([silent.url], { pool, breaker, retry: { attempts: 1 } })
    const first = ask(on, "GET", undefined, 200)
    for (let i = 0; i < 10; i++) {
      const { forwarded } = await ask(on)
      expect(forwarded).toMatchObject({ kind: "overloaded", retryAfterMs: 1000 })
    }
    expect(on.service.breaker!.view(now())).toMatchObject({ state: "closed", failures: 0 })
    expect((await first).text).toBe("timeout")
  })
})

import { afterEach, describe, expect, test } from "bun:test"
import type { Socket } from "bun"
import type { BodySource } from "../../src/http1/body.ts"
import type { Pool } from "../../src/upstream/pool.ts"
import { EndlessSource, KeepingSink, readBody } from "../support/bodies.ts"
import { AUTHORITY, SERVICE_CERTIFICATE, SERVICE_KEY } from "../support/certificates.ts"
import { FakeTime } from "../support/fake_time.ts"
import { closeAll, listen, poolTo, response } from "../support/pool_to.ts"
import type { RawConnection } from "../support/raw_upstream.ts"
import { until } from "../support/until.ts"
import { TestRequest } from "../support/upstream_request.ts"

afterEach(closeAll)

const OK = "HTTP/1.1 200 OK\r\n"
const HELLO = `${OK}content-length: 5\r\n\r\nhello`

/** Starts a GET whose body is still coming, and reads it into a sink. */
async function streaming(pool: Pool, request = new TestRequest(), slow = false) {
  const ask = pool.ask(request)
  const asked = response(await ask.result)
  const body = asked.body as BodySource
  const sink = new KeepingSink(slow)
  body.flow(sink)
  return { ask, asked, body, sink, request }
}

const CUT = [
  ["content-length", `${OK}content-length: 10\r\n\r\nhello`],
  ["chunked", `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`],
  ["chunked without its last line", `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n`],
] as const
const CUTS: readonly [string, (connection: RawConnection, time: FakeTime) => void][] = [
  ["FIN", (connection) => connection.end()],
  ["RST", (connection) => connection.reset()],
  ["a stall", (_connection, time) => time.pass(2000)],
]

describe("[F-31] a body cut short never looks complete", () => {
  for (const [framing, wire] of CUT) {
    for (const [name, cut] of CUTS) {
      test(`${framing}, by ${name}`, async () => {
        const upstream = listen((connection) => connection.write(wire))
        const time = new FakeTime()
        const pool = poolTo(upstream.url, { clock: time.now })
        const request = new TestRequest()
        request.idleTimeoutMs = 1000
        const { sink } = await streaming(pool, request)
        await until(() => sink.bytes === 5, "the first bytes")
        pool.sweep()
        cut(upstream.last, time)
        await until(() => sink.over, "the end")
        expect(sink.ended).toBe(false)
        expect(sink.aborted).toBeString()
        expect(request.outcomes).toEqual(["aborted"])
        expect(pool.stats.open).toBe(0)
      })
    }
  }

  test("broken chunk framing in the middle", async () => {
    const upstream = listen((connection) => connection.write(CUT[1][1]))
    const { sink, request } = await streaming(poolTo(upstream.url))
    upstream.last.write("zz\r\nevil")
    await until(() => sink.over, "the end")
    expect(sink.aborted).toBe("chunked framing broken")
    expect(sink.text).toBe("hello")
    expect(request.outcomes).toEqual(["aborted"])
  })

  test("a close-delimited body by RST", async () => {
    const upstream = listen((connection) => connection.write(`${OK}\r\nhello`))
    const { sink } = await streaming(poolTo(upstream.url))
    upstream.last.reset()
    await until(() => sink.over, "the end")
    expect(sink.aborted).toBeString()
  })

  test("before anybody reads it", async () => {
    const upstream = listen((connection) => connection.write(CUT[0][1]))
    const pool = poolTo(upstream.url)
    const asked = response(await pool.ask(new TestRequest()).result)
    upstream.last.end()
    await until(() => pool.stats.open === 0, "the connection to go")
    expect(readBody(asked.body)).rejects.toThrow("closed")
  })
})

test("a close-delimited body ends with its connection, which is not used again", async () => {
  const upstream = listen((connection) => connection.write(`${OK}\r\nhello`).end())
  const pool = poolTo(upstream.url)
  const request = new TestRequest()
  expect(await readBody(response(await pool.ask(request).result).body)).toBe("hello")
  expect(request.outcomes).toEqual(["complete"])
  expect(pool.stats.open).toBe(0)
})

test("a body that is complete before it is read waits for its reader, its connection does not", async () => {
  const upstream = listen((connection) => connection.write(`${OK}content-length: 10\r\n\r\nhello`))
  const pool = poolTo(upstream.url)
  const request = new TestRequest()
  const asked = response(await pool.ask(request).result)
  upstream.last.write("world")
  await until(() => pool.stats.idle === 1, "the connection to be free")
  expect(request.outcomes).toEqual(["complete"])
  expect(await readBody(asked.body)).toBe("helloworld")
})

test("a full sink is not written to until it asks, and then gets everything in order", async () => {
  const upstream = listen((connection) => connection.write(`${OK}content-length: 15\r\n\r\nfirst`))
  const pool = poolTo(upstream.url)
  const { sink, body } = await streaming(pool, new TestRequest(), true)
  expect(sink.text).toBe("first")
  upstream.last.write("12345")
  await Bun.sleep(20)
  upstream.last.write("67890")
  await Bun.sleep(20)
  expect(sink.text).toBe("first")
  while (!sink.over) {
    body.resume()
    await Bun.sleep(1)
  }
  expect(sink.text).toBe("first1234567890")
  expect(sink.ended).toBe(true)
  expect(pool.stats.idle).toBe(1)
})

test("a body whose reader takes nothing is not silent", async () => {
  const upstream = listen((connection) => connection.write(`${OK}content-length: 10\r\n\r\nhello`))
  const time = new FakeTime()
  const pool = poolTo(upstream.url, { clock: time.now })
  const request = new TestRequest()
  request.idleTimeoutMs = 1000
  const { sink } = await streaming(pool, request, true)
  for (let i = 0; i < 5; i++) {
    time.pass(900)
    pool.sweep()
  }
  expect(sink.over).toBe(false)
})

test.each(["body", "ask"] as const)(
  "cancelling the %s closes the connection and calls the sink no more",
  async (who) => {
    const upstream = listen((connection) => connection.write(`${OK}content-length: 10\r\n\r\nhello`))
    const pool = poolTo(upstream.url)
    const exchange = await streaming(pool)
    exchange[who].cancel()
    exchange[who].cancel()
    await until(() => upstream.last.closed, "the connection to close")
    expect(exchange.sink.over).toBe(false)
    expect(exchange.request.outcomes).toEqual(["cancelled"])
    expect(pool.stats.open).toBe(0)
  },
)

test("cancelling an exchange that is over does not touch the next one on its connection", async () => {
  const upstream = listen((connection) => {
    if (upstream.last.received.split("GET").length === 2) connection.write(HELLO)
  })
  const pool = poolTo(upstream.url)
  const first = pool.ask(new TestRequest())
  response(await first.result)
  const second = pool.ask(new TestRequest())
  first.cancel()
  await until(() => upstream.last.received.split("GET").length === 3, "the second request")
  upstream.last.write(HELLO)
  expect(response(await second.result).status).toBe(200)
})

describe("bytes by the million", () => {
  const TOTAL = 200_000_000
  const CHUNK = Buffer.alloc(65_536, 98)
  const floods: { stop(closeActive: boolean): void }[] = []
  afterEach(() => {
    for (const listener of floods.splice(0)) listener.stop(true)
  })

  /** Sends a head and then `TOTAL` bytes as fast as they are taken, never holding more than one chunk. */
  function flood() {
    const send = (socket: Socket<{ left: number }>) => {
      while (socket.data.left > 0) {
        const taken = socket.write(CHUNK, 0, Math.min(CHUNK.length, socket.data.left))
        if (taken <= 0) return
        socket.data.left -= taken
      }
    }
    const listener = Bun.listen<{ left: number }>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          socket.data = { left: 0 }
        },
        data(socket) {
          socket.data.left = TOTAL
          socket.write(`${OK}content-length: ${TOTAL}\r\n\r\n`)
          send(socket)
        },
        drain: send,
      },
    })
    floods.push(listener)
    return `http://127.0.0.1:${listener.port}`
  }

  test("200 MB to a reader that is always behind do not pile up in memory", async () => {
    const pool = poolTo(flood())
    Bun.gc(true)
    const before = process.memoryUsage.rss()
    const body = response(await pool.ask(new TestRequest()).result).body as BodySource
    let bytes = 0
    let most = 0
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    body.flow({
      write(chunk) {
        bytes += chunk.length
        most = Math.max(most, process.memoryUsage.rss())
        setImmediate(() => body.resume())
        return false
      },
      end: resolve,
      abort: (reason) => reject(new Error(reason)),
    })
    await promise
    expect(bytes).toBe(TOTAL)
    expect(most - before).toBeLessThan(100_000_000)
    expect(pool.stats.idle).toBe(1)
  }, 20_000)

  test.each([true, false])(
    "200 MB to an upstream that reads slowly do not either (length known: %p)",
    async (known) => {
      const upstream = listen(() => undefined)
      const source = new EndlessSource(TOTAL, 65_536, known)
      const asked = poolTo(upstream.url).ask(new TestRequest("POST", source)).result
      await until(() => upstream.connections.length === 1, "the connection")
      const { last } = upstream
      last.countOnly = true
      last.pause()
      await Bun.sleep(50)
      Bun.gc(true)
      const before = process.memoryUsage.rss()
      let most = 0
      for (
        const stop = performance.now() + 15_000;
        last.bytesReceived < TOTAL && performance.now() < stop;
      ) {
        last.resume()
        await Bun.sleep(2)
        last.pause()
        most = Math.max(most, process.memoryUsage.rss())
      }
      expect(last.bytesReceived).toBeGreaterThanOrEqual(TOTAL)
      expect(most - before).toBeLessThan(100_000_000)
      last.resume()
      last.write(HELLO)
      expect(response(await asked).status).toBe(200)
    },
    20_000,
  )

  test("3 MB each way through TLS arrive unchanged", async () => {
    const text = Array.from({ length: 300_000 }, (_, i) => String(i).padStart(10, "0")).join("")
    const upstream = listen(() => undefined, { tls: { key: SERVICE_KEY, cert: SERVICE_CERTIFICATE } })
    const tls = { ca: AUTHORITY, serverName: "service.test", rejectUnauthorized: true }
    const pool = poolTo(upstream.url, { tls })
    const asked = pool.ask(new TestRequest("POST", Buffer.from(text))).result
    await until(() => (upstream.connections[0]?.bytesReceived ?? 0) > text.length, "the body")
    expect(upstream.last.received.endsWith(text)).toBe(true)
    upstream.last.write(`${OK}connection: close\r\n\r\n${text}`).end()
    expect((await readBody(response(await asked).body)) === text).toBe(true)
  })
})

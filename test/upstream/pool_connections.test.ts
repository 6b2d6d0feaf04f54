import { afterEach, expect, test } from "bun:test"
import { readBody } from "../support/bodies.ts"
import { FakeTime } from "../support/fake_time.ts"
import { closeAll, failure, get, listen, poolTo, response } from "../support/pool_to.ts"
import { until } from "../support/until.ts"
import { TestRequest } from "../support/upstream_request.ts"

afterEach(closeAll)

const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

test.each([
  ["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"],
  ["HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
])("after %j the connection is closed", async (wire) => {
  const upstream = listen((connection) => connection.write(wire))
  const pool = poolTo(upstream.url)
  expect(await readBody(response(await get(pool)).body)).toBe("hello")
  expect(pool.stats.open).toBe(0)
  await until(() => upstream.last.closed, "the connection to close")
})

test("requests beyond the connections wait in order, beyond the queue they fail at once", async () => {
  const upstream = listen(() => undefined)
  const pool = poolTo(upstream.url, { max_connections: 1, max_waiting: 2 })
  const order: string[] = []
  const asks = ["a", "b", "c"].map((name) => {
    const request = new TestRequest()
    request.headers = `host: ${name}\r\n`
    const ask = pool.ask(request)
    void ask.result.then(() => order.push(name))
    return ask
  })
  expect(failure(await get(pool))).toMatchObject({ reason: "pool_full", sent: false })
  expect(pool.stats).toEqual({ open: 1, idle: 0, busy: 1, waiting: 2 })
  for (const name of ["a", "b", "c"]) {
    await until(() => upstream.connections[0]?.received.endsWith(`host: ${name}\r\n\r\n`) ?? false, name)
    upstream.last.write(HELLO)
  }
  for (const ask of asks) response(await ask.result)
  expect(order).toEqual(["a", "b", "c"])
  expect(upstream.connections.length).toBe(1)
})

test("a request that waits too long for a connection fails with pool_timeout, a cancelled one leaves the line", async () => {
  const upstream = listen(() => undefined)
  const time = new FakeTime()
  const pool = poolTo(upstream.url, { clock: time.now, max_connections: 1, wait_timeout: 500 })
  const first = pool.ask(new TestRequest())
  const late = pool.ask(new TestRequest())
  const gone = pool.ask(new TestRequest())
  gone.cancel()
  expect(failure(await gone.result)).toMatchObject({ reason: "cancelled", sent: false })
  expect(pool.stats.waiting).toBe(1)
  time.pass(500)
  expect(failure(await late.result)).toMatchObject({ reason: "pool_timeout", sent: false })
  expect(pool.stats.waiting).toBe(0)
  first.cancel()
  await first.result
})

test("a place that becomes free by a broken connection goes to the next in line", async () => {
  const upstream = listen((connection) =>
    upstream.connections.length === 1 ? connection.reset() : connection.write(HELLO),
  )
  const pool = poolTo(upstream.url, { max_connections: 1 })
  const [first, second] = await Promise.all([get(pool), get(pool)])
  expect(failure(first!).reason).toBe("reset")
  expect(response(second!).status).toBe(200)
})

test("the connection used last is used first, the others grow old and are closed", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const time = new FakeTime()
  const pool = poolTo(upstream.url, { clock: time.now, idle_timeout: 1000 })
  await Promise.all([get(pool), get(pool), get(pool)])
  expect(pool.stats.idle).toBe(3)
  pool.sweep()
  time.pass(900)
  response(await get(pool))
  pool.sweep()
  time.pass(100)
  pool.sweep()
  expect(pool.stats).toEqual({ open: 1, idle: 1, busy: 0, waiting: 0 })
  time.pass(900)
  pool.sweep()
  expect(pool.stats.open).toBe(0)
  await until(() => upstream.connections.every((connection) => connection.closed), "all to close")
})

test("idle connections beyond max_idle are closed", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const pool = poolTo(upstream.url, { max_idle: 1 })
  await Promise.all([get(pool), get(pool), get(pool)])
  expect(pool.stats).toEqual({ open: 1, idle: 1, busy: 0, waiting: 0 })
})

test("a closed pool takes nothing, lets exchanges end and then has no connection", async () => {
  const upstream = listen(() => undefined)
  const pool = poolTo(upstream.url, { max_connections: 1 })
  const running = get(pool)
  const waiting = get(pool)
  await until(() => (upstream.connections[0]?.received ?? "") !== "", "the request")
  pool.close()
  expect(failure(await waiting)).toMatchObject({ reason: "connect", cause: "pool closed" })
  expect(failure(await get(pool))).toMatchObject({ reason: "connect", cause: "pool closed" })
  upstream.last.write(HELLO)
  expect(await readBody(response(await running).body)).toBe("hello")
  expect(pool.stats.open).toBe(0)
})

import { afterEach, describe, expect, test } from "bun:test"
import { HandSource, readBody } from "../support/bodies.ts"
import { FakeTime } from "../support/fake_time.ts"
import { closeAll, listen, poolTo, response } from "../support/pool_to.ts"
import { until } from "../support/until.ts"
import { TestRequest } from "../support/upstream_request.ts"

afterEach(closeAll)

const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

describe("uploads", () => {
  test("of unknown length are sent in chunks", async () => {
    const upstream = listen(() => undefined)
    const source = new HandSource()
    const asked = poolTo(upstream.url).ask(new TestRequest("POST", source)).result
    await until(() => source.sink !== undefined, "the upload to start")
    expect(source.sink!.write(Buffer.from("hello"))).toBe(true)
    source.sink!.write(Buffer.alloc(0))
    source.sink!.write(Buffer.alloc(200_000, "x"))
    source.sink!.end()
    await until(() => upstream.last.received.endsWith("\r\n0\r\n\r\n"), "the last chunk")
    const [head, body] = upstream.last.received
      .split("\r\n\r\n", 1)
      .concat(upstream.last.received.slice(upstream.last.received.indexOf("\r\n\r\n") + 4))
    expect(head).toEndWith("transfer-encoding: chunked")
    expect(body).toBe(`5\r\nhello\r\n30d40\r\n${"x".repeat(200_000)}\r\n0\r\n\r\n`)
    upstream.last.write(HELLO)
    expect(response(await asked).status).toBe(200)
  })

  test.each([
    ["longer", 4],
    ["shorter", 6],
  ])("%s than announced end with their connection, never as a complete message", async (_name, length) => {
    const upstream = listen(() => undefined)
    const source = new HandSource(length)
    const asked = poolTo(upstream.url).ask(new TestRequest("POST", source)).result
    await until(() => source.sink !== undefined, "the upload to start")
    source.sink!.write(Buffer.from("hello"))
    source.sink!.end()
    expect(await asked).toMatchObject({ kind: "failed", reason: "cancelled" })
    await until(() => upstream.last.closed, "the connection to close")
    expect(upstream.last.received).not.toContain("hello".repeat(length < 5 ? 1 : 2))
  })

  test("[F-30] whose client leaves close the connection at once", async () => {
    const upstream = listen(() => undefined)
    const source = new HandSource(10)
    const asked = poolTo(upstream.url).ask(new TestRequest("POST", source)).result
    await until(() => source.sink !== undefined, "the upload to start")
    source.sink!.write(Buffer.from("hello"))
    source.sink!.abort("client left")
    expect(await asked).toEqual({
      kind: "failed",
      reason: "cancelled",
      sent: true,
      stale: false,
      cause: "client left",
    })
    await until(() => upstream.last.closed, "the connection to close")
  })

  test("stop when the upstream goes away", async () => {
    const upstream = listen((connection) => connection.reset())
    const source = new HandSource(10)
    const asked = poolTo(upstream.url).ask(new TestRequest("POST", source)).result
    expect(await asked).toMatchObject({ kind: "failed", reason: "reset", sent: true })
    expect(source.cancelled).toBe(true)
  })

  test("that stand still are a timeout", async () => {
    const upstream = listen(() => undefined)
    const time = new FakeTime()
    const pool = poolTo(upstream.url, { clock: time.now })
    const source = new HandSource(10)
    const request = new TestRequest("POST", source)
    request.idleTimeoutMs = 1000
    const asked = pool.ask(request).result
    await until(() => source.sink !== undefined, "the upload to start")
    pool.sweep()
    time.pass(1000)
    expect(await asked).toMatchObject({ reason: "timeout", sent: true, cause: "request body stood still" })
    expect(source.cancelled).toBe(true)
  })

  test("answered early go on, and their connection is used again only when they are complete", async () => {
    const upstream = listen((connection) => connection.write(HELLO))
    const pool = poolTo(upstream.url)
    const source = new HandSource(10)
    const request = new TestRequest("POST", source)
    const asked = response(await pool.ask(request).result)
    expect(await readBody(asked.body)).toBe("hello")
    expect(request.outcomes).toEqual(["complete"])
    expect(pool.stats).toMatchObject({ idle: 0, busy: 1 })
    source.sink!.write(Buffer.from("helloworld"))
    source.sink!.end()
    expect(pool.stats).toMatchObject({ idle: 1, busy: 0 })
    expect(source.cancelled).toBe(false)
  })

  test("answered early with connection: close are stopped", async () => {
    const wire = "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    const upstream = listen((connection) => connection.write(wire))
    const pool = poolTo(upstream.url)
    const source = new HandSource(10)
    expect(response(await pool.ask(new TestRequest("POST", source)).result).status).toBe(413)
    expect(source.cancelled).toBe(true)
    expect(pool.stats.open).toBe(0)
  })
})

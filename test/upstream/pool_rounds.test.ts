import { afterEach, describe, expect, test } from "bun:test"
import { Inbox, outbox, type Receiver } from "../../src/http1/round.ts"
import type { Asked } from "../../src/upstream/ask.ts"
import { readBody } from "../support/bodies.ts"
import { closeAll, failure, get, listen, poolTo, response } from "../support/pool_to.ts"
import { FIRST_PAIR } from "../support/server_pairs.ts"
import { until } from "../support/until.ts"
import { TestRequest } from "../support/upstream_request.ts"

// Requests go out when the round is over: what may happen to a connection until then.

const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
afterEach(closeAll)

test("[F-35] a connection that is reset before the round's end has sent nothing: even a POST may go again", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const pool = poolTo(upstream.url)
  response(await get(pool))
  const result = get(pool, new TestRequest("POST", Buffer.from("abc")))
  upstream.last.reset()
  expect(failure(await result)).toMatchObject({ reason: "reset", sent: false, stale: true })
  expect([pool.stats.open, upstream.last.received.includes("POST")]).toEqual([0, false])
})

test("a connection that is reset before the round's end spares the requests on the others", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const pool = poolTo(upstream.url)
  for (const asked of await Promise.all([get(pool), get(pool), get(pool)])) response(asked)
  const results = [get(pool), get(pool), get(pool)]
  upstream.connections[1]!.reset()
  const asked = await Promise.all(results)
  const reasons = asked.map((each) => (each.kind === "failed" ? each.reason : each.status))
  expect(reasons.toSorted()).toEqual([200, 200, "reset"])
})

test("a request that is cancelled before the round's end goes out to nobody", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  const pool = poolTo(upstream.url)
  response(await get(pool))
  const before = upstream.last.received
  const ask = pool.ask(new TestRequest())
  ask.cancel()
  outbox.send()
  expect(failure(await ask.result)).toMatchObject({ reason: "cancelled", sent: false })
  await until(() => upstream.last.closed, "the end of the connection")
  expect(upstream.last.received).toBe(before)
})

test("requests of one round go out on their own connections, each answered with its own", async () => {
  const upstream = listen((connection, head) => {
    const text = /x-mark: (\d+)/.exec(head)![1]!
    connection.write(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`)
  })
  const pool = poolTo(upstream.url, { max_connections: 50, max_idle: 50 })
  for (let turn = 0; turn < 5; turn++) {
    const marks = Array.from({ length: 50 }, (_, i) => String(turn * 50 + i))
    const answers = marks.map(async (mark) => {
      const request = new TestRequest()
      request.headers += `x-mark: ${mark}\r\n`
      return readBody(response(await get(pool, request)).body)
    })
    expect(await Promise.all(answers)).toEqual(marks)
  }
})

describe("the end of a connection that is read together with its answer comes behind it", () => {
  const body = "x".repeat(3000)
  const answers = {
    "by length": `HTTP/1.1 200 OK\r\ncontent-length: 3000\r\n\r\n${body}`,
    chunked: `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nbb8\r\n${body}\r\n0\r\n\r\n`,
    "by the end": `HTTP/1.0 200 OK\r\n\r\n${body}`,
  }
  for (const [how, answer] of Object.entries(answers)) {
    test(`over TLS (${how})`, async () => {
      const upstream = listen((connection) => connection.write(answer).end(), { tls: FIRST_PAIR })
      const tls = { ca: undefined, serverName: undefined, rejectUnauthorized: false }
      for (let turn = 0; turn < 5; turn++)
        expect(await readBody(response(await get(poolTo(upstream.url, { tls }))).body)).toBe(body)
    })
  }

  test("also when it is a reset", async () => {
    const upstream = listen((connection) => {
      connection.write(answers["by length"])
      connection.reset()
    })
    for (let turn = 0; turn < 5; turn++)
      expect(await readBody(response(await get(poolTo(upstream.url))).body)).toBe(body)
  })
})

test("an idle connection that is closed with unread bytes is not asked by requests that are handled with those", async () => {
  const upstream = listen((connection) => connection.write(HELLO))
  let time = 0
  const pool = poolTo(upstream.url, { idle_timeout: 1000, clock: () => time })
  response(await get(pool))
  pool.sweep()
  const requests = new Inbox<Receiver>("requests", (_, error) => reportError(error))
  let asked: Promise<Asked> | undefined
  const client = { data: { received: () => void (asked = get(pool)) } }
  // Read in the same turn of the loop, behind the bytes on the idle connection.
  const trigger = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data() {
        requests.put(client, Buffer.from("a request"))
        time = 2000
        pool.sweep()
        pool.sweep()
      },
    },
  })
  const finger = await Bun.connect({
    hostname: "127.0.0.1",
    port: trigger.port,
    socket: { data: () => undefined },
  })
  upstream.last.write("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n")
  finger.write("now")
  await until(() => asked !== undefined, "the request")
  expect(response(await asked!).status).toBe(200)
  expect([upstream.connections.length, pool.stats.open, pool.stats.idle]).toEqual([2, 1, 1])
  finger.terminate()
  trigger.stop(true)
})

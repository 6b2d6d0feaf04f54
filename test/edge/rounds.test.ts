import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { LANE, type TestDoor, throughBothDoors } from "../support/doors.ts"
import { afterBody, type Edge, type EdgeOptions, openEdge } from "../support/edge.ts"
import { openClient, type RawClient, type RawClientOptions } from "../support/raw_client.ts"
import type { RawScript } from "../support/raw_upstream.ts"
import { FIRST_PAIR } from "../support/server_pairs.ts"
import { openTls } from "../support/tls_client.ts"
import { until, untilStill } from "../support/until.ts"

setDefaultTimeout(30_000)

// What comes in at once is handled in one round, and what is written in it goes out together: whose is whose?

const HOST = "Host: a.example\r\n"
const ask = (path: string, fields = "") => `GET ${path} HTTP/1.1\r\n${HOST}${fields}\r\n`
const answer = (body: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`
const chunked = (...parts: string[]) =>
  `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${[...parts, ""]
    .map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
    .join("")}`

/** A body that no other path has, of so many bytes. */
const bodyOf = (path: string, bytes: number) => `${path}|`.repeat(Math.ceil(bytes / (path.length + 1)))
const pathOf = (head: string) => head.split(" ")[1]!
/** Answers `/…/N` with N bytes or a few more. */
const answersSized: RawScript = (connection, head) => {
  const path = pathOf(head)
  connection.write(answer(bodyOf(path, Number(path.split("/").at(-1)))))
}

const open: { close(): void }[] = []
afterEach(() => {
  for (const each of open.splice(0)) each.close()
})

function edgeFor(options: EdgeOptions): Edge {
  const edge = openEdge(options)
  open.push(edge)
  return edge
}

async function clientOf(edge: Edge, options?: RawClientOptions): Promise<RawClient> {
  const client = await openClient(edge.port, options)
  open.push({ close: () => client.reset() })
  return client
}

const TLS = {
  tls: FIRST_PAIR,
  config: { server: { tls: { cert: "not read here", key: "not read here" }, http2: false } },
}
const WAYS = [
  { way: "plain", secure: false },
  { way: "TLS", secure: true },
]
const over = (secure: boolean, door: TestDoor) => ({ door, ...(secure && TLS) })

/** Which of the answers are not the path's own. */
async function wrong(client: RawClient, paths: readonly string[]): Promise<unknown[]> {
  const answers = await client.responses(paths.length)
  const bad: unknown[] = []
  for (const [i, path] of paths.entries()) {
    const { status, body, complete } = answers[i] ?? {}
    if (status !== 200 || complete !== true || body !== bodyOf(path, Number(path.split("/").at(-1))))
      bad.push([path, status, complete, body?.slice(0, 40)])
  }
  return bad
}

describe("what is read together with the end of the connection comes before that", () => {
  const page = { routes: [{ path: "/page", respond: { body: "page" } }] }

  test("a request over TLS is answered", async () => {
    const edge = edgeFor({ tls: FIRST_PAIR, config: { ...page, ...TLS.config } })
    for (let turn = 0; turn < 5; turn++) {
      const client = await openTls(edge.port)
      client.socket.end(ask("/page"))
      await until(() => client.closed, "the end")
      expect(client.received).toEndWith("\r\n\r\npage")
    }
  })

  test("a request that is followed by a reset is a request, and logged", async () => {
    const edge = edgeFor({ config: page })
    for (let turn = 0; turn < 5; turn++) {
      const client = await clientOf(edge)
      client.send(ask("/page")).reset()
      await until(() => edge.served.finished() === turn + 1, "the request to be over")
    }
    expect(edge.served.inFlight()).toBe(0)
  })
})

throughBothDoors((door) => {
  for (const { way, secure } of WAYS) {
    test(`hundreds of clients at once each get their own answers, on connections that are kept (${way})`, async () => {
      const edge = edgeFor({
        ...over(secure, door),
        script: answersSized,
        service: { pool: { max_connections: 400, max_idle: 400 } },
      })
      const clients = await Promise.all(
        Array.from({ length: secure ? 60 : 300 }, () => clientOf(edge, { tls: secure })),
      )
      const paths = clients.map((_, i) => [`/${i}/a/10`, `/${i}/b/900`, `/${i}/c/${(i * 97) % 9000}`])
      for (let turn = 0; turn < 3; turn++) {
        for (const [i, client] of clients.entries()) client.send(ask(paths[i]![turn]!))
        await Promise.all(clients.map((client) => client.responses(turn + 1)))
      }
      const found = await Promise.all(clients.map((client, i) => wrong(client, paths[i]!)))
      expect(found.flat()).toEqual([])
    })
  }

  test("requests followed at once by a reset leave nothing under way, and harm nobody", async () => {
    const edge = edgeFor({ door, script: answersSized })
    const steady = await clientOf(edge)
    const paths: string[] = []
    for (let turn = 0; turn < 10; turn++) {
      const leaving = await Promise.all(Array.from({ length: 10 }, () => clientOf(edge)))
      paths.push(`/${turn}/500`)
      for (const client of leaving) client.send(ask("/gone/100").repeat(3))
      steady.send(ask(paths.at(-1)!))
      for (const client of leaving) client.reset()
      await steady.responses(turn + 1)
    }
    expect(await wrong(steady, paths)).toEqual([])
    await until(() => edge.served.inFlight() === 0, "no exchange under way")
  })

  test("a request that is answered here and followed at once by the end of the client's side gets its answer", async () => {
    const edge = edgeFor({ door, config: { routes: [{ path: "/page", respond: { body: "page" } }] } })
    for (let turn = 0; turn < 5; turn++) {
      const client = await clientOf(edge, { halfOpen: true })
      client.send(ask("/page")).finish()
      await client.ended()
      expect(client.parsed().map(({ status, body, complete }) => [status, body, complete])).toEqual([
        [200, "page", true],
      ])
    }
  })

  test("an answer that breaks off in the read that brought its head: what there was of it shows, and the end", async () => {
    const edge = edgeFor({
      door,
      script: (connection) => {
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart of it")
        setImmediate(() => setImmediate(() => connection.reset()))
      },
      service: { retry: { attempts: 1 } },
    })
    for (let turn = 0; turn < 10; turn++) {
      const client = await clientOf(edge)
      await client.send(ask("/x")).ended()
      const [found] = client.parsed()
      // Nothing was passed on yet, or it shows that it is broken.
      if (found !== undefined && found.status !== 502)
        expect([found.status, "part of it".startsWith(found.body), found.complete]).toEqual([
          200,
          true,
          false,
        ])
    }
  })

  test("the service's end with the last bytes of every answer costs no client anything", async () => {
    const edge = edgeFor({
      door,
      script: (connection, head) => {
        const body = bodyOf(pathOf(head), 3000)
        const kind = Number(pathOf(head).split("/")[1]) % 3
        if (kind === 0) connection.write(answer(body)).end()
        else if (kind === 1) connection.write(chunked(body.slice(0, 10), body.slice(10))).end()
        else connection.write(`HTTP/1.0 200 OK\r\n\r\n${body}`).end()
      },
      service: { pool: { max_connections: 100 } },
    })
    const clients = await Promise.all(Array.from({ length: 60 }, () => clientOf(edge)))
    const paths = clients.map((_, i) => [`/${i}/3000`])
    for (const [i, client] of clients.entries()) client.send(ask(paths[i]![0]!))
    const found = await Promise.all(clients.map((client, i) => wrong(client, paths[i]!)))
    expect(found.flat()).toEqual([])
  })

  test("[F-32] answers that nobody asked for reach nobody", async () => {
    const edge = edgeFor({
      door,
      script: (connection, head) => {
        connection.write(answer(bodyOf(pathOf(head), 50)) + answer("unasked"))
        setImmediate(() => connection.closed || connection.write(answer("unasked too")))
      },
      service: { pool: { max_connections: 4 } },
    })
    const clients = await Promise.all(Array.from({ length: 20 }, () => clientOf(edge)))
    const paths = clients.map((_, i) => Array.from({ length: 10 }, (_, k) => `/${i}/${k}/50`))
    await Promise.all(
      clients.map(async (client, i) => {
        for (const [k, path] of paths[i]!.entries()) await client.send(ask(path)).responses(k + 1)
      }),
    )
    const all = clients.map((client) => client.received).join("")
    expect(all).not.toContain("unasked")
    const found = await Promise.all(clients.map((client, i) => wrong(client, paths[i]!)))
    expect(found.flat()).toEqual([])
  })

  test("chunked uploads of many clients to a service that reads slowly arrive as they were sent", async () => {
    const edge = edgeFor({
      door,
      script: afterBody(answer("done")),
      service: { pool: { max_connections: 50 } },
    })
    const clients = await Promise.all(Array.from({ length: 20 }, () => clientOf(edge)))
    const bodies = clients.map((_, i) => bodyOf(`/${i}`, 400_000))
    for (const [i, client] of clients.entries()) {
      client.send(`POST /${i} HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`)
      const body = bodies[i]!
      for (let at = 0; at < body.length; at += 7001) {
        const part = body.slice(at, at + 7001)
        client.send(`${part.length.toString(16)}\r\n${part}\r\n`)
      }
      client.send("0\r\n\r\n")
    }
    await until(() => edge.upstream.connections.length === 20, "the uploads to begin")
    const slow = [...edge.upstream.connections]
    for (const connection of slow) connection.pause()
    const other = await clientOf(edge)
    other.send(`POST /other HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\nhi`)
    expect((await other.response()).body).toBe("done")
    for (const connection of slow) connection.resume()
    for (const client of clients) expect((await client.response()).body).toBe("done")
    const received = new Map(edge.received().map(({ line, body }) => [line.split(" ")[1]!, body]))
    expect(bodies.filter((body, i) => received.get(`/${i}`) !== body)).toEqual([])
  })

  test("a graceful end while answers wait to go out: every client gets its own whole", async () => {
    const waiting: (() => void)[] = []
    const edge = edgeFor({
      door,
      script: (connection, head) => {
        waiting.push(() => connection.write(answer(bodyOf(pathOf(head), 40_000))))
      },
      service: { pool: { max_connections: 100 } },
    })
    const clients = await Promise.all(Array.from({ length: 40 }, () => clientOf(edge)))
    const paths = clients.map((_, i) => [`/${i}/40000`])
    for (const [i, client] of clients.entries()) client.send(ask(paths[i]![0]!))
    await until(() => waiting.length === 40, "the requests at the service")
    for (const write of waiting) write()
    const closed = edge.served.door.close()
    const found = await Promise.all(clients.map((client, i) => wrong(client, paths[i]!)))
    expect(found.flat()).toEqual([])
    for (const client of clients) client.end()
    await closed
  })
})

// The runtime's server does not answer what is pipelined.
describe("requests sent ahead of their answers", () => {
  for (const { way, secure } of WAYS) {
    test(`clients that ask on and read nothing get every answer in order once they do (${way})`, async () => {
      const edge = edgeFor({ ...over(secure, LANE), script: answersSized })
      const clients = await Promise.all(Array.from({ length: 4 }, () => clientOf(edge, { tls: secure })))
      const paths = clients.map((_, i) => Array.from({ length: 120 }, (_, k) => `/${i}/${k}/60000`))
      for (const [i, client] of clients.entries()) {
        client.pause()
        client.send(paths[i]!.map((path) => ask(path)).join(""))
      }
      await untilStill(edge.served.finished, "the gateway to be able to send no more to any of them")
      expect(edge.served.finished()).toBeLessThan(4 * 120)
      for (const client of clients) client.resume()
      await until(() => clients.every((each) => each.bytesReceived > 120 * 60_000), "the answers")
      const found = await Promise.all(clients.map((client, i) => wrong(client, paths[i]!)))
      expect(found.flat()).toEqual([])
    })
  }

  test("pipelined requests of which the last says close are answered in order, and then comes the end", async () => {
    const edge = edgeFor({ script: answersSized })
    const paths = Array.from({ length: 30 }, (_, i) => `/${i}/${i * 300}`)
    const client = await clientOf(edge)
    client.send(
      paths
        .slice(0, -1)
        .map((path) => ask(path))
        .join("") + ask(paths.at(-1)!, "Connection: close\r\n"),
    )
    client.send(ask("/never/1"))
    await client.ended()
    expect(await wrong(client, paths)).toEqual([])
    expect(client.parsed()).toHaveLength(30)
    expect(edge.received()).toHaveLength(30)
  })

  test("garbage behind a request does not cost it its answer", async () => {
    const edge = edgeFor({ script: answersSized })
    const client = await clientOf(edge)
    client.send(`${ask("/a/100")}\x16\x03\x01 no request\r\n\r\n`)
    await client.ended()
    expect(client.received).toStartWith("HTTP/1.1 200")
    expect(client.received).toContain(bodyOf("/a/100", 100))
    expect(edge.received()).toHaveLength(1)
  })

  test("an upgrade pipelined behind a large answer that the client does not read yet comes after all of it", async () => {
    const edge = edgeFor({ script: answersSized })
    const client = await clientOf(edge)
    client.pause()
    // A path in another script: the lane hands such a connection over.
    const path = "/large/8000000"
    client.send(`${ask(path)}GET /\xc3\xa9/10 HTTP/1.1\r\n${HOST}\r\n`)
    await until(() => edge.received().length === 1, "the request at the service")
    const other = await clientOf(edge)
    other.send(ask("/other/10"))
    expect((await other.response()).body).toBe(bodyOf("/other/10", 10))
    client.resume()
    const answers = await client.responses(2)
    expect(answers[0]!.body === bodyOf(path, 8_000_000)).toBe(true)
    expect(answers.map(({ status, complete }) => [status, complete])).toEqual([
      [200, true],
      [200, true],
    ])
  })

  test("leave to send a body comes behind the answer before it", async () => {
    const edge = edgeFor({ script: afterBody(answer("done")) })
    const client = await clientOf(edge)
    client.send(`${ask("/a")}POST /b HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`)
    await client.seen("100 Continue")
    client.send("abc")
    const answers = await client.responses(3)
    expect(answers.map(({ status, body }) => [status, body])).toEqual([
      [200, "done"],
      [100, ""],
      [200, "done"],
    ])
  })

  test("hints and the answer that came with them in one read go out in order", async () => {
    const hint = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
    const edge = edgeFor({
      script: (connection, head) => connection.write(hint + hint + answer(bodyOf(pathOf(head), 100))),
    })
    const client = await clientOf(edge)
    client.send(["/a/100", "/b/100", "/c/100"].map((path) => ask(path)).join(""))
    await client.seen(bodyOf("/c/100", 100))
    expect(client.parsed().map(({ status }) => status)).toEqual(Array(3).fill([103, 103, 200]).flat())
  })
})

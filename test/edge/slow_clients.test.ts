import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { throughBothDoors } from "../support/doors.ts"
import { afterBody, type Edge, type EdgeOptions, openEdge } from "../support/edge.ts"
import { openClient, talk } from "../support/raw_client.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(40_000)

const HOST = "Host: a.example\r\n"
const GET = `GET /x HTTP/1.1\r\n${HOST}\r\n`
const MB = 1024 * 1024
const open: Edge[] = []
afterAll(() => {
  for (const edge of open) edge.close()
})
const head = (fields: string) => `POST /x HTTP/1.1\r\n${HOST}${fields}\r\n`
const idle = (edge: Edge) => until(() => edge.served.inFlight() === 0, "no exchange under way")
const code = (body: string) => (JSON.parse(body) as { error: { code: string } }).error.code

// All at once: most of them only wait.
describe.concurrent("slow", () => {
  throughBothDoors((door) => {
    function edgeWith(options: EdgeOptions): Edge {
      const edge = openEdge({ ...options, door })
      open.push(edge)
      return edge
    }
    // The runtime knows no idle timeout below 8 s, and counts it in steps of 4 s.
    const keepAlive = door.lane ? "1s" : "8s"
    const beyondMs = door.lane ? 2500 : 13_000

    test("[F-19] an honest slow upload outlives the idle timeout and completes", async () => {
      const edge = edgeWith({
        script: afterBody(),
        config: { server: { keep_alive_timeout: keepAlive, body_timeout: "3s" } },
      })
      const client = await openClient(edge.port)
      const kilobytes = 13
      client.send(head("Transfer-Encoding: chunked\r\n"))
      for (let i = 0; i < kilobytes; i++) {
        client.send(`400\r\n${"x".repeat(1024)}\r\n`)
        await Bun.sleep(beyondMs / kilobytes)
      }
      const response = await client.send("0\r\n\r\n").response()
      expect(response.status).toBe(200)
      expect(edge.received()[0]!.body).toHaveLength(kilobytes * 1024)
      client.reset()
    })

    test("[F-19] so does a short one with a declared length", async () => {
      const edge = edgeWith({ script: afterBody(), config: { server: { keep_alive_timeout: keepAlive } } })
      const client = await openClient(edge.port)
      client.send(head("Content-Length: 13\r\n"))
      for (let i = 0; i < 13; i++) {
        client.send("x")
        await Bun.sleep(beyondMs / 13)
      }
      expect((await client.response()).status).toBe(200)
      client.reset()
    })

    test("[F-30 C-1.8] a service that thinks for longer than the idle timeout is waited for", async () => {
      const edge = edgeWith({
        script: (connection) =>
          void setTimeout(
            () => connection.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate"),
            beyondMs,
          ),
        config: { server: { keep_alive_timeout: keepAlive } },
      })
      const [response] = await (await openClient(edge.port)).send(GET).responses(1, 20_000)
      expect(response!.body).toBe("late")
    })

    test("[F-18] heads that come byte by byte and connections that say nothing are closed in time", async () => {
      const edge = edgeWith({ config: { server: { keep_alive_timeout: keepAlive, header_timeout: "1s" } } })
      const silent = await openClient(edge.port)
      const dripping = await openClient(edge.port)
      const kept = await openClient(edge.port)
      const later = await openClient(edge.port)
      await kept.send(GET).response()
      await later.send(GET).response()
      for (const client of [dripping, later]) client.send("GET /x HTTP/1.1\r\nHost: a\r\nX: ")
      const drip = setInterval(() => {
        dripping.send("x")
        later.send("x")
      }, 200)
      const honest = setInterval(() => void talk(edge.port, GET), 500)
      await Promise.all([silent, dripping, kept, later].map((client) => client.ended(20_000)))
      clearInterval(drip)
      clearInterval(honest)
      expect(dripping.parsed().filter((each) => each.status < 400)).toEqual([])
      expect(later.parsed().filter((each) => each.status < 400)).toHaveLength(1)
      expect((await talk(edge.port, GET))[0]!.status).toBe(200)
      await idle(edge)
    })

    test("[F-18] a client that reads nothing of a streamed answer is cut off, and so is the service's end", async () => {
      const edge = edgeWith({
        script: (connection) => {
          connection.write(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n",
          )
          for (let i = 0; i < 32; i++) connection.write(`100000\r\n${"x".repeat(MB)}\r\n`)
        },
        config: { server: { body_timeout: "500ms" } },
      })
      const client = await openClient(edge.port, { countOnly: true })
      client.pause()
      client.send(GET)
      await until(
        () => edge.upstream.connections[0]?.closed === true,
        "the service's end to be closed",
        15_000,
      )
      await idle(edge)
      expect(edge.served.access[0]!.status).toBe(499)
      client.resume()
      await client.ended()
      expect(client.bytesReceived).toBeLessThan(32 * MB)
    })

    if (!door.lane) return

    test("[F-18] a head that comes in pieces is refused at its first broken line, not when its time is up", async () => {
      const edge = edgeWith({ config: { server: { header_timeout: "60s" } } })
      const client = await openClient(edge.port)
      client.send("GET /x HTTP/1.1\r\nHo")
      await Bun.sleep(20)
      client.send("st : a.example\r\nX-A")
      const response = await client.response()
      expect([response.status, code(response.body)]).toEqual([400, "INVALID_REQUEST"])
      await client.ended()
    })

    test("[F-18] a body below the minimum rate gets 408 after its first ten seconds, however short it is", async () => {
      const edge = edgeWith({ script: afterBody(), config: { server: { min_body_rate: "128B" } } })
      const client = await openClient(edge.port)
      client.send(head("Content-Length: 100\r\n"))
      const drip = setInterval(() => client.send("x"), 500)
      const [response] = await client.responses(1, 20_000)
      clearInterval(drip)
      expect([response!.status, code(response!.body)]).toEqual([408, "REQUEST_TIMEOUT"])
      await client.ended()
      await idle(edge)
    })

    test("[F-18] one above it may take as long as it likes", async () => {
      const edge = edgeWith({ script: afterBody(), config: { server: { min_body_rate: "128B" } } })
      const client = await openClient(edge.port)
      client.send(head("Content-Length: 2400\r\n"))
      for (let i = 0; i < 12; i++) {
        client.send("x".repeat(200))
        await Bun.sleep(1000)
      }
      expect((await client.response()).status).toBe(200)
      client.reset()
    })

    test("[F-18] who asks on and on and reads no answer is cut off, and holds a bounded number of them", async () => {
      const edge = edgeWith({
        script: (connection) =>
          connection.write(`HTTP/1.1 200 OK\r\ncontent-length: ${MB}\r\n\r\n${"x".repeat(MB)}`),
        config: { server: { body_timeout: "1s" } },
      })
      const client = await openClient(edge.port, { countOnly: true })
      client.pause()
      client.send(GET.repeat(200))
      await until(
        () => edge.upstream.connections.length > 0 && edge.upstream.connections.every((each) => each.closed),
        "the service's end to be closed",
      )
      await idle(edge)
      expect(edge.received().length).toBeLessThan(20)
      client.resume()
      await client.ended()
      expect(client.bytesReceived).toBeLessThan(20 * MB)
    })

    test("[F-18] the rest of a request that was answered early must come in time", async () => {
      const edge = edgeWith({ config: { server: { body_timeout: "500ms" } } })
      const client = await openClient(edge.port)
      client.send(`${head("Content-Length: 100000\r\n")}x`)
      expect((await client.response()).status).toBe(200)
      await client.ended()
      await idle(edge)
    })

    test("[F-18] a client that does not close its side after the last answer is cut off", async () => {
      const edge = edgeWith({})
      const client = await openClient(edge.port, { halfOpen: true })
      client.send("no request\r\n\r\n")
      expect((await client.response()).status).toBe(400)
      await client.ended(20_000)
    })
  })
})

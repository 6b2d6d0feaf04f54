import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { throughBothDoors } from "../support/doors.ts"
import { type Edge, openEdge } from "../support/edge.ts"
import { openClient, type RawClient } from "../support/raw_client.ts"
import type { RawConnection } from "../support/raw_upstream.ts"
import { Dice } from "../support/request_streams.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)

// Every order in which a head, a body and the end of the service's connection may come in.

const ask = (path = "/x", method = "GET") => `${method} ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`
const BIG = "0123456789abcdef".repeat(512 * 1024)

interface Framing {
  readonly head: string
  readonly body: (text: string) => string
  /** What completes the message; `undefined`: the end of the connection does. */
  readonly last: string | undefined
}

const OK = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
const UNTIL_CLOSE: Record<string, Framing> = {
  "HTTP/1.0": { head: "HTTP/1.0 200 OK\r\n\r\n", body: (text) => text, last: undefined },
  "no length": { head: `${OK}\r\n`, body: (text) => text, last: undefined },
}
const CHUNKED: Framing = {
  head: `${OK}transfer-encoding: chunked\r\n\r\n`,
  body: (text) => (text === "" ? "" : `${text.length.toString(16)}\r\n${text}\r\n`),
  last: "0\r\n\r\n",
}
const length = (bytes: number): Framing => ({
  head: `${OK}content-length: ${bytes}\r\n\r\n`,
  body: (text) => text,
  last: "",
})

throughBothDoors((door) => {
  const open: Edge[] = []
  afterAll(() => {
    for (const edge of open) edge.close()
  })
  function edgeFor(script: (connection: RawConnection, head: string) => unknown): Edge {
    const edge = openEdge({ door, script, service: { retry: { attempts: 1 } } })
    open.push(edge)
    return edge
  }

  /** Asks, has the service do its part step by step, and tells what the client got in the end. */
  async function answerOf(steps: (upstream: RawConnection, client: RawClient) => unknown) {
    const edge = edgeFor(() => undefined)
    const client = await openClient(edge.port)
    client.send(ask())
    await until(() => edge.upstream.connections[0]?.received.includes("\r\n\r\n") ?? false, "a request")
    await steps(edge.upstream.last, client)
    const answer = await client.response()
    await until(() => edge.served.inFlight() === 0, "no exchange under way")
    const logged = edge.served.access[0]!
    client.reset()
    return { status: answer.status, body: answer.body, complete: answer.complete, bytesOut: logged.bytes_out }
  }
  const whole = (body: string) => ({ status: 200, body, complete: true, bytesOut: body.length })
  /** The runtime ends the head together with the first byte of the body. */
  const headSeen = (client: RawClient) => client.seen(door.lane ? "\r\n\r\n" : "200 OK\r\n")

  for (const [name, { head, body }] of Object.entries(UNTIL_CLOSE)) {
    describe(`an answer that ends with its connection (${name})`, () => {
      test("head, body and end at once", async () => {
        expect(await answerOf((upstream) => upstream.write(head + body("old")).end())).toEqual(whole("old"))
      })

      test("a head, then body and end at once", async () => {
        const found = await answerOf(async (upstream, client) => {
          upstream.write(head)
          await headSeen(client)
          upstream.write(body("old")).end()
        })
        expect(found).toEqual(whole("old"))
      })

      test("head and body, then the end", async () => {
        const found = await answerOf(async (upstream, client) => {
          upstream.write(head + body("old"))
          await client.seen("old")
          upstream.end()
        })
        expect(found).toEqual(whole("old"))
      })

      test("a head, then the end: the body is empty", async () => {
        const found = await answerOf(async (upstream, client) => {
          upstream.write(head)
          await headSeen(client)
          upstream.end()
        })
        expect(found).toEqual(whole(""))
      })

      test("a head in pieces, the last of them with body and end", async () => {
        const found = await answerOf(async (upstream) => {
          await upstream.writeParts([head.slice(0, 9), head.slice(9, -2)])
          upstream.write(head.slice(-2) + body("old")).end()
        })
        expect(found).toEqual(whole("old"))
      })

      test("an end long before a slow client has read the body", async () => {
        const found = await answerOf(async (upstream, client) => {
          client.pause()
          upstream.write(head + body(BIG)).end()
          await Bun.sleep(20)
          client.resume()
        })
        expect(found).toEqual(whole(BIG))
      })

      test("[F-31] a reset within the body shows", async () => {
        const found = await answerOf(async (upstream, client) => {
          upstream.write(head + body("old"))
          await client.seen("old")
          upstream.reset()
        })
        expect(found).toMatchObject({ status: 200, complete: false })
      })
    })
  }

  for (const [name, framing] of Object.entries({ chunked: CHUNKED, "content-length": length(6) })) {
    const { head, body, last } = framing
    describe(`an answer that tells its own end (${name})`, () => {
      test("all of it and the connection's end at once", async () => {
        const found = await answerOf((upstream) =>
          upstream.write(head + body("one") + body("two") + last).end(),
        )
        expect(found).toEqual(whole("onetwo"))
      })

      test("a head, then the rest and the connection's end at once", async () => {
        const found = await answerOf(async (upstream, client) => {
          upstream.write(head)
          await headSeen(client)
          upstream.write(body("one") + body("two") + last).end()
        })
        expect(found).toEqual(whole("onetwo"))
      })

      test("[F-31] the connection's end within the body, at once with all there is", async () => {
        // Nothing of it was passed on yet, or it shows that it is broken.
        const found = await answerOf((upstream) => upstream.write(head + body("one")).end())
        expect(found.status === 502 || !found.complete).toBe(true)
      })

      test("[F-31] a head, then a part of the body and the connection's end at once", async () => {
        const found = await answerOf(async (upstream, client) => {
          upstream.write(head)
          await headSeen(client)
          upstream.write(body("one")).end()
        })
        expect(found).toMatchObject({ status: 200, complete: false })
      })
    })
  }

  test("[F-29] a head that comes in pieces is a 502 at its first broken line, without waiting for its end", async () => {
    const found = await answerOf((upstream) => upstream.writeParts(["HTTP/1.1 200 OK\r\nX-", "A : 1\r\nX-B"]))
    expect(found).toMatchObject({ status: 502, complete: true })
  })

  test("[F-31] the end of a body cut short, long before a slow client has read it, shows", async () => {
    const { head, body } = length(BIG.length + 1)
    const found = await answerOf(async (upstream, client) => {
      client.pause()
      upstream.write(head + body(BIG)).end()
      await Bun.sleep(20)
      client.resume()
    })
    expect(found.complete).toBe(false)
  })

  test("[F-35] services that close kept connections at any moment never mix answers up", async () => {
    const dice = new Dice(7)
    const posted = new Map<string, number>()
    const edge = edgeFor(async (connection, head) => {
      const path = head.split(" ")[1]!
      if (head.startsWith("POST")) posted.set(path, (posted.get(path) ?? 0) + 1)
      const answer = `HTTP/1.1 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`
      const kind = dice.next(8)
      // Unanswered and closed, as by a service whose patience ends when a request is on its way.
      if (kind === 0 && connection.received.length > head.length) connection.end()
      else connection.write(answer)
      if (kind === 1) connection.end()
      else if (kind === 2) setImmediate(() => connection.end())
      else if (kind === 3) setImmediate(() => connection.reset())
    })
    let own = 0
    const others: unknown[] = []
    async function visit(visitor: number) {
      const client = await openClient(edge.port)
      for (let turn = 0; turn < 60; turn++) {
        const path = `/${visitor}/${turn}`
        const method = turn % 3 === 0 ? "POST" : "GET"
        client.send(ask(path, method).replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"))
        const answers = await client.responses(turn + 1)
        const { status, body } = answers[turn]!
        if (status === 200 && body === path) own++
        else if (status !== 502) others.push([path, status, body])
      }
      client.reset()
    }
    await Promise.all(Array.from({ length: 8 }, (_, visitor) => visit(visitor)))
    expect(others).toEqual([])
    expect([...posted.values()].every((times) => times === 1)).toBe(true)
    expect(own).toBeGreaterThan(240)
  })
})

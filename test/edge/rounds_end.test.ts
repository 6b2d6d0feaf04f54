import { expect, test } from "bun:test"
import { throughBothDoors } from "../support/doors.ts"
import { openEdge } from "../support/edge.ts"
import { openClient } from "../support/raw_client.ts"
import { until } from "../support/until.ts"

throughBothDoors((door) => {
  test("requests that were read in the turn in which a graceful end begins are answered", async () => {
    const edge = openEdge({ door })
    const clients = await Promise.all(Array.from({ length: 5 }, () => openClient(edge.port)))
    // As kept connections have it: one request is over, and the next one comes.
    for (const client of clients) await client.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").response()
    let closed: Promise<void> | undefined
    // Read in the same turn of the loop, behind the requests, as the word from the main thread may be.
    const trigger = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data() {
          closed = edge.served.door.close()
        },
      },
    })
    const finger = await Bun.connect({
      hostname: "127.0.0.1",
      port: trigger.port,
      socket: { data: () => undefined },
    })
    const post = "POST /y HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n"
    for (const client of clients) client.send(post)
    finger.write("now")
    await until(() => clients.every((each) => each.closed || each.parsed().length === 2), "the answers")
    expect(clients.map((client) => client.parsed().map(({ status, body }) => [status, body]))).toEqual(
      clients.map(() => [
        [200, "ok"],
        [200, "ok"],
      ]),
    )
    for (const client of clients) client.reset()
    await closed
    finger.terminate()
    trigger.stop(true)
    edge.close()
  })
})

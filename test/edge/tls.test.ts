import { afterEach, expect, test } from "bun:test"
import { throughBothDoors } from "../support/doors.ts"
import { afterBody, type Edge, openEdge } from "../support/edge.ts"
import { serialOf } from "../support/gateway_tls.ts"
import { startLoad } from "../support/load.ts"
import { openClient } from "../support/raw_client.ts"
import type { RawScript } from "../support/raw_upstream.ts"
import { FIRST_PAIR, SECOND_PAIR } from "../support/server_pairs.ts"

throughBothDoors((door) => {
  const open: Edge[] = []
  afterEach(() => {
    for (const edge of open.splice(0)) edge.close()
  })
  function edgeWithTls(script?: RawScript): Edge {
    const files = { cert: "not read here", key: "not read here" }
    const edge = openEdge({
      door,
      ...(script && { script }),
      tls: FIRST_PAIR,
      config: { server: { tls: files, http2: false } },
    })
    open.push(edge)
    return edge
  }

  test("TLS without client certificates: requests of one connection are answered, and told as https", async () => {
    const edge = edgeWithTls()
    const client = await openClient(edge.port, { tls: true })
    for (let i = 1; i <= 3; i++) await client.send("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n").responses(i)
    expect(client.parsed().map((each) => [each.status, each.body])).toEqual(Array(3).fill([200, "ok"]))
    expect(edge.received().map((each) => each.header("x-forwarded-proto"))).toEqual(Array(3).fill("https"))
    client.reset()
  })

  test("a body of megabytes passes both ways over TLS", async () => {
    const text = "0123456789abcdef".repeat(131_072)
    const edge = edgeWithTls(afterBody(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`))
    const client = await openClient(edge.port, { tls: true })
    client.send(`POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${text.length}\r\n\r\n${text}`)
    const response = await client.response()
    expect([edge.received()[0]!.body === text, response.body === text]).toEqual([true, true])
    client.reset()
  })

  test("a new certificate is shown to new connections, and no request is lost", async () => {
    const edge = edgeWithTls()
    const insecure = { tls: { rejectUnauthorized: false } } as RequestInit
    const load = startLoad(`https://127.0.0.1:${edge.port}/x`, 2, insecure)
    expect(await serialOf(edge.port)).toBe("01")
    edge.served.door.replaceTls(SECOND_PAIR)
    let serial = ""
    for (let i = 0; i < 200 && serial !== "02"; i++) serial = await serialOf(edge.port).catch(() => "reset")
    expect(serial).toBe("02")
    await load.stop()
    expect([load.failures, [...load.statuses.keys()]]).toEqual([[], [200]])
  })
})

import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { openFrontDoor } from "../../src/edge/front.ts"
import { now } from "../../src/lib/clock.ts"
import { countConnections } from "../../src/observe/connection_counts.ts"
import { createSeriesBuffer, Series } from "../../src/observe/series.ts"
import type { Arrival } from "../../src/upstream/exchange.ts"
import { exampleConfig } from "../support/config.ts"
import { LANE, throughBothDoors, throughDoor } from "../support/doors.ts"
import { makeGateway, type ServedGateway, serveGateway } from "../support/gateway.ts"
import { memoryLog } from "../support/memory_log.ts"
import { EXPIRED, NOT_YET_VALID, Pki } from "../support/pki.ts"
import { rssMb } from "../support/proc.ts"
import { openTls } from "../support/tls_client.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { startWsService } from "../support/ws_service.ts"

setDefaultTimeout(15_000)

const pki = new Pki()
const authority = pki.authority("authority")
const server = pki.leaf("server", { by: authority, names: "DNS:localhost,IP:127.0.0.1" })
const billing = pki.leaf("billing", { by: authority, names: "URI:spiffe://acme/billing" })
const reports = pki.leaf("reports", { by: authority })
const open: { close(): void }[] = []
afterEach(() => {
  for (const each of open.splice(0)) each.close()
})
afterAll(() => pki.remove())

const MB = 1_048_576
const GET = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
const tls = { cert: server.cert, key: server.key, ca: authority.cert }

interface Served extends ServedGateway {
  readonly arrivals: Arrival[]
}

/** A gateway that asks for certificates, before a service that does what `fetch` says. */
function serve(
  fetch: (request: Request) => Response | Promise<Response> = () => new Response("ok"),
  { door = LANE, clientCert = "required", server: more = {}, instances = [] as string[] } = {},
): Served {
  const service = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    idleTimeout: 0,
    fetch,
    maxRequestBodySize: 1024 * MB,
  })
  const files = { cert: server.certFile, key: server.keyFile, client_ca: authority.certFile }
  const served = serveGateway(
    throughDoor(door, {
      server: { tls: { ...files, client_cert: clientCert }, max_body: "100MB", ...more },
      services: { s: { instances: instances.length > 0 ? instances : [service.url.origin] } },
      defaults: { access_log: {} },
      routes: [
        { path: "/ws", service: "s", websocket: "relay" },
        { path: "/*", service: "s" },
      ],
    }),
    { tls },
  )
  open.push({
    close() {
      served.close()
      void service.stop(true)
    },
  })
  const arrivals: Arrival[] = []
  const begin = served.gateway.begin.bind(served.gateway)
  served.gateway.begin = (arrival) => {
    arrivals.push(arrival)
    return begin(arrival)
  }
  return Object.assign(served, { arrivals })
}

describe("who comes in", () => {
  test("[C-2.8] the exchange knows the client's address, its scheme and its verified certificate", async () => {
    const { port, arrivals } = serve()
    const client = await openTls(port, billing, { localAddress: "127.0.0.1" })
    client.send(GET)
    await client.seen("ok")
    expect(arrivals[0]).toMatchObject({ peer: "127.0.0.1", scheme: "https" })
    expect(arrivals[0]!.certificate).toMatchObject({
      subject: "CN=billing",
      issuer: "CN=authority",
      uris: ["spiffe://acme/billing"],
    })
    client.close()
  })

  test("[C-2.8] requests on one connection share its certificate, other connections have their own", async () => {
    const { port, arrivals } = serve()
    const clients = [await openTls(port, billing), await openTls(port, reports)]
    for (let round = 1; round <= 3; round++) {
      for (const client of clients) {
        client.send(GET)
        await client.seen("ok", round)
      }
    }
    const subjects = arrivals.map(({ certificate }) => certificate?.subject)
    expect(subjects).toEqual(Array(3).fill(["CN=billing", "CN=reports"]).flat())
    for (const client of clients) client.close()
  })

  const other = pki.authority("other")
  const bad = {
    "without a certificate": undefined,
    "with one of another authority": pki.leaf("foreign", { by: other }),
    "with one it signed itself": pki.leaf("self", { subject: "/CN=authority" }),
    "with one that has expired": pki.leaf("expired", { by: authority, validity: EXPIRED }),
    "with one not yet valid": pki.leaf("early", { by: authority, validity: NOT_YET_VALID }),
    "with one for servers only": pki.leaf("servers", { by: authority, usage: "serverAuth" }),
  }
  for (const [what, identity] of Object.entries(bad)) {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"]) {
      test(`[F-64] a client ${what} is cut off, and nothing of it is a request (${maxVersion})`, async () => {
        const { port, arrivals } = serve()
        const client = await openTls(port, identity, { maxVersion })
        client.send(GET)
        await until(() => client.closed, "the end of the connection")
        expect(client.received).toBe("")
        expect(arrivals).toEqual([])
      })
    }
  }

  test("[F-64] where certificates are optional, one without comes in, and one with a bad one does not", async () => {
    const { port, arrivals } = serve(undefined, { clientCert: "optional" })
    for (const [what, identity] of Object.entries(bad)) {
      const client = await openTls(port, identity)
      client.send(GET)
      if (identity === undefined) await client.seen("ok")
      else await until(() => client.closed, `the end of the client ${what}`)
      client.close()
    }
    const client = await openTls(port, billing)
    client.send(GET)
    await client.seen("ok")
    client.close()
    expect(arrivals.map(({ certificate }) => certificate?.subject)).toEqual([undefined, "CN=billing"])
  })

  test("[C-2.8] a chain over an intermediate authority that the client sends along is followed", async () => {
    const intermediate = pki.leaf("intermediate", { by: authority, authority: true })
    const leaf = pki.leaf("deep", { by: intermediate })
    const { port, arrivals } = serve()
    const client = await openTls(port, { ...leaf, cert: leaf.cert + intermediate.cert })
    client.send(GET)
    await client.seen("ok")
    expect(arrivals[0]!.certificate).toMatchObject({ subject: "CN=deep", issuer: "CN=intermediate" })
    client.close()
  })

  test("[F-64] a certificate that may not sign others signs none here", async () => {
    const leaf = pki.leaf("forged", { by: billing })
    const { port, arrivals } = serve()
    const client = await openTls(port, { ...leaf, cert: leaf.cert + billing.cert })
    client.send(GET)
    await until(() => client.closed, "the end of the connection")
    expect(arrivals).toEqual([])
  })

  test("a resumed session keeps its certificate", async () => {
    const { port, arrivals } = serve()
    const args = ["-sS", "--cert", billing.certFile, "--key", billing.keyFile, "-k", "--tls-max", "1.2"]
    const urls = [1, 2, 3].flatMap((i) => [`https://127.0.0.1:${port}/${i}`, "-H", "Connection: close"])
    const curl = Bun.spawn(["curl", ...args, ...urls], { stderr: "pipe" })
    expect(await new Response(curl.stdout).text()).toBe("okokok")
    expect(arrivals.map(({ certificate }) => certificate?.subject)).toEqual(Array(3).fill("CN=billing"))
  })

  test("min_version holds here too", async () => {
    const { port } = serve(undefined, {
      server: {
        tls: {
          cert: server.certFile,
          key: server.keyFile,
          client_ca: authority.certFile,
          min_version: "1.3",
        },
      },
    })
    const old = await openTls(port, billing, { maxVersion: "TLSv1.2" })
    await until(() => old.closed, "the refusal of TLS 1.2")
    const client = await openTls(port, billing)
    expect(client.socket.getProtocol()).toBe("TLSv1.3")
    client.close()
  })

  test("[F-18] a handshake that does not come to its end is cut off", async () => {
    const file = {
      server: { tls: { cert: server.certFile, key: server.keyFile, client_ca: authority.certFile } },
    }
    const made = makeGateway(file)
    const config = exampleConfig(file).server
    const door = openFrontDoor({
      counts: countConnections(new Series(createSeriesBuffer(16))),
      ...{ gateway: made.gateway, server: config, tls, hostname: "127.0.0.1", port: 0, clock: now },
      ...{ wallClock: Date.now, log: memoryLog(), handshakeMs: 100 },
    })
    let closed = false
    const silent = await Bun.connect({
      hostname: "127.0.0.1",
      port: door.port,
      socket: {
        data: () => undefined,
        close: () => {
          closed = true
        },
      },
    })
    silent.write("\x16\x03\x01")
    await until(() => closed, "the end of the silent client")
    door.terminate()
  })
})

throughBothDoors((door) => {
  const serveHere: typeof serve = (fetch, options) => serve(fetch, { ...options, door })

  const noise = crypto.getRandomValues(new Uint8Array(65_536))
  const body = Buffer.alloc(50 * MB, noise)
  const digest = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex")
  const client = { tls: { cert: billing.cert, key: billing.key, ca: authority.cert } }

  test("50 MB up and down arrive as they were", async () => {
    const { url } = serveHere(async (request) => new Response(await request.bytes()))
    const response = await fetch(url, { method: "POST", body, ...client })
    expect(digest(await response.bytes())).toBe(digest(body))
  })

  test("a service that does not read stops the client's upload, within bounded memory", async () => {
    const release = Promise.withResolvers<void>()
    let total = 0
    const { port } = serveHere(async (request) => {
      await release.promise
      for await (const chunk of request.body!) total += chunk.length
      return new Response(String(total))
    })
    const raw = await openTls(port, billing)
    const before = rssMb(process.pid)
    raw.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`)
    let sent = 0
    let stuck = 0
    // Sends on until a second long nothing is taken any more.
    while (sent < body.length && stuck < 50) {
      if (raw.socket.writableLength > 0) {
        stuck++
        await Bun.sleep(20)
        continue
      }
      stuck = 0
      raw.send(body.subarray(sent, sent + MB))
      sent += MB
    }
    expect(sent).toBeLessThan(40 * MB)
    expect(rssMb(process.pid) - before).toBeLessThan(60)
    release.resolve()
    while (sent < body.length) {
      await until(() => raw.socket.writableLength === 0, "the upload to go on")
      raw.send(body.subarray(sent, sent + MB))
      sent += MB
    }
    await raw.seen(String(body.length))
    expect(total).toBe(body.length)
    raw.close()
  })

  test("a client that does not read stops the service's answer", async () => {
    let pulled = 0
    const { port } = serveHere(
      () =>
        new Response(
          new ReadableStream({
            pull(controller) {
              if (pulled >= 100) controller.close()
              else {
                pulled++
                controller.enqueue(body.subarray(0, MB))
              }
            },
          }),
        ),
    )
    const raw = await openTls(port, billing)
    raw.socket.pause()
    raw.send(GET)
    let last = -1
    await until(() => pulled > 0, "the answer's start")
    while (last !== pulled) {
      last = pulled
      await Bun.sleep(200)
    }
    expect(pulled).toBeLessThan(60)
    raw.socket.resume()
    await until(() => raw.received.length > 100 * MB, "the whole answer", 10_000)
    raw.close()
  })

  test("[F-18] a client that takes nothing of its answer is given up, as at any door", async () => {
    const answer = () =>
      new ReadableStream({ pull: (controller) => controller.enqueue(body.subarray(0, MB)) })
    const served = serveHere(() => new Response(answer()), { server: { body_timeout: "1s" } })
    const raw = await openTls(served.port, billing)
    raw.socket.pause()
    raw.send(GET)
    await until(() => served.inFlight() === 1, "the request")
    await until(() => served.inFlight() === 0, "its end", 10_000)
    raw.close()
  })

  test("[F-30] a client that leaves cancels the request at the service", async () => {
    let aborted = false
    let asked = false
    const served = serveHere((request) => {
      asked = true
      request.signal.addEventListener("abort", () => {
        aborted = true
      })
      return new Promise<Response>(() => undefined)
    })
    const raw = await openTls(served.port, billing)
    raw.send(GET)
    await until(() => asked, "the request at the service")
    raw.close()
    await until(() => aborted && served.inFlight() === 0, "the cancellation")
  })

  test("[F-31] a broken answer is broken for the client too", async () => {
    const raw = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket) {
          socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
          socket.end()
        },
      },
    })
    const { url } = serveHere(undefined, { instances: [`http://127.0.0.1:${raw.port}`] })
    const answer = fetch(url, client).then((response) => response.text())
    await expect(answer).rejects.toThrow()
    raw.stop(true)
  })

  test("a WebSocket is relayed, with messages both ways and its close code", async () => {
    const service = startWsService()
    const { port, arrivals } = serveHere(undefined, { instances: [`http://127.0.0.1:${service.port}`] })
    const ws = await openWs(`wss://127.0.0.1:${port}/ws`, client as never)
    ws.socket.send("hello")
    await until(() => ws.messages.length > 0, "the echo")
    expect(ws.messages[0]).toBe("hello")
    expect(arrivals[0]!.certificate?.subject).toBe("CN=billing")
    ws.socket.send("close:4000:why")
    await until(() => ws.closed !== undefined, "the close")
    expect(ws.closed).toEqual({ code: 4000, reason: "why" })
    service.stop()
  })

  test("closing the door lets the request in flight finish and takes no new client", async () => {
    const release = Promise.withResolvers<void>()
    let asked = false
    const { port, door } = serveHere(async (request) => {
      if (request.url.endsWith("/idle")) return new Response("ok")
      asked = true
      await release.promise
      return new Response("done")
    })
    const busy = await openTls(port, billing)
    const fresh = await openTls(port, billing)
    const idle = await openTls(port, billing)
    idle.send("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n")
    await idle.seen("ok")
    busy.send(GET)
    await until(() => asked, "the request at the service")
    const closed = door.close()
    await until(() => idle.closed, "the end of the idle connection")
    const late = await openTls(port, billing)
    expect(late.closed).toBe(true)
    release.resolve()
    await busy.seen("done")
    await closed
    await until(() => fresh.closed, "the end of the connection that asked nothing")
    expect(busy.received).toEndWith("done")
    busy.close()
  })
})

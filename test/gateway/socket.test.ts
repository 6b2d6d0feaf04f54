import { afterEach, describe, expect, test } from "bun:test"
import { createServer, type Socket } from "node:net"
import { InstanceState } from "../../src/upstream/instance_state.ts"
import type { LookUp } from "../../src/upstream/resolved_address.ts"
import { serveGateway } from "../support/gateway.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { startWsService } from "../support/ws_service.ts"

const METADATA = "169.254.169.254"
const closing: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** A gateway before a WebSocket service at `app.test`, which the given lookup finds. */
function named(lookUp: LookUp, timeout = "5s") {
  const service = startWsService()
  const gateway = serveGateway(
    {
      services: { app: { instances: [`http://app.test:${service.port}`], timeout } },
      routes: [{ path: "/*", service: "app", websocket: "relay" }],
    },
    { lookUp },
  )
  closing.push(
    () => gateway.close(),
    () => service.stop(),
  )
  return { gateway, open: () => openWs(`ws://127.0.0.1:${gateway.port}/`) }
}

describe("[F-38] a WebSocket to a named instance", () => {
  test("goes to the address the gateway's own lookup found", async () => {
    // The system's resolver knows no app.test: it would fail if it were asked.
    const client = await named(async () => ["127.0.0.1"]).open()
    client.socket.send("hello")
    await until(() => client.messages.length === 1, "the echo")
    client.socket.close()
  })

  test("is refused when the name is a link-local address", async () => {
    const { gateway, open } = named(async () => [METADATA])
    expect((await open()).error).toContain("502")
    expect(gateway.log.map((each) => each.event)).toContain("instance.address_refused")
  })

  test("is refused at the route's timeout when the lookup hangs", async () => {
    const { open } = named(() => new Promise<readonly string[]>(() => {}), "100ms")
    expect((await open()).error).toContain("504")
  })
})

/** A gateway whose service has these instances; further services beside it. */
function relayTo(instances: readonly string[], service: object = {}, others: object = {}) {
  const gateway = serveGateway({
    services: { app: { balance: "round_robin", ...service, instances }, ...others },
    defaults: { access_log: {} },
    routes: [{ path: "/*", service: "app", websocket: "relay" }],
  })
  closing.push(() => gateway.close())
  return {
    gateway,
    open: (path = "/") => openWs(`ws://127.0.0.1:${gateway.port}${path}`),
    /** The last request's line in the access log, once there are this many. */
    async logged(count: number) {
      await until(() => gateway.access.length >= count, `${count} lines`)
      return gateway.access[count - 1]!
    },
  }
}

function echo() {
  const service = startWsService()
  closing.push(() => service.stop())
  return { ...service, http: `http://127.0.0.1:${service.port}` }
}

/** An instance that does this to whatever asks it. */
async function rude(answer: (socket: Socket) => void): Promise<{ url: string; asked: () => number }> {
  let asked = 0
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy())
    socket.once("data", () => {
      asked++
      answer(socket)
    })
    closing.push(() => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  closing.push(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, asked: () => asked }
}

const REFUSED = "http://127.0.0.1:1"
const UNAVAILABLE = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"

describe("a WebSocket handshake that an instance does not take", () => {
  test("goes to another when the first refuses the connection", async () => {
    const { http, sessions } = echo()
    const { open, logged } = relayTo([REFUSED, http])
    for (let i = 0; i < 2; i++) {
      const client = await open()
      expect(client.error).toBe("")
      client.socket.close()
    }
    expect(sessions.length).toBe(2)
    const retries = [(await logged(1)).retries, (await logged(2)).retries]
    expect(retries.toSorted()).toEqual([0, 1])
  })

  test.each([
    ["closes the connection", (socket: Socket) => void socket.end()],
    ["answers 503", (socket: Socket) => void socket.end(UNAVAILABLE)],
  ])("goes to another when the first %s", async (_, answer) => {
    const { http } = echo()
    const first = await rude(answer)
    const { open } = relayTo([first.url, http])
    const clients = [await open(), await open()]
    expect(clients.map((client) => client.error)).toEqual(["", ""])
    expect(first.asked()).toBe(1)
    for (const client of clients) client.socket.close()
  })

  test("goes to another after per_try_timeout where timeouts are retried", async () => {
    const { http } = echo()
    const silent = await rude(() => {})
    const { open } = relayTo([silent.url, http], { retry: { per_try_timeout: "50ms", on: ["timeout"] } })
    const clients = [await open(), await open()]
    expect(clients.map((client) => client.error)).toEqual(["", ""])
    expect(silent.asked()).toBe(1)
    for (const client of clients) client.socket.close()
  })

  test("is not tried again for an answer that is not to be retried, nor beyond the budget", async () => {
    const { http } = echo()
    const forbids = await rude((socket) => void socket.end(UNAVAILABLE.replace("503", "403")))
    const first = relayTo([forbids.url, http])
    const errors = [(await first.open()).error, (await first.open()).error].join(" ")
    expect(errors).toContain("403")
    const second = relayTo([REFUSED, http], { retry: { budget: 0 } })
    expect([(await second.open()).error, (await second.open()).error].join(" ")).toContain("502")
  })

  test("[F-36] counts towards ejection and the circuit as a request does", async () => {
    const ejecting = relayTo([REFUSED, echo().http], { ejection: { consecutive_failures: 2 } })
    for (let i = 0; i < 4; i++) (await ejecting.open()).socket.close()
    expect(ejecting.gateway.log.filter((each) => each.event === "instance.ejected").length).toBe(1)

    const breaking = relayTo([REFUSED], {
      breaker: { failure_threshold: 2, min_throughput: 2 },
      retry: { attempts: 1 },
    })
    const errors = [
      (await breaking.open()).error,
      (await breaking.open()).error,
      (await breaking.open()).error,
    ]
    expect(errors.map((error) => error.slice(-3))).toEqual(["502", "502", "503"])
    expect((await fetch(breaking.gateway.url)).status).toBe(503)
  })

  test("of the last instance is answered by the service's fallback", async () => {
    const fixed = relayTo([REFUSED], { fallback: { status: 203, body: "later" } })
    const headers = {
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    const answer = await fetch(fixed.gateway.url, { headers })
    expect([answer.status, await answer.text()]).toEqual([203, "later"])

    const { http, sessions } = echo()
    const other = relayTo([REFUSED], { fallback: { service: "spare" } }, { spare: { instances: [http] } })
    const client = await other.open()
    client.socket.send("hello")
    await until(() => client.messages.length === 1, "the echo")
    expect(sessions.length).toBe(1)
    client.socket.close()
  })

  test("an open relay counts as one request in flight at its instance, and none when it has ended", async () => {
    const { http } = echo()
    const { gateway, open } = relayTo([http])
    const client = await open()
    // The only instance there is has the first record.
    const instance = new InstanceState(gateway.memory, 0)
    expect(instance.inFlight).toBe(1)
    client.socket.close()
    await until(() => instance.inFlight === 0, "the relay to end")
  })
})

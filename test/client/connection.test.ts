import { describe, expect, test } from "bun:test"
import { connect } from "../../src/client/connect.ts"
import { type Environment, environment } from "../../src/client/environment.ts"
import { FakeTime } from "../support/fake_time.ts"
import { modelClient } from "./model_client.ts"

const UNAVAILABLE = { code: "UNAVAILABLE", message: "not now", temporary: true } as const
const INVALID_TOKEN = { code: "INVALID_TOKEN", message: "no", temporary: false } as const

describe("a connection", () => {
  test("begins with connect, which names the session, and tells who the gateway takes the client for", async () => {
    const { gateway, client } = modelClient({ token: "t", session: "phone" })
    const seen: unknown[] = []
    client.on("connected", (event) => seen.push(event))
    await gateway.settle()
    expect(gateway.socket.url).toBe("wss://gateway.test/api/v1/realtime")
    expect(gateway.commands).toEqual([{ id: 1, type: "connect", token: "t", session: "phone" }])
    expect(seen).toEqual([{ client: "c1", user: "ada" }])
    expect(client.state).toBe("connected")
  })

  test("that is lost is made again after a random part of a bound that doubles up to a most", async () => {
    const { gateway, client, pass } = modelClient({ backoffMs: 100, maxBackoffMs: 500 })
    const waits: (number | undefined)[] = []
    client.on("disconnected", ({ retryInMs }) => waits.push(retryInMs))
    await gateway.settle()
    for (let i = 0; i < 5; i++) {
      gateway.socket.cut(1006)
      await pass(waits.at(-1)!)
    }
    expect(waits).toEqual([50, 100, 200, 250, 250])
    expect(client.state).toBe("connected")
  })

  test("that lasted makes the next wait short again", async () => {
    const { gateway, client, pass } = modelClient({ backoffMs: 100, maxBackoffMs: 500 })
    const waits: (number | undefined)[] = []
    client.on("disconnected", ({ retryInMs }) => waits.push(retryInMs))
    await gateway.settle()
    gateway.socket.cut(1006)
    await pass(50)
    gateway.socket.cut(1006)
    await pass(100)
    await pass(10_000)
    gateway.socket.cut(1006)
    expect(waits).toEqual([50, 100, 50])
  })

  for (const code of [1001, 1012, 4000, 4001, 4003])
    test(`closed with ${code} is made again`, async () => {
      const { gateway, client, pass } = modelClient()
      await gateway.settle()
      gateway.socket.cut(code)
      expect(client.state).toBe("waiting")
      await pass(1000)
      expect(gateway.sockets.length).toBe(2)
    })

  for (const code of [4500, 4502, 4503])
    test(`closed with ${code} is the last one`, async () => {
      const { gateway, client, pass } = modelClient()
      const ends: unknown[] = []
      client.on("closed", (event) => ends.push(event))
      await gateway.settle()
      const unsent = client.publish("a:b", 1)
      gateway.socket.cut(code, "why")
      await expect(unsent).rejects.toMatchObject({ code: "CLOSED" })
      await pass(60_000)
      expect(ends).toEqual([{ code, reason: "why" }])
      expect(gateway.sockets.length).toBe(1)
      expect(() => client.subscribe("a:c")).toThrow("the client is closed")
    })

  test("ends as the gateway says in a disconnect push, whatever the code", async () => {
    const { gateway, client } = modelClient()
    await gateway.settle()
    gateway.push({ push: "disconnect", code: 4003, reason: "for good", reconnect: false })
    await gateway.settle()
    expect(client.state).toBe("closed")
  })

  test("whose handshake takes too long is given up", async () => {
    const { gateway, client, time } = modelClient({ timeoutMs: 3000 })
    await Promise.resolve()
    time.pass(2999)
    expect(client.state).toBe("connecting")
    time.pass(1)
    expect(client.state).toBe("waiting")
    expect(gateway.sockets[0]!.readyState).toBe(3)
  })

  test("whose command stays without an answer is given up", async () => {
    const { gateway, client, pass } = modelClient({ timeoutMs: 3000 })
    await gateway.settle()
    gateway.refuse = ({ type }) => (type === "publish" ? "silence" : undefined)
    void client.publish("a:b", 1)
    await pass(3000)
    expect(client.state).toBe("waiting")
  })

  test("on which nothing was heard for the time the gateway names is asked, and after as long again given up", async () => {
    const { gateway, client, pass, time } = modelClient()
    await gateway.settle()
    await pass(25_000)
    expect(gateway.commands.at(-1)!.type).toBe("ping")
    await pass(24_999)
    expect(client.state).toBe("connected")
    gateway.refuse = ({ type }) => (type === "ping" ? "silence" : undefined)
    await pass(1)
    await pass(24_999)
    expect(client.state).toBe("connected")
    time.pass(1)
    expect(client.state).toBe("waiting")
  })

  test("is not given up because the timers of a sleeping machine come late", async () => {
    let skewMs = 0
    const time = new FakeTime()
    const now = () => time.now() + skewMs
    const { gateway, client } = modelClient({ environment: { now, after: time.after } })
    await gateway.settle()
    skewMs = 3_600_000
    time.pass(25_000)
    await gateway.settle()
    time.pass(25_000)
    expect(client.state).toBe("connected")
    expect(gateway.sockets.length).toBe(1)
  })

  test("on which no JSON comes is given up", async () => {
    const { gateway, client } = modelClient()
    await gateway.settle()
    gateway.socket.receive("{")
    expect(client.state).toBe("waiting")
  })

  test("closed by the client ends everything, once", async () => {
    const { gateway, client } = modelClient()
    const subscription = client.subscribe("a:b")
    const over: unknown[] = []
    subscription.on("unsubscribed", ({ reason }) => over.push(reason))
    client.on("closed", ({ code }) => over.push(code))
    await gateway.settle()
    client.close()
    client.close()
    expect(over).toEqual(["close() was called", 1000])
    expect(gateway.socket.readyState).toBe(3)
    await expect(client.publish("a:b", 1)).rejects.toMatchObject({ code: "CLOSED" })
  })
})

describe("credentials", () => {
  test("are asked for again for every connection", async () => {
    let asked = 0
    const { gateway, pass } = modelClient({ ticket: async () => `ticket-${++asked}` })
    await gateway.settle()
    gateway.socket.cut(1006)
    await pass(1000)
    const tickets = gateway.commands.filter(({ type }) => type === "connect").map(({ ticket }) => ticket)
    expect(tickets).toEqual(["ticket-1", "ticket-2"])
  })

  test("are renewed on the open connection before they end", async () => {
    let asked = 0
    const { gateway, pass } = modelClient({ token: () => `token-${++asked}` })
    gateway.connected = { ...gateway.connected, expires_in: 100 }
    await gateway.settle()
    const renewals = () => gateway.commands.filter(({ type }) => type === "refresh").map(({ token }) => token)
    await pass(79_999)
    expect(renewals()).toEqual([])
    await pass(1)
    expect(renewals()).toEqual(["token-2"])
  })

  test("that cannot be had are asked for again, and the failure is told", async () => {
    let asked = 0
    const { gateway, client, errors, pass } = modelClient({
      token: async () => {
        if (++asked === 1) throw new Error("no sign-in service")
        return "token"
      },
    })
    await gateway.settle()
    expect(client.state).toBe("waiting")
    await pass(1000)
    expect(client.state).toBe("connected")
    expect(errors.map(String)).toEqual(["Error: no sign-in service"])
  })

  test("whose renewal fails are renewed a little later", async () => {
    let asked = 0
    const { gateway, pass } = modelClient({
      token: () => {
        if (++asked === 2) throw new Error("no sign-in service")
        return `token-${asked}`
      },
    })
    gateway.connected = { ...gateway.connected, expires_in: 100 }
    await gateway.settle()
    await pass(80_000)
    await pass(2000)
    expect(gateway.commands.at(-1)).toMatchObject({ type: "refresh", token: "token-3" })
  })

  test("the gateway does not take end the client", async () => {
    const { gateway, client, errors, pass } = modelClient({ token: "forged" })
    gateway.refuse = ({ type }) => (type === "connect" ? INVALID_TOKEN : undefined)
    await gateway.settle()
    expect(client.state).toBe("closed")
    expect(errors).toMatchObject([{ code: "INVALID_TOKEN" }])
    await pass(60_000)
    expect(gateway.sockets.length).toBe(1)
  })

  test("the gateway cannot check just now are shown again", async () => {
    const { gateway, client, pass } = modelClient({ token: "t" })
    gateway.refuse = ({ type }) => (type === "connect" ? UNAVAILABLE : undefined)
    await gateway.settle()
    expect(client.state).toBe("waiting")
    gateway.refuse = () => undefined
    await pass(1000)
    expect(client.state).toBe("connected")
  })
})

describe("questions", () => {
  test("are answered, or rejected with the gateway's code", async () => {
    const { gateway, client } = modelClient()
    await gateway.settle()
    const answer = client.rpc("add", { a: 1 })
    const present = client.presence("a:b")
    await gateway.settle()
    expect(await answer).toEqual({ a: 1 })
    expect(await present).toEqual([{ client: "c1" }])
    gateway.refuse = () => UNAVAILABLE
    const refused = client.rpc("add")
    refused.catch(() => {})
    await gateway.settle()
    await expect(refused).rejects.toMatchObject({ code: "UNAVAILABLE", temporary: true })
  })

  test("are rejected without a connection, and when it is lost before the answer", async () => {
    const { gateway, client } = modelClient()
    await expect(client.rpc("add")).rejects.toMatchObject({ code: "DISCONNECTED" })
    await gateway.settle()
    const asked = client.rpc("add")
    gateway.socket.cut(1006)
    await expect(asked).rejects.toMatchObject({ code: "DISCONNECTED" })
  })

  test("a service is slow to answer fail alone: the connection stays", async () => {
    const { gateway, client, pass } = modelClient()
    await gateway.settle()
    gateway.refuse = ({ type }) => (type === "rpc" ? "silence" : undefined)
    const asked = client.rpc("slow")
    asked.catch(() => {})
    await pass(60_000)
    await expect(asked).rejects.toMatchObject({ code: "TIMEOUT" })
    expect(gateway.sockets.length).toBe(1)
  })
})

test("where there is no WebSocket, connecting says what to give", () => {
  const here = globalThis as { WebSocket?: unknown }
  const { WebSocket } = here
  try {
    here.WebSocket = undefined
    expect(() => connect("wss://gateway.test")).toThrow("there is no global WebSocket; give one")
  } finally {
    here.WebSocket = WebSocket
  }
})

test("an address that is none of a WebSocket is refused", () => {
  expect(() => connect("ftp://gateway.test")).toThrow("ftp://gateway.test is no address of a WebSocket")
})

test("ids are words nobody else makes, also where randomUUID is missing", () => {
  const here: Environment = environment()
  expect(here.newId()).toMatch(/^[0-9a-f]{32}$/)
  expect(here.newId()).not.toBe(here.newId())
})

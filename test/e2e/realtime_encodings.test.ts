import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { decode, encode } from "@msgpack/msgpack"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"

setDefaultTimeout(30_000)

// biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
type Message = any
type Frame = string | Uint8Array<ArrayBuffer>

const ENCODINGS = {
  "no subprotocol": { protocols: [], write: writeText, read: readText, chosen: "" },
  "gatehouse.json": {
    protocols: ["another", "gatehouse.json", "gatehouse.msgpack"],
    write: writeText,
    read: readText,
    chosen: "gatehouse.json",
  },
  "gatehouse.msgpack": {
    protocols: ["gatehouse.msgpack", "gatehouse.json"],
    write: (value: unknown): Frame => encode(value) as Uint8Array<ArrayBuffer>,
    read(data: unknown): Message {
      if (!(data instanceof Uint8Array)) throw new Error("a text where bytes were agreed")
      return decode(data)
    },
    chosen: "gatehouse.msgpack",
  },
} as const

function writeText(value: unknown): Frame {
  return JSON.stringify(value)
}

function readText(data: unknown): Message {
  if (typeof data !== "string") throw new Error("bytes where texts were agreed")
  return JSON.parse(data)
}

let gateway: GatewayProcess
beforeAll(async () => {
  const access = { subscribe: {}, publish: {} }
  gateway = await startGateway({
    auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
    realtime: {
      rate: "1000/s",
      max_message: "2KB",
      namespaces: {
        chat: { ...access, presence: true, join_leave: true, max_message: "2KB" },
        kept: { ...access, delivery: "at_least_once", ack_timeout: "1s", max_message: "1KB" },
      },
    },
  })
})
afterAll(endGateways)

async function connect(name: keyof typeof ENCODINGS, id = "ada") {
  const { protocols, write, read } = ENCODINGS[name]
  const seen = await openWs(`ws://127.0.0.1:${gateway.port}/api/v1/realtime`, {
    protocols: [...protocols],
    headers: { authorization: `Bearer ${accessToken({ id, tokenId: `token-${id}` })}` },
  })
  const messages: Message[] = []
  const look = (): readonly Message[] => {
    while (messages.length < seen.messages.length) messages.push(read(seen.messages[messages.length]))
    return messages
  }
  let last = 0
  return {
    socket: seen.socket,
    of: (push: string) => look().filter((each) => each.push === push),
    raw: (frame: Frame) => seen.socket.send(frame),
    async closed(): Promise<number> {
      await until(() => seen.closed !== undefined, "the end")
      return seen.closed!.code
    },
    async ask(command: object): Promise<Message> {
      const id = ++last
      seen.socket.send(write({ id, ...command }))
      const reply = () => look().find((each) => each.id === id)
      await until(() => reply() !== undefined || seen.closed !== undefined, "the reply", 5000)
      return reply()
    },
  }
}

const names = Object.keys(ENCODINGS) as (keyof typeof ENCODINGS)[]

describe.each(names)("%s", (name) => {
  const channel = `chat:${name}`.replaceAll(" ", "-")

  test("is what the handshake agrees on", async () => {
    const { socket } = await connect(name)
    expect(socket.protocol).toBe(ENCODINGS[name].chosen)
    socket.close()
  })

  test("carries every command, reply and push", async () => {
    const [ada, bob] = [await connect(name), await connect(name, "bob")]
    expect((await ada.ask({ type: "ping" })).result).toEqual({})
    expect((await ada.ask({ type: "connect" })).result).toMatchObject({ user: "ada" })
    expect((await ada.ask({ type: "subscribe", channel })).result).toMatchObject({
      recovered: false,
      position: { offset: expect.any(Number) },
    })
    await bob.ask({ type: "subscribe", channel })
    await until(() => ada.of("join").length > 0, "bob")
    const { members } = (await ada.ask({ type: "presence", channel })).result
    expect(members.map(({ user }: { user: string }) => user)).toEqual(expect.arrayContaining(["ada", "bob"]))
    const published = await bob.ask({ type: "publish", channel, data: { text: "hello" } })
    await until(() => ada.of("publication").length === 1, "the message")
    expect(ada.of("publication")[0]).toEqual({
      push: "publication",
      channel,
      offset: published.result.position.offset,
      data: { text: "hello" },
      publisher: { user: "bob" },
    })
    const { publications } = (await ada.ask({ type: "history", channel, limit: 1 })).result
    expect(publications).toMatchObject([{ data: { text: "hello" } }])
    expect((await ada.ask({ type: "rpc", method: "none" })).error.code).toBe("UNKNOWN_METHOD")
    expect((await ada.ask({ type: "dance" })).error.code).toBe("INVALID_COMMAND")
    expect((await ada.ask({ type: "unsubscribe", channel })).result).toEqual({})
    for (const { socket } of [ada, bob]) socket.close()
  })

  test("takes acknowledgements, and brings again what was not acknowledged", async () => {
    const client = await connect(name, `user-${names.indexOf(name)}`)
    const kept = `kept:${names.indexOf(name)}`
    expect((await client.ask({ type: "subscribe", channel: kept })).result.ack).toBe(true)
    await client.ask({ type: "publish", channel: kept, data: 1 })
    await until(() => client.of("publication").length >= 2, "the message once more")
    expect(client.of("publication")[1]).toMatchObject({ offset: 1, attempt: 2 })
    expect((await client.ask({ type: "ack", channel: kept, offset: 1 })).error).toBeUndefined()
    client.socket.close()
  })

  test("closes with the codes of the protocol", async () => {
    const large = await connect(name)
    large.raw(ENCODINGS[name].write({ id: 1, type: "ping", pad: "x".repeat(3000) }))
    expect(await large.closed()).toBe(4505)
    const other = await connect(name)
    other.raw(name === "gatehouse.msgpack" ? '{"id":1,"type":"ping"}' : new Uint8Array([0x80]))
    expect(await other.closed()).toBe(4501)
  })
})

test("values are the same whatever the publisher and the subscriber write", async () => {
  const clients = await Promise.all(names.map((name) => connect(name)))
  for (const { ask } of clients) await ask({ type: "subscribe", channel: "chat:mixed" })
  const values = [
    null,
    true,
    0,
    -7,
    1.5,
    2 ** 40,
    "ünï 😀",
    [],
    {},
    [1, ["a", { b: null }]],
    { k: { l: [0.1] } },
  ]
  let count = 0
  for (const { ask } of clients)
    for (const data of values) {
      expect((await ask({ type: "publish", channel: "chat:mixed", data })).error).toBeUndefined()
      count++
    }
  for (const { of } of clients) {
    await until(() => of("publication").length === count, "all of them")
    expect(of("publication").map(({ data }) => data)).toEqual([...values, ...values, ...values])
  }
  for (const { socket } of clients) socket.close()
})

test("a hostile frame of MessagePack ends its own connection, and no other", async () => {
  const stays = await connect("gatehouse.msgpack")
  for (const frame of [
    new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff]),
    new Uint8Array(1500).fill(0x91),
    encode(new Date(0)),
    encode({ id: 1, type: "publish", channel: "chat:1", data: new Uint8Array(3) }),
    encode(JSON.parse('{"id":1,"type":"publish","channel":"chat:1","data":{"__proto__":{"x":1}}}')),
    new Uint8Array([0x81, 0x01, 0x01]),
    new Uint8Array(0),
  ]) {
    const client = await connect("gatehouse.msgpack")
    client.raw(frame as Uint8Array<ArrayBuffer>)
    expect(await client.closed()).toBe(4501)
  }
  expect((await stays.ask({ type: "ping" })).result).toEqual({})
  stays.socket.close()
})

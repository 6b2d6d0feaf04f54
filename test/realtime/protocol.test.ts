import { expect, test } from "bun:test"
import fc from "fast-check"
import { decodeFrame } from "../../src/realtime/channels/decode.ts"
import { CLOSE_CODES, COMMANDS, mayReconnect } from "../../src/realtime/channels/protocol.ts"
import { createChannels } from "../support/channels.ts"

const CHAT = { namespaces: { chat: { subscribe: {}, publish: {}, max_message: "1KB" } } }

const HOSTILE: readonly (readonly [string, string])[] = [
  ["no JSON", "hello"],
  ["an empty frame", ""],
  ["a number", "7"],
  ["null", "null"],
  ["an empty array", "[]"],
  ["an array of junk", '[{"id":1,"type":"ping"},7]'],
  ["no id", '{"type":"ping"}'],
  ["an id that is a text", '{"id":"1","type":"ping"}'],
  ["an id below 1", '{"id":0,"type":"ping"}'],
  ["an id that is no whole number", '{"id":1.5,"type":"ping"}'],
  ["a prototype", '{"id":1,"type":"ping","__proto__":{"admin":true}}'],
  ["brackets beyond all bounds", `{"id":1,"type":"publish","channel":"chat:1","data":${"[".repeat(5000)}`],
  ["more commands than a frame may have", `[${Array(65).fill('{"id":1,"type":"ping"}').join(",")}]`],
  ["a number beyond doubles", '{"id":1,"type":"publish","channel":"chat:1","data":1e999}'],
]

for (const [what, frame] of HOSTILE)
  test(`${what} is no command: the connection is closed with 4501`, async () => {
    const client = (await createChannels(CHAT)).user("eve")
    await client.ask({ type: "ping" })
    client.session.receive(frame)
    expect(client.closed()).toBe(4501)
  })

const UNFIT: readonly Record<string, unknown>[] = [
  { type: "nonsense" },
  { type: "constructor" },
  { type: 7 },
  {},
  { type: "subscribe" },
  { type: "subscribe", channel: 7 },
  { type: "subscribe", channel: "chat:1", since: { epoch: "e", offset: -1 } },
  { type: "subscribe", channel: "chat:1", since: { epoch: "e" } },
  { type: "subscribe", channel: "chat:<script>" },
  { type: "subscribe", channel: `chat:${"x".repeat(128)}` },
  { type: "publish", channel: "chat:1" },
  { type: "publish", channel: "chat:1", data: 1, extra: true },
  { type: "history", channel: "chat:1", limit: 1_000_000 },
  { type: "ack", channel: "chat:1", offset: "1" },
  { type: "connect", token: 7 },
]

test("commands with wrong parts are refused one by one, and the connection goes on", async () => {
  const client = (await createChannels(CHAT)).user("eve")
  for (const command of UNFIT) expect((await client.ask(command)).error?.code).toBe("INVALID_COMMAND")
  expect((await client.ask({ type: "ping" })).result).toEqual({})
})

test("commands that use an id again are answered each by itself", async () => {
  const client = (await createChannels(CHAT)).user("eve")
  await client.ask({ type: "ping" })
  client.session.receive('[{"id":9,"type":"ping"},{"id":9,"type":"nonsense"},{"id":9,"type":"ping"}]')
  await Bun.sleep(0)
  expect(client.texts.filter((text) => text.startsWith('{"id":9'))).toHaveLength(3)
})

test("a message larger than its namespace takes is refused", async () => {
  const client = (await createChannels(CHAT)).user("eve")
  const publish = (data: string) => client.ask({ type: "publish", channel: "chat:1", data })
  expect((await publish("x".repeat(1022))).error).toBeUndefined()
  expect((await publish("x".repeat(1023))).error?.code).toBe("TOO_LARGE")
  expect((await publish("é".repeat(600))).error?.code).toBe("TOO_LARGE")
})

test("who sends faster than allowed is refused, and closed when it goes on", async () => {
  const channels = await createChannels({ ...CHAT, rate: "10/s" })
  const client = channels.user("eve")
  await client.ask({ type: "ping" })
  for (let i = 0; i < 9; i++) await client.ask({ type: "ping" })
  expect((await client.ask({ type: "ping" })).error).toMatchObject({ code: "RATE_LIMITED", temporary: true })
  channels.pass(1000)
  expect((await client.ask({ type: "ping" })).error).toBeUndefined()
  for (let i = 0; i < 200 && client.closed() === 0; i++) client.session.receive('{"id":5,"type":"ping"}')
  expect(client.closed()).toBe(4004)
})

test("a flood before it is known who asks is bounded", async () => {
  const channels = await createChannels({ ...CHAT, rate: "1000/s" })
  const client = channels.connect(0, undefined)
  for (let i = 1; i < 200; i++) client.session.receive(`{"id":${i},"type":"subscribe","channel":"chat:${i}"}`)
  expect(client.closed()).toBe(4004)
})

test("a connection has so many subscriptions and no more", async () => {
  const client = (await createChannels({ ...CHAT, max_subscriptions: 2 })).user("eve")
  const subscribe = async (n: number) =>
    (await client.ask({ type: "subscribe", channel: `chat:${n}` })).error?.code
  expect(await subscribe(1)).toBeUndefined()
  expect(await subscribe(2)).toBeUndefined()
  expect(await subscribe(3)).toBe("TOO_MANY_SUBSCRIPTIONS")
  await client.ask({ type: "unsubscribe", channel: "chat:1" })
  expect(await subscribe(3)).toBeUndefined()
})

test("any text is decoded without a throw, and what is decoded has an id", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record(
        {
          id: fc.oneof(fc.integer(), fc.string()),
          type: fc.oneof(fc.constantFrom(...Object.keys(COMMANDS)), fc.string()),
          channel: fc.oneof(fc.constant("chat:1"), fc.anything()),
          data: fc.jsonValue(),
          offset: fc.integer(),
        },
        { requiredKeys: ["id", "type"] },
      )
      .map((value) => JSON.stringify(value)),
  )
  fc.assert(
    fc.property(texts, (text) => {
      for (const each of decodeFrame(text) ?? [])
        expect((each.kind === "unfit" ? each.id : each.command.id) >= 1).toBe(true)
    }),
    { numRuns: 500 },
  )
})

test("close codes from 4500 on end it, all others allow another try", () => {
  for (const code of Object.keys(CLOSE_CODES).map(Number)) expect(mayReconnect(code)).toBe(code < 4500)
  for (const code of [1000, 1001, 1006, 1011, 1012]) expect(mayReconnect(code)).toBe(true)
})

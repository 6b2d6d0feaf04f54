import { expect, test } from "bun:test"
import type { SocketTransport } from "../../src/realtime/channels/socket_transport.ts"
import type { ClientSocket } from "../../src/realtime/socket.ts"
import { createChannels } from "../support/channels.ts"
import { makePrincipal } from "../support/principal.ts"
import { until } from "../support/until.ts"

/** A socket of the runtime that keeps what is done with it. */
function fakeSocket() {
  const did: string[] = []
  const state = { buffered: 0, takes: 1 }
  const socket = {
    send: (text: string) => {
      did.push(text)
      return state.takes
    },
    ping: () => void did.push("ping"),
    close: (code: number) => void did.push(`close ${code}`),
    terminate: () => void did.push("terminate"),
    subscribe: (topic: string) => void did.push(`join ${topic}`),
    unsubscribe: (topic: string) => void did.push(`part ${topic}`),
    getBufferedAmount: () => state.buffered,
  } as unknown as ClientSocket
  return { did, state, socket }
}

async function open(options: object = {}) {
  const channels = await createChannels({
    namespaces: { chat: { subscribe: {}, publish: {} } },
    ping_interval: "10s",
    ...options,
  })
  const transport = channels.workers[0]!.accept("192.0.2.1", makePrincipal()) as SocketTransport
  const fake = fakeSocket()
  transport.open(fake.socket)
  await until(() => channels.hub.connections === 1, "the connection")
  return { channels, transport, ...fake }
}

test("a silent client is pinged, and given up after twice as long", async () => {
  const { channels, transport, did, socket } = await open()
  channels.pass(10_001)
  channels.pass(5000)
  expect(did).toEqual(["ping"])
  transport.pong()
  channels.pass(10_001)
  channels.pass(9000)
  expect(did).toEqual(["ping", "ping"])
  channels.pass(1000)
  expect(did.slice(2)).toEqual([expect.stringContaining('"code":4002'), "close 4002"])
  channels.pass(6000)
  expect(did.at(-1)).toBe("terminate")
  transport.close(socket, 1006)
  await until(() => channels.hub.connections === 0, "the end")
})

test("who has too much waiting is cut off without another word, by a look or by what is sent", async () => {
  for (const how of ["look", "send", "refused"]) {
    const { channels, transport, did, state, socket } = await open({ max_buffered: "16KB" })
    if (how === "refused") state.takes = 0
    else state.buffered = 16_385
    if (how === "look") channels.pass(1000)
    else transport.message(socket, '{"id":1,"type":"ping"}')
    expect(did.at(-1)).toBe("terminate")
    expect(did.join()).not.toContain("disconnect")
    await until(() => channels.counted.includes("closed 4001"), "the count")
  }
})

test("a socket joins the topic of a channel when it is up to date, and parts at the end", async () => {
  const { channels, transport, did, socket } = await open()
  const writer = channels.user("writer", 1)
  await writer.ask({ type: "publish", channel: "chat:1", data: 1 })
  transport.message(socket, '{"id":1,"type":"subscribe","channel":"chat:1"}')
  await until(() => did.length > 0, "the reply")
  await writer.ask({ type: "publish", channel: "chat:1", data: 2 })
  await until(() => did.includes("join chat:1"), "the topic")
  transport.message(socket, '{"id":2,"type":"unsubscribe","channel":"chat:1"}')
  expect(did.map((each) => each.slice(0, 20))).toEqual([
    '{"id":1,"result":{"p',
    '{"push":"publication',
    "join chat:1",
    "part chat:1",
    '{"id":2,"result":{}}',
  ])
})

test("a handshake that is never completed is forgotten", async () => {
  const channels = await createChannels({ namespaces: {} })
  const [worker] = channels.workers
  expect(worker!.accept("192.0.2.1", makePrincipal())).not.toHaveProperty("kind")
  expect(worker!.sockets.size).toBe(1)
  channels.pass(10_001)
  expect(worker!.sockets.size).toBe(0)
  expect(worker!.sessions.size).toBe(0)
})

test("a gateway that stops takes nobody new", async () => {
  const { channels, did } = await open()
  channels.workers[0]!.shutdown()
  expect(did.at(-1)).toBe("close 4000")
  expect(channels.workers[0]!.accept("192.0.2.1", undefined)).toMatchObject({ code: "SHUTTING_DOWN" })
})

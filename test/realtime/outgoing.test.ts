import { expect, test } from "bun:test"
import { Outgoing } from "../../src/realtime/channels/outgoing.ts"
import type { SocketMember } from "../../src/realtime/channels/world.ts"
import type { ClientSocket } from "../../src/realtime/socket.ts"

/** A socket of the runtime whose client reads when it is told to. */
function slowSocket() {
  const given: string[] = []
  const pings: string[] = []
  const state = { buffered: 0, topics: new Set<string>(), full: false, swallows: false }
  const socket = {
    send(text: string) {
      if (state.full) return 0
      given.push(text)
      if (!state.swallows) state.buffered += text.length
      return text.length
    },
    ping: (payload: string) => void pings.push(payload),
    subscribe: (topic: string) => void state.topics.add(topic),
    unsubscribe: (topic: string) => void state.topics.delete(topic),
    getBufferedAmount: () => state.buffered,
  } as unknown as ClientSocket
  return { given, pings, state, socket }
}

function open(maxBuffered = 8_000_000) {
  const slow = new Map<string, Set<SocketMember>>()
  const fake = slowSocket()
  const seen = { overflows: 0 }
  const published = new Map<string, number>()
  const member: SocketMember = {
    tick: () => {},
    checkBuffer: () => {},
    published: (frame) => outgoing.published(frame),
  }
  const outgoing: Outgoing = new Outgoing({
    member,
    slow,
    publishedOn: (topic) => published.get(topic) ?? 0,
    maxBuffered: () => maxBuffered,
    onOverflow: () => seen.overflows++,
  })
  outgoing.open(fake.socket)
  /** As `Realtime` publishes. */
  const publish = (topic: string, text: string) => {
    published.set(topic, (published.get(topic) ?? 0) + text.length)
    if (fake.state.topics.has(topic)) fake.socket.send(text)
    for (const each of slow.get(topic) ?? []) each.published(text)
  }
  /** The client reads all the runtime has, until nothing comes any more. */
  const read = () => {
    while (fake.state.buffered > 0 || fake.pings.length > 0) {
      fake.state.buffered = 0
      outgoing.check()
      for (const payload of fake.pings.splice(0)) outgoing.pong(payload)
    }
  }
  return { outgoing, slow, publish, read, seen, ...fake }
}

const text = (i: number) => `${i}`.padEnd(500, ".")

test("[T-3.4] an urgent text passes 10,000 that wait by, and these stay in order and complete", () => {
  const { outgoing, publish, read, given, seen, slow, state } = open()
  outgoing.join("chat:1")
  for (let i = 0; i < 10_000; i++) {
    publish("chat:1", text(i))
    // Now and then, as the gateway does.
    if (i % 500 === 0) outgoing.check()
  }
  expect(slow.get("chat:1")?.size).toBe(1)
  expect(given.length).toBeLessThan(700)
  outgoing.urgent("safety")
  expect(given.at(-1)).toBe("safety")
  read()
  expect(given.filter((each) => each !== "safety")).toEqual(Array.from({ length: 10_000 }, (_, i) => text(i)))
  expect(given.indexOf("safety")).toBeLessThan(700)
  expect(seen.overflows).toBe(0)
  // It has caught up: topics serve it again.
  expect([slow.size, [...state.topics]]).toEqual([0, ["chat:1"]])
  publish("chat:1", "next")
  expect(given.at(-1)).toBe("next")
})

test("what is sent and what is published stay in one order while it is slow, also on topics joined and left meanwhile", () => {
  const { outgoing, publish, read, given, state, slow } = open()
  outgoing.join("a")
  state.buffered = 70_000
  outgoing.send("1")
  expect([...state.topics]).toEqual([])
  outgoing.join("b")
  publish("a", "2")
  publish("b", "3")
  outgoing.part("a")
  publish("a", "not for it")
  outgoing.send("4")
  read()
  expect(given).toEqual(["1", "2", "3", "4"])
  expect([...state.topics]).toEqual(["b"])
  expect(slow.size).toBe(0)
})

test("what waits is bounded, in the gateway and in the runtime together", () => {
  const { outgoing, seen, state } = open(16_384)
  state.buffered = 10_000
  for (let i = 0; i < 12; i++) outgoing.send(text(i))
  expect(seen.overflows).toBe(0)
  outgoing.send(text(12))
  expect(seen.overflows).toBe(1)
  expect(outgoing.buffered).toBe(16_500)
})

test("a burst does not cut off who has answered no ping yet, while the buffers on the way have room", () => {
  const { outgoing, given, seen, state } = open(100_000)
  state.swallows = true
  for (let i = 0; i < 5000; i++) outgoing.send(text(i))
  expect(seen.overflows).toBe(0)
  expect(outgoing.buffered).toBeGreaterThan(45_000)
  outgoing.flush()
  expect(given).toEqual(Array.from({ length: 5000 }, (_, i) => text(i)))
})

test("large texts do not come to a standstill: what went out while a pong was awaited is asked for next", () => {
  const { outgoing, publish, given, pings, state } = open(65_536)
  state.swallows = true
  outgoing.join("a")
  const large = (i: number) => `${i}`.padEnd(30_000, ".")
  for (let i = 0; i < 40; i++) {
    publish("a", large(i))
    if (i % 9 === 0) outgoing.check()
  }
  for (let answered = 0; answered < pings.length; answered++) outgoing.pong(pings[answered]!)
  expect(given).toEqual(Array.from({ length: 40 }, (_, i) => large(i)))
  expect([...state.topics]).toEqual(["a"])
})

test("of what is published more may wait for a moment, as a burst is gone before the next look", () => {
  const { outgoing, publish, seen, state } = open(100_000)
  outgoing.join("a")
  state.buffered = 60_000
  outgoing.check()
  for (let i = 0; i < 2000; i++) publish("a", text(i))
  expect([seen.overflows, outgoing.buffered]).toEqual([0, 1_060_000])
  for (let i = 0; i < 200; i++) publish("a", text(i))
  expect(seen.overflows).toBeGreaterThan(0)
  seen.overflows = 0
  outgoing.check()
  expect(seen.overflows).toBe(1)
})

test("a text the runtime cannot take is an overflow, urgent ones too", () => {
  const { outgoing, seen, state } = open()
  state.full = true
  outgoing.send("1")
  outgoing.urgent("2")
  expect(seen.overflows).toBe(2)
})

test("nothing is left of a connection that has ended", () => {
  const { outgoing, slow, state, given } = open()
  outgoing.join("a")
  state.buffered = 70_000
  outgoing.send("1")
  outgoing.close()
  outgoing.send("2")
  outgoing.urgent("3")
  outgoing.check()
  expect([slow.size, outgoing.buffered, given]).toEqual([0, 0, []])
})

test("before a close frame all that waits is given to the runtime", () => {
  const { outgoing, state, given } = open()
  state.buffered = 70_000
  outgoing.send("1")
  outgoing.send("2")
  outgoing.flush()
  expect(given).toEqual(["1", "2"])
})

test("[T-3.4] what buffers on the way swallow is bounded, too: without a pong no more than that goes out", () => {
  const { outgoing, publish, given, state, pings } = open()
  state.swallows = true
  outgoing.join("a")
  for (let i = 0; i < 10_000; i++) {
    publish("a", text(i))
    if (i % 500 === 0) outgoing.check()
  }
  expect(given.length).toBeLessThan(1100)
  expect(pings).toEqual(["1"])
  // Another's pong, or one that was not asked for, proves nothing.
  outgoing.pong("7")
  outgoing.pong("")
  const before = given.length
  expect(given.length).toBe(before)
  outgoing.pong("1")
  expect(given.length).toBeGreaterThan(before)
  outgoing.pong("1")
  expect(pings).toEqual(["1", "2"])
})

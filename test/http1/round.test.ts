import { expect, test } from "bun:test"
import { handling, Inbox, outbox, type Receiver, roundClock, roundWallClock } from "../../src/http1/round.ts"
import { Writer } from "../../src/http1/writer.ts"
import { now } from "../../src/lib/clock.ts"
import { ValveSink } from "../support/valve_sink.ts"

/** What waits for this one is handled when the runtime's reads of this turn are. */
const roundOver = () => new Promise<void>((resolve) => setImmediate(resolve))

type Does = (bytes: Buffer) => void

function makeSocket(received: Does): Receiver & { data: { received: Does } } {
  return { data: { received } }
}

/** An inbox, and a socket by each name that notes what it gets. */
function makeInbox(stage: "answers" | "requests", order: string[] = []) {
  const faults: string[] = []
  const inbox = new Inbox<Receiver>(stage, (_, error) => faults.push(error.message))
  const noting = (name: string) => makeSocket((bytes) => order.push(name + bytes.latin1Slice()))
  const put = (socket: Receiver, text: string) => inbox.put(socket, Buffer.from(text, "latin1"))
  return { inbox, faults, order, noting, put }
}

function post(writer: Writer, text: string): void {
  const start = outbox.begin()
  writer.write(outbox.buffer, start, start + outbox.buffer.latin1Write(text, start))
}

test("reads wait for the end of the turn, and are handled in the order they came", async () => {
  const { put, noting, order } = makeInbox("requests")
  const a = noting("a")
  put(a, "1")
  put(noting("b"), "2")
  put(a, "3")
  await Promise.resolve()
  expect(order).toEqual([])
  await roundOver()
  expect(order).toEqual(["a1", "b2", "a3"])
})

test("what services answered is handled before what clients ask, whichever came first", async () => {
  const order: string[] = []
  const requests = makeInbox("requests", order)
  const answers = makeInbox("answers", order)
  requests.put(requests.noting("request"), "1")
  answers.put(answers.noting("answer"), "1")
  requests.put(requests.noting("request"), "2")
  answers.put(answers.noting("answer"), "2")
  await roundOver()
  expect(order).toEqual(["answer1", "answer2", "request1", "request2"])
})

test("past 262,144 bytes, of all inboxes together, what waits is handled at once", async () => {
  const order: string[] = []
  const answers = makeInbox("answers", order)
  const requests = makeInbox("requests", order)
  const sized = (name: string) => makeSocket((bytes) => order.push(`${name}${bytes.length}`))
  answers.put(sized("a"), "x".repeat(200_000))
  requests.put(sized("b"), "x".repeat(62_144))
  expect(order).toEqual([])
  requests.put(sized("c"), "x")
  expect(order).toEqual(["a200000", "b62144", "c1"])
  // Counted from the beginning again.
  requests.put(sized("d"), "x".repeat(262_144))
  expect(order.length).toBe(3)
  requests.put(sized("e"), "x")
  expect(order.length).toBe(5)
  await roundOver()
  expect(order.length).toBe(5)
})

test("an event of a socket whose bytes wait has them handled first, and sent what they led to", () => {
  const sink = new ValveSink()
  const writer = new Writer(sink)
  const { inbox, put } = makeInbox("requests")
  const socket = makeSocket((bytes) => post(writer, `answer to ${bytes.latin1Slice()}`))
  put(socket, "1")
  inbox.settle(socket)
  expect(sink.text).toBe("answer to 1")
})

test("an event of a socket none of whose bytes wait handles nothing", async () => {
  const { inbox, put, noting, order } = makeInbox("requests")
  const a = noting("a")
  put(a, "1")
  inbox.settle(noting("b"))
  expect(order).toEqual([])
  await roundOver()
  inbox.settle(a)
  expect(order).toEqual(["a1"])
})

test("an event looks at the reads of this round only", async () => {
  const { inbox, put, noting, order } = makeInbox("requests")
  const a = noting("a")
  const b = noting("b")
  put(b, "1")
  put(a, "2")
  await roundOver()
  put(b, "3")
  inbox.settle(a)
  expect(order).toEqual(["b1", "a2"])
  await roundOver()
})

test("bytes go to whoever has the socket when they are handled", async () => {
  const { put, order } = makeInbox("requests")
  const socket = makeSocket(() => {
    socket.data = { received: (bytes) => order.push(`heir ${bytes.latin1Slice()}`) }
  })
  put(socket, "1")
  put(socket, "2")
  await roundOver()
  expect(order).toEqual(["heir 2"])
})

test("a handler that throws is a fault of its socket, and the others of the round are handled", async () => {
  const faulted: [Receiver, string][] = []
  const order: string[] = []
  const inbox = new Inbox<Receiver>("requests", (socket, error) => faulted.push([socket, error.message]))
  const broken = makeSocket(() => {
    throw new Error("broken")
  })
  const sound = makeSocket((bytes) => order.push(bytes.latin1Slice()))
  inbox.put(sound, Buffer.from("1"))
  inbox.put(broken, Buffer.from("2"))
  inbox.put(sound, Buffer.from("3"))
  await roundOver()
  expect(faulted).toEqual([[broken, "broken"]])
  expect(order).toEqual(["1", "3"])
  // And the next round comes.
  inbox.put(sound, Buffer.from("4"))
  await roundOver()
  expect(order).toEqual(["1", "3", "4"])
})

test("what handlers promise is sent in the same round, however many promises deep", () => {
  const sink = new ValveSink()
  const writer = new Writer(sink)
  const { inbox, put } = makeInbox("requests")
  const answer = async (text: string) => {
    for (let i = 0; i < 50; i++) await null
    post(writer, text)
  }
  const socket = makeSocket((bytes) => void answer(bytes.latin1Slice()))
  put(socket, "1")
  put(socket, "2")
  inbox.settle(socket)
  expect([sink.text, sink.writes.length]).toEqual(["12", 2])
})

test("the writes of a round go out together, when all of it is handled", async () => {
  const { put } = makeInbox("requests")
  const sink = new ValveSink()
  const writer = new Writer(sink)
  const seen: string[] = []
  const socket = makeSocket((bytes) => {
    post(writer, bytes.latin1Slice())
    seen.push(sink.text)
  })
  put(socket, "1")
  put(socket, "2")
  await roundOver()
  expect([seen, sink.text]).toEqual([["", ""], "12"])
})

test("what is written outside of a round goes out at the end of the turn", async () => {
  const sink = new ValveSink()
  post(new Writer(sink), "1")
  await Promise.resolve()
  expect(sink.text).toBe("")
  await roundOver()
  expect(sink.text).toBe("1")
})

test("what comes in, and what is asked to be settled, within a round is handled in it, in order", async () => {
  const { inbox, put, order } = makeInbox("requests")
  const second = makeSocket((bytes) => order.push(`second ${bytes.latin1Slice()}`))
  const first = makeSocket((bytes) => {
    order.push(`first ${bytes.latin1Slice()}`)
    put(second, "3")
    inbox.settle(second)
  })
  put(first, "1")
  put(second, "2")
  await roundOver()
  expect(order).toEqual(["first 1", "second 2", "second 3"])
})

test("an answer that comes in while requests are handled waits for the next round", async () => {
  const order: string[] = []
  const answers = makeInbox("answers", order)
  const requests = makeInbox("requests", order)
  const late = answers.noting("answer ")
  requests.put(
    makeSocket(() => answers.put(late, "x".repeat(262_145))),
    "1",
  )
  await roundOver()
  await roundOver()
  expect(order.length).toBe(1)
})

test("who waits for the round is told in it, behind the reads, and sent for with them", async () => {
  const { put, noting, order } = makeInbox("requests")
  const sink = new ValveSink()
  const writer = new Writer(sink)
  const waiting = handling().then(() => {
    order.push("handling")
    post(writer, "answer")
  })
  put(noting("a"), "1")
  expect(order).toEqual([])
  await waiting
  await roundOver()
  expect([order, sink.text]).toEqual([["a1", "handling"], "answer"])
})

test("all who wait for a round wait for the same one, and who comes later for the next", async () => {
  const first = handling()
  expect(handling()).toBe(first)
  await first
  const second = handling()
  expect(second).not.toBe(first)
  await second
})

test("a socket that closes by the hand of a handler gets its bytes all the same, and only once", async () => {
  const { inbox, put, order } = makeInbox("requests")
  const victim = makeSocket((bytes) => order.push(`victim ${bytes.latin1Slice()}`))
  // As `terminate` does: "close" comes before it returns.
  const killer = makeSocket(() => {
    inbox.settle(victim)
    order.push("closed")
  })
  put(killer, "1")
  put(victim, "2")
  await roundOver()
  await roundOver()
  expect(order).toEqual(["closed", "victim 2"])
})

test("what is handled together has one time, and between rounds time goes on", async () => {
  const { inbox } = makeInbox("requests")
  const times: [ms: number, wallMs: number][] = []
  const note = makeSocket(() => {
    times.push([roundClock(), roundWallClock()])
    const at = [now(), Date.now()]
    while (now() === at[0] || Date.now() === at[1]);
  })
  inbox.put(note, Buffer.from("a"))
  inbox.put(note, Buffer.from("b"))
  await roundOver()
  inbox.put(note, Buffer.from("c"))
  await roundOver()
  const [a, b, c] = times
  expect(a).toEqual(b!)
  expect(c![0]).toBeGreaterThan(b![0])
  expect(c![1]).toBeGreaterThan(b![1])
  expect(roundClock()).toBeGreaterThan(c![0])
  expect(roundWallClock()).toBeGreaterThan(c![1])
})

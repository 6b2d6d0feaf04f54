import { expect, test } from "bun:test"
import { outbox } from "../../src/http1/round.ts"
import { Writer } from "../../src/http1/writer.ts"
import { Dice } from "../support/request_streams.ts"
import { ValveSink } from "../support/valve_sink.ts"

const NOTHING_TAKEN = 0

/** Puts a message together in the outbox, as answers and requests are. */
function post(writer: Writer, text: string): boolean {
  const start = outbox.begin()
  return writer.write(outbox.buffer, start, start + outbox.buffer.latin1Write(text, start))
}

function direct(writer: Writer, text: string): boolean {
  const bytes = Buffer.from(text, "latin1")
  return writer.write(bytes, 0, bytes.length)
}

/** A chunk with the head before it in the outbox. */
function giveWithHead(writer: Writer, head: string, chunk: Uint8Array, chunked: boolean): boolean {
  const start = outbox.begin()
  return writer.give(chunk, chunked, start, start + outbox.buffer.latin1Write(head, start))
}

function makeWriter(room?: number) {
  const sink = new ValveSink(room)
  let refusals = 0
  const writer = new Writer(sink, () => refusals++)
  return { sink, writer, refusals: () => refusals }
}

function open(sink: ValveSink, writer: Writer, room = Number.POSITIVE_INFINITY): boolean {
  sink.room = room
  return writer.drained()
}

test("a message in the outbox waits for the end of the round, and counts as gone", () => {
  const { sink, writer } = makeWriter()
  expect(post(writer, "a")).toBe(true)
  expect([sink.text, writer.empty, writer.taken]).toEqual(["", true, 0])
  outbox.send()
  expect([sink.text, writer.empty, writer.taken]).toEqual(["a", true, 1])
})

test("other bytes go at once, behind what waits in the outbox", () => {
  const { sink, writer } = makeWriter()
  post(writer, "head ")
  direct(writer, "body")
  expect(sink.text).toBe("head body")
})

test("other bytes of one connection leave the messages of the others where they are", () => {
  const other = makeWriter()
  const own = makeWriter()
  post(other.writer, "other")
  direct(own.writer, "own")
  expect([own.sink.text, other.sink.text]).toEqual(["own", ""])
  outbox.send()
  expect(other.sink.text).toBe("other")
})

test("flush sends what waits, and tells whether the sink has taken it", () => {
  const willing = makeWriter()
  post(willing.writer, "all of it")
  expect([willing.writer.flush(), willing.sink.text]).toEqual([true, "all of it"])
  const slow = makeWriter(3)
  post(slow.writer, "all of it")
  expect([slow.writer.flush(), slow.sink.text]).toEqual([false, "all"])
  expect([open(slow.sink, slow.writer), slow.sink.text]).toEqual([true, "all of it"])
})

test("what the sink does not take is kept although the outbox is used again", () => {
  const { sink, writer } = makeWriter(2)
  post(writer, "first")
  outbox.send()
  post(makeWriter().writer, "#".repeat(1000))
  outbox.send()
  open(sink, writer)
  expect(sink.text).toBe("first")
})

test("two messages in the outbox, the first taken in part: the second stays behind it", () => {
  const { sink, writer } = makeWriter(4)
  post(writer, "first ")
  post(writer, "second ")
  outbox.send()
  expect(post(writer, "third")).toBe(false)
  expect(sink.text).toBe("firs")
  expect([open(sink, writer, 5), sink.text]).toEqual([false, "first sec"])
  expect([open(sink, writer), sink.text]).toEqual([true, "first second third"])
})

test("a writer whose first message is out still knows of its second", () => {
  const { sink, writer } = makeWriter()
  // Has its turn between the two, and makes the writer write something else.
  const between = new Writer({ write: () => -1 }, () => direct(writer, "3"))
  post(writer, "1")
  post(between, "closes")
  post(writer, "2")
  outbox.send()
  expect(sink.text).toBe("123")
})

test("a small chunk goes in one write with the head before it", () => {
  const { sink, writer } = makeWriter()
  expect(giveWithHead(writer, "head\r\n\r\n", Buffer.from("body"), true)).toBe(true)
  outbox.send()
  expect([sink.text, sink.writes.length]).toEqual(["head\r\n\r\n4\r\nbody\r\n", 1])
})

test("a chunk that the outbox has no room for goes behind its head and size, and before its end", () => {
  const { sink, writer } = makeWriter()
  const text = "x".repeat(outbox.buffer.length)
  expect(giveWithHead(writer, "head\r\n\r\n", Buffer.from(text), true)).toBe(true)
  expect(sink.text).toBe(`head\r\n\r\n${text.length.toString(16)}\r\n${text}\r\n`)
})

test("a chunk is given back when it is out, and not before", () => {
  const { sink, writer } = makeWriter(10)
  const large = new Uint8Array(20_000).fill(120)
  expect(writer.give(large, false)).toBe(false)
  expect(large.length).toBe(20_000)
  open(sink, writer)
  expect([sink.taken.length, large.length]).toEqual([20_000, 0])
  const copied = new Uint8Array(20_000).fill(121)
  expect(writer.give(copied, true)).toBe(true)
  outbox.send()
  expect([sink.taken.length, copied.length]).toEqual([20_000 + 20_000 + "4e20\r\n\r\n".length, 0])
})

test("a sink that closes before the round is over refuses once, and later messages go nowhere", () => {
  const { sink, writer, refusals } = makeWriter()
  post(writer, "a")
  post(writer, "b")
  sink.closing = true
  outbox.send()
  expect([writer.closed, writer.taken, refusals()]).toEqual([true, NOTHING_TAKEN, 1])
  expect(post(writer, "c")).toBe(true)
  outbox.send()
  expect([sink.text, refusals()]).toEqual(["", 1])
})

test("a sink that is closing when bytes are written at once says so by `closed`, without a call", () => {
  const { sink, writer, refusals } = makeWriter()
  sink.closing = true
  direct(writer, "a")
  expect([writer.closed, refusals()]).toEqual([true, 0])
})

test("a sink that closes harms no other message of the round", () => {
  const closing = makeWriter()
  const others = [makeWriter(), makeWriter()] as const
  post(others[0].writer, "before")
  post(closing.writer, "lost")
  post(others[1].writer, "behind")
  closing.sink.closing = true
  outbox.send()
  expect(others.map(({ sink }) => sink.text)).toEqual(["before", "behind"])
})

test("a refused writer may have others flush, and write elsewhere", () => {
  const other = makeWriter()
  const refused = new Writer({ write: () => -1 }, () => {
    other.writer.flush()
    post(other.writer, " again")
  })
  post(refused, "lost")
  post(other.writer, "kept")
  outbox.send()
  expect(other.sink.text).toBe("kept again")
})

test("what is dropped is not sent", () => {
  const { sink, writer } = makeWriter(1)
  direct(writer, "abc")
  writer.drop()
  expect([writer.empty, open(sink, writer), sink.text]).toEqual([true, true, "a"])
})

for (let seed = 1; seed <= 40; seed++) {
  test(`every sink gets what was written for it, in order, whatever else is written (seed ${seed})`, () => {
    const dice = new Dice(seed)
    const lines = Array.from({ length: 5 }, () => ({ ...makeWriter(dice.next(5000)), written: "" }))
    let mark = 0
    /** No two alike: a byte from elsewhere shows. */
    const text = (most: number): string => {
      const label = `<${mark++}>`
      return label + "abcdefghijklmnop"[mark % 16]!.repeat(dice.next(most))
    }
    const most = () => dice.pick([1, 20, 3000, 70_000, 190_000])
    for (let step = 0; step < 150; step++) {
      const line = dice.pick(lines)
      const { sink, writer } = line
      const kind = dice.next(9)
      if (kind <= 2) {
        const message = text(most())
        line.written += message
        expect(post(writer, message)).toBe(writer.empty)
      } else if (kind === 3) {
        const message = text(most())
        line.written += message
        expect(direct(writer, message)).toBe(writer.empty)
      } else if (kind <= 5) {
        const chunk = text(dice.pick([20, 20_000, 300_000]))
        const chunked = dice.once(2)
        const head = dice.once(2) ? text(2000) : ""
        line.written += head + (chunked ? `${chunk.length.toString(16)}\r\n${chunk}\r\n` : chunk)
        const bytes = new Uint8Array(Buffer.from(chunk, "latin1"))
        const flowing = head === "" ? writer.give(bytes, chunked) : giveWithHead(writer, head, bytes, chunked)
        expect(flowing).toBe(writer.empty)
      } else if (kind === 6) outbox.send()
      else if (kind === 7) {
        const empty = writer.flush()
        expect(empty).toBe(writer.empty)
        if (empty) expect(sink.taken.length).toBe(line.written.length)
      } else {
        sink.room = dice.next(200_000)
        if (sink.full) expect(writer.drained()).toBe(writer.empty)
      }
      expect(writer.taken).toBe(sink.taken.length)
      expect(line.written.startsWith(sink.text)).toBe(true)
    }
    outbox.send()
    for (const { sink, writer, written } of lines) {
      if (sink.full) expect(open(sink, writer)).toBe(true)
      expect(sink.text === written).toBe(true)
    }
  })
}

import { expect, test } from "bun:test"
import { Outgoing } from "../../../src/edge/lane/outgoing.ts"
import type { LaneOwner } from "../../../src/edge/lane/owner.ts"
import type { BodySource } from "../../../src/http1/body.ts"
import { outbox } from "../../../src/http1/round.ts"
import { Writer } from "../../../src/http1/writer.ts"
import { ChunkSource } from "../../support/body.ts"
import { makeAnswer, makeExchange } from "../../support/exchange.ts"
import { ValveSink } from "../../support/valve_sink.ts"

const DATE = "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"

function makeOutgoing() {
  const sink = new ValveSink()
  const events: string[] = []
  const lane = {
    dateLine: DATE,
    unwritable(exchange) {
      exchange.answer = makeAnswer(500)
    },
  } as Partial<LaneOwner> as LaneOwner
  const outgoing = new Outgoing(new Writer(sink), lane, {
    answered: () => events.push("answered"),
    answerBroken: () => events.push("broken"),
  })
  return { sink, outgoing, events }
}

function post(writer: Writer, text: string): void {
  const start = outbox.begin()
  writer.write(outbox.buffer, start, start + outbox.buffer.latin1Write(text, start))
}

/** A body whose end makes others write: its connection closes, and reads that waited for that are handled. */
function noisyBody(writer: Writer): BodySource {
  return {
    length: undefined,
    flow: () => undefined,
    resume: () => undefined,
    cancel: () => post(writer, "other"),
  }
}

test("a body that nobody wants may, as it is given up, make others write: each gets its own", () => {
  const { sink, outgoing } = makeOutgoing()
  const other = new ValveSink()
  const exchange = makeExchange({ method: "HEAD" })
  exchange.answer = makeAnswer(200, [], noisyBody(new Writer(other)))
  outgoing.send(exchange, false)
  outbox.send()
  expect([sink.text, other.text]).toEqual([`HTTP/1.1 200 OK\r\n${DATE}\r\n`, "other"])
})

test("the same holds for an answer that cannot be written", () => {
  const { sink, outgoing } = makeOutgoing()
  const other = new ValveSink()
  const exchange = makeExchange()
  exchange.answer = makeAnswer(200, { "x-broken": "a\nb" }, noisyBody(new Writer(other)))
  outgoing.send(exchange, false)
  outbox.send()
  expect(other.text).toBe("other")
  expect(sink.text).toStartWith("HTTP/1.1 500 ")
  expect(sink.text).not.toContain("other")
})

test("a head goes out with the first bytes of its body, when those are here", () => {
  const { sink, outgoing, events } = makeOutgoing()
  const exchange = makeExchange()
  exchange.answer = makeAnswer(200, [], new ChunkSource([Buffer.from("body")]))
  outgoing.send(exchange, false)
  outbox.send()
  expect(sink.text).toBe(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n${DATE}\r\n4\r\nbody\r\n0\r\n\r\n`)
  expect([sink.writes.length, events]).toEqual([2, ["answered"]])
})

test("a head whose body has still to come goes out alone", () => {
  const { sink, outgoing, events } = makeOutgoing()
  const exchange = makeExchange()
  const silent: BodySource = {
    length: 4,
    flow: () => undefined,
    resume: () => undefined,
    cancel: () => undefined,
  }
  exchange.answer = makeAnswer(200, [], silent)
  outgoing.send(exchange, false)
  outbox.send()
  expect(sink.text).toBe(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\n${DATE}\r\n`)
  expect(events).toEqual([])
})

test("[F-31] a body that breaks off behind its first bytes: they go out with the head, and it is told", () => {
  const { sink, outgoing, events } = makeOutgoing()
  const exchange = makeExchange()
  exchange.answer = makeAnswer(200, [], new ChunkSource([Buffer.from("bo")], { length: 4, abort: "gone" }))
  outgoing.send(exchange, false)
  outbox.send()
  expect(sink.text).toBe(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\n${DATE}\r\nbo`)
  expect(events).toEqual(["broken"])
})

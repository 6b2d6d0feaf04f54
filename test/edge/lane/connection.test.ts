import { expect, test } from "bun:test"
import { LaneConnection } from "../../../src/edge/lane/connection.ts"
import type { LaneOwner } from "../../../src/edge/lane/owner.ts"
import type { RawSocket, SocketEvents } from "../../../src/edge/raw_socket.ts"
import type { Gateway } from "../../../src/gateway/gateway.ts"
import type { Body } from "../../../src/http1/body.ts"
import { HOP_BY_HOP } from "../../../src/http1/fields.ts"
import { outbox } from "../../../src/http1/round.ts"
import { Exchange } from "../../../src/upstream/exchange.ts"
import { ChunkSource } from "../../support/body.ts"
import { makeAnswer } from "../../support/exchange.ts"
import { ValveSink } from "../../support/valve_sink.ts"

/** A client's socket that takes only so much, and notes what is done to it besides. */
class ValveSocket extends ValveSink {
  readonly events: string[] = []
  data: SocketEvents | undefined
  pause = () => undefined
  resume = () => undefined

  end(bytes?: Uint8Array): void {
    this.events.push(`end after ${this.taken.length} bytes${bytes === undefined ? "" : " with more"}`)
  }

  shutdown(): void {
    this.events.push(`shutdown after ${this.taken.length} bytes`)
  }

  /** What "close", which comes at once, brings about. */
  onTerminate = () => undefined as unknown

  terminate(): void {
    this.onTerminate()
    this.events.push(`terminate after ${this.taken.length} bytes`)
  }
}

const BODY = "b".repeat(1000)
const ASK = "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
const UPGRADE = "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

/** A connection of a lane on which every request is answered at once. */
function openConnection(room: number) {
  const socket = new ValveSocket(room)
  const taken: string[] = []
  const state = { refuses: false, body: Buffer.from(BODY) as Body, begun: 0, asked: [] as string[] }
  const gateway: Pick<Gateway, "begin" | "handle" | "finish" | "relays"> = {
    begin(arrival) {
      state.begun++
      state.asked.push(arrival.fault === "" ? arrival.host : arrival.fault)
      return new Exchange(arrival, HOP_BY_HOP, HOP_BY_HOP)
    },
    async handle(exchange) {
      exchange.answer = makeAnswer(200, [], state.body)
    },
    finish: () => undefined,
    relays: () => false,
  }
  const owner: LaneOwner = {
    gateway,
    unwritable: () => undefined,
    refusal: () => (state.refuses ? Buffer.from("refused") : undefined),
    handOver(given) {
      socket.events.push(`handed over after ${(given as unknown as ValveSocket).taken.length} bytes`)
      return {
        received: (bytes) => void taken.push(bytes.latin1Slice()),
        drained: () => undefined,
        endReceived: () => undefined,
        closed: () => undefined,
      }
    },
    gone: () => undefined,
    now: () => 0,
    draining: false,
    compresses: false,
    dateLine: "",
  }
  const origin = {
    address: "192.0.2.1",
    scheme: "http",
    certificate: undefined,
    listener: { retired: false },
  } as const
  const connection = new LaneConnection(socket as unknown as RawSocket, origin, owner)
  return {
    socket,
    connection,
    taken,
    state,
    /** Lets so many more bytes through. */
    drain(more: number) {
      socket.room = more
      connection.drained()
    },
    read: (text: string) => connection.received(Buffer.from(text, "latin1")),
  }
}

/** Until the handlers' promises are through, and what they wrote is out. */
async function roundOver(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve))
  outbox.send()
}

const ANSWER = `HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n${BODY}`

test("a connection is handed over behind its last answer, which waited for the end of the round", async () => {
  const { socket, read, taken } = openConnection(Number.POSITIVE_INFINITY)
  read(ASK + UPGRADE)
  await roundOver()
  expect([socket.text, socket.events, taken]).toEqual([
    ANSWER,
    [`handed over after ${ANSWER.length} bytes`],
    [UPGRADE],
  ])
})

test("a connection whose client takes only a part of that answer is handed over when all of it is out", async () => {
  const { socket, read, drain, taken } = openConnection(100)
  read(ASK + UPGRADE)
  await roundOver()
  expect([socket.taken.length, socket.events]).toEqual([100, []])
  drain(50)
  expect([socket.taken.length, socket.events]).toEqual([150, []])
  drain(10_000)
  expect([socket.text, socket.events, taken]).toEqual([
    ANSWER,
    [`handed over after ${ANSWER.length} bytes`],
    [UPGRADE],
  ])
})

test("a client that is blocked meanwhile is told so behind its last answer, never within it", async () => {
  const { socket, connection, read, drain, state } = openConnection(100)
  read(ASK)
  // The answer waits for the end of the round.
  await Promise.resolve()
  await Promise.resolve()
  state.refuses = true
  read(ASK)
  await roundOver()
  expect([socket.taken.length, socket.events]).toEqual([100, []])
  drain(10_000)
  expect([socket.text, socket.events]).toEqual([ANSWER, [`end after ${ANSWER.length} bytes with more`]])
  connection.closed()
})

test("answers to requests of one read go out in one round, in order, and the end behind them", async () => {
  const { socket, read } = openConnection(Number.POSITIVE_INFINITY)
  read(ASK + ASK + ASK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n") + ASK)
  await roundOver()
  const last = ANSWER.replace("content-length: 1000\r\n", "content-length: 1000\r\nconnection: close\r\n")
  expect(socket.text).toBe(ANSWER + ANSWER + last)
  expect(socket.events).toEqual([`shutdown after ${socket.text.length} bytes`])
})

test("the end waits for what the client has not taken", async () => {
  const { socket, read, drain } = openConnection(100)
  read(ASK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
  await roundOver()
  expect(socket.events).toEqual([])
  drain(10_000)
  expect(socket.events).toEqual([`shutdown after ${socket.text.length} bytes`])
})

test("who cuts all connections cuts no answer that waits for the end of the round", async () => {
  for (const hard of [false, true]) {
    const { socket, connection, read } = openConnection(Number.POSITIVE_INFINITY)
    read(ASK)
    await Promise.resolve()
    await Promise.resolve()
    expect(socket.text).toBe("")
    connection.end(hard)
    expect(socket.text).toBe(ANSWER)
    expect(socket.events).toEqual([`${hard ? "terminate" : "end"} after ${ANSWER.length} bytes`])
    await roundOver()
  }
})

test("what came before the client's end is answered before the connection ends", async () => {
  const { socket, connection, read } = openConnection(Number.POSITIVE_INFINITY)
  read(ASK)
  await Promise.resolve()
  await Promise.resolve()
  connection.endReceived()
  expect([socket.text, socket.events]).toEqual([ANSWER, [`end after ${ANSWER.length} bytes`]])
})

test("[F-31] an answer that breaks off goes out as far as it came, and then the connection is cut", async () => {
  const { socket, read, state } = openConnection(Number.POSITIVE_INFINITY)
  state.body = new ChunkSource([Buffer.from("so far")], { length: 10, abort: "gone" })
  read(ASK)
  await roundOver()
  const text = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nso far"
  expect([socket.text, socket.events]).toEqual([text, [`terminate after ${text.length} bytes`]])
})

test("an answer that breaks off takes none with it that was complete before", async () => {
  const { socket, read, state } = openConnection(Number.POSITIVE_INFINITY)
  read(ASK)
  await Promise.resolve()
  await Promise.resolve()
  state.body = new ChunkSource([], { length: 10, abort: "gone" })
  read(ASK)
  await roundOver()
  expect([socket.text, socket.events]).toEqual([ANSWER, [`terminate after ${ANSWER.length} bytes`]])
})

test("who is cut off asks nothing more, also what was read before", () => {
  const { socket, connection, read, state } = openConnection(Number.POSITIVE_INFINITY)
  socket.onTerminate = () => read(ASK)
  connection.end(true)
  expect([state.begun, socket.events]).toEqual([0, ["terminate after 0 bytes"]])
})

/** What the requests of one connection, with these fields, are taken for. */
async function hostsOf(...all: string[]): Promise<string[]> {
  const { read, state } = openConnection(Number.POSITIVE_INFINITY)
  for (const fields of all) {
    read(`GET /x HTTP/1.1\r\n${fields}\r\n\r\n`)
    await roundOver()
  }
  return state.asked
}

test("[F-11] each request of a connection goes by its own Host, whatever the last one had", async () => {
  expect(await hostsOf("Host: a", "Host: A", "Host: a", "Host: b:80", "Host: a")).toEqual([
    ...["a", "a", "a", "b:80", "a"],
  ])
  for (const bad of ["Host: a\r\nHost: a", "X-Host: a", "Host:", "Host: ", "Host: a/b"]) {
    expect(await hostsOf("Host: a", bad)).toEqual(["a", "INVALID_HOST"])
    expect(await hostsOf(bad)).toEqual(["INVALID_HOST"])
  }
})

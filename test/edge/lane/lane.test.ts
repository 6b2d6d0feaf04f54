import { afterEach, expect, jest, test } from "bun:test"
import type { HandOver } from "../../../src/edge/hand_over.ts"
import { Lane } from "../../../src/edge/lane/lane.ts"
import type { RawSocket, SocketEvents } from "../../../src/edge/raw_socket.ts"
import { Inbox } from "../../../src/http1/round.ts"
import { exampleConfig } from "../../support/config.ts"
import { makeGateway } from "../../support/gateway.ts"
import { memoryLog } from "../../support/memory_log.ts"
import { ValveSink } from "../../support/valve_sink.ts"

afterEach(() => void jest.useRealTimers())

const FILE = {
  server: { keep_alive_timeout: "5s" },
  routes: [{ path: "/x", respond: { status: 204 } }],
}

test("a client whose request was read before its idle connection is looked at is answered", () => {
  jest.useFakeTimers()
  let at = 1000
  const made = makeGateway(FILE)
  const lane = new Lane({
    gateway: made.gateway,
    server: exampleConfig(FILE).server,
    handOver: {} as HandOver,
    clock: () => at,
    wallClock: () => at,
    log: memoryLog(),
  })
  const ends: string[] = []
  const sink = new ValveSink(10_000)
  const socket = Object.assign(sink, {
    data: undefined as SocketEvents | undefined,
    pause: () => undefined,
    resume: () => undefined,
    end: () => ends.push("end"),
    shutdown: () => ends.push("shutdown"),
    terminate: () => ends.push("terminate"),
  }) as unknown as RawSocket & { data: SocketEvents }
  const listener = { retired: false }
  const origin = { address: "127.0.0.1", scheme: "http", certificate: undefined, listener } as const
  socket.data = lane.take(socket, origin)
  try {
    jest.advanceTimersByTime(500)
    at += 6000
    const inbox = new Inbox<{ data: SocketEvents }>("requests", (_, error) => {
      throw error
    })
    inbox.put(socket, Buffer.from("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"))
    jest.advanceTimersByTime(500)
    expect([ends, made.finished()]).toEqual([[], 1])
    expect(sink.taken.toString().slice(0, 12)).toBe("HTTP/1.1 204")
  } finally {
    lane.terminate()
    made.close()
  }
})

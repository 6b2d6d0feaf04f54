import { afterEach, expect, test } from "bun:test"
import type { Socket } from "bun"
import { HandOver } from "../../src/edge/hand_over.ts"
import type { Origin } from "../../src/edge/origin.ts"
import type { RawSocket, SocketEvents } from "../../src/edge/raw_socket.ts"
import { now } from "../../src/lib/clock.ts"
import { until } from "../support/until.ts"

const ORIGIN: Origin = {
  address: "192.0.2.7",
  scheme: "https",
  certificate: undefined,
  listener: { retired: false },
}
const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** A client's connection handed over to an inner server that does nothing by itself. */
async function join() {
  const inner: Socket<undefined>[] = []
  const server = Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => void inner.push(socket), data: (socket, bytes) => void socket.write(bytes) },
  })
  const handOver = new HandOver(now, () => undefined)
  handOver.innerPort = server.port
  const outer = Bun.listen<SocketEvents>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      binaryType: "buffer",
      open: (socket) => void (socket.data = handOver.take(socket as RawSocket, ORIGIN)!),
      data: (socket, bytes) => socket.data.received(bytes),
      drain: (socket) => socket.data.drained(),
      end: (socket) => socket.data.endReceived(),
      close: (socket, error) => socket.data.closed(error),
    },
  })
  const seen = { text: "", closed: false }
  const client = await Bun.connect({
    hostname: "127.0.0.1",
    port: outer.port,
    socket: {
      data: (_, bytes) => void (seen.text += bytes.toString()),
      close: () => void (seen.closed = true),
    },
  })
  closing.push(() => {
    handOver.terminate()
    server.stop(true)
    outer.stop(true)
    client.terminate()
  })
  await until(() => inner.length === 1, "the inner connection")
  const peer = { address: "127.0.0.1", port: inner[0]!.remotePort }
  await until(() => handOver.originOf(peer) !== undefined, "the entry")
  return { handOver, server, inner: inner[0]!, peer, client, seen }
}

test("a connection that was handed over is known by its source, and its bytes pass both ways", async () => {
  const { handOver, peer, client, seen } = await join()
  expect(handOver.originOf(peer)).toBe(ORIGIN)
  client.write("hello")
  await until(() => seen.text === "hello", "the echo")
})

test("[F-64] another process that connects to the inner door is nobody", async () => {
  const { handOver, server, peer } = await join()
  const stranger = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port,
    socket: { data: () => undefined },
  })
  expect(handOver.originOf({ address: "127.0.0.1", port: stranger.localPort })).toBeUndefined()
  // All of 127.0.0.0/8 is loopback: the same port of another address is somebody else's.
  expect(handOver.originOf({ address: "127.0.0.2", port: peer.port })).toBeUndefined()
  expect(handOver.originOf(null)).toBeUndefined()
  stranger.terminate()
})

test("[F-64] from the moment of a reset on, the source port is nobody's, before any event tells of it", async () => {
  const { handOver, inner, peer } = await join()
  expect(handOver.originOf(peer)).toBe(ORIGIN)
  inner.terminate()
  // No turn of the loop in between: another process could have taken the port by now.
  expect(handOver.originOf(peer)).toBeUndefined()
})

test("the client's leaving reaches the inner door, and the inner door's leaving the client", async () => {
  const one = await join()
  one.client.end()
  await until(() => one.inner.readyState <= 0, "the end of the inner connection")
  expect(one.handOver.originOf(one.peer)).toBeUndefined()
  const two = await join()
  two.inner.end("last words")
  await until(() => two.seen.closed, "the end of the client's connection")
  expect(two.seen.text).toBe("last words")
  expect(two.handOver.originOf(two.peer)).toBeUndefined()
})

test("closing waits for the last bytes", async () => {
  const { handOver, inner, seen } = await join()
  inner.end("x".repeat(100_000))
  await until(() => seen.text !== "", "the first bytes")
  await handOver.close()
  await until(() => seen.closed, "the end")
  expect(seen.text.length).toBe(100_000)
})

import { expect, test } from "bun:test"
import { WatchedBody } from "../../src/upstream/watched_body.ts"
import { HandSource, KeepingSink } from "../support/bodies.ts"

test("a body nobody has read survives the connection that was to send it", () => {
  const source = new HandSource(3)
  const body = new WatchedBody(source, () => 1)
  body.cancel()
  expect(source.cancelled).toBe(false)
  expect(body.state).toBe("unread")
  const sink = new KeepingSink()
  body.flow(sink)
  body.write(Buffer.from("abc"))
  body.end()
  expect(sink.text).toBe("abc")
  expect(body.state).toBe("complete")
})

test("a body tells whom it waits for, and keeps that when the connection gives it up", () => {
  let at = 10
  const source = new HandSource()
  const body = new WatchedBody(source, () => at)
  body.flow(new KeepingSink(true))
  expect([body.state, body.movedAt]).toEqual(["waiting_for_client", 10])
  at = 20
  expect(body.write(Buffer.from("a"))).toBe(false)
  expect([body.state, body.movedAt]).toEqual(["waiting_for_upstream", 20])
  body.resume()
  expect(body.state).toBe("waiting_for_client")
  expect(source.resumed).toBe(1)
  body.cancel()
  expect(source.cancelled).toBe(true)
  expect(body.state).toBe("waiting_for_client")
})

test("a body the client broke off is passed on as broken", () => {
  const body = new WatchedBody(new HandSource(9), () => 0)
  const sink = new KeepingSink()
  body.flow(sink)
  body.abort("the client has left")
  expect(sink.aborted).toBe("the client has left")
  expect(body.state).toBe("broken")
})

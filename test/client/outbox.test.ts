import { expect, test } from "bun:test"
import { modelClient } from "./model_client.ts"

const UNAVAILABLE = { code: "UNAVAILABLE", message: "not now", temporary: true } as const
const FORBIDDEN = { code: "FORBIDDEN", message: "no", temporary: false } as const

test("messages published without a connection go out in their order when there is one", async () => {
  const { gateway, client } = modelClient()
  const published = [1, 2, 3].map((n) => client.publish("a:b", n))
  expect(client.unsent).toBe(3)
  await gateway.settle()
  const offsets = (await Promise.all(published)).map(({ position }) => position.offset)
  expect(offsets).toEqual([1, 2, 3])
  expect(gateway.channel("a:b").log.map(({ data }) => data)).toEqual([1, 2, 3])
  expect(client.unsent).toBe(0)
})

test("a message whose answer was lost is sent again with its key, and is not published twice", async () => {
  const { gateway, client, pass } = modelClient()
  await gateway.settle()
  const published = client.publish("a:b", "once")
  gateway.step(gateway.socket, "up")
  gateway.socket.cut(1006)
  await pass(1000)
  expect(await published).toMatchObject({ position: { offset: 1 }, duplicate: true })
  expect(gateway.channel("a:b").log.length).toBe(1)
})

test("a message that is put off does not let the next one of its channel pass", async () => {
  const { gateway, client, pass } = modelClient()
  await gateway.settle()
  let refused = 0
  gateway.refuse = ({ data }) => (data === "first" && refused++ < 2 ? UNAVAILABLE : undefined)
  const published = [client.publish("a:b", "first"), client.publish("a:b", "second")]
  const other = client.publish("a:c", "other")
  await gateway.settle()
  expect((await other).position.offset).toBe(1)
  await pass(2000)
  await Promise.all(published)
  expect(gateway.channel("a:b").log.map(({ data }) => data)).toEqual(["first", "second"])
})

test("a message that is refused is rejected, and the next one goes", async () => {
  const { gateway, client } = modelClient()
  await gateway.settle()
  gateway.refuse = ({ data }) => (data === "first" ? FORBIDDEN : undefined)
  const first = client.publish("a:b", "first")
  first.catch(() => {})
  const second = client.publish("a:b", "second")
  await gateway.settle()
  await expect(first).rejects.toMatchObject({ code: "FORBIDDEN", temporary: false })
  expect((await second).position.offset).toBe(1)
})

test("more messages than the outbox may hold are refused at once", async () => {
  const { gateway, client } = modelClient({ maxOutbox: 2 })
  const kept = [client.publish("a:b", 1), client.publish("a:c", 2)]
  await expect(client.publish("a:d", 3)).rejects.toMatchObject({ code: "OUTBOX_FULL", temporary: true })
  await gateway.settle()
  await Promise.all(kept)
  expect(gateway.channels.has("a:d")).toBe(false)
})

test("a message sent so long ago that its key may be forgotten is not sent again", async () => {
  const { gateway, client, time } = modelClient()
  await gateway.settle()
  const sent = client.publish("a:b", "sent")
  sent.catch(() => {})
  const waiting = client.publish("a:b", "never sent")
  gateway.step(gateway.socket, "up")
  gateway.socket.cut(1006)
  gateway.refuse = () => UNAVAILABLE
  for (let minute = 0; minute < 5; minute++) {
    time.pass(60_000)
    await gateway.settle()
  }
  gateway.refuse = () => undefined
  time.pass(30_000)
  await gateway.settle()
  await expect(sent).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" })
  expect((await waiting).position.offset).toBe(2)
})

test("a key of the caller's own is kept", async () => {
  const { gateway, client } = modelClient()
  await gateway.settle()
  const both = [client.publish("a:b", 1, "order-7"), client.publish("a:b", 1, "order-7")]
  await gateway.settle()
  expect((await Promise.all(both)).map(({ duplicate }) => duplicate)).toEqual([false, true])
})

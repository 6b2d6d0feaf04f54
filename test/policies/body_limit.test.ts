import { expect, test } from "bun:test"
import { bodyLimit, limitBody } from "../../src/policies/body_limit.ts"
import { ChunkSource, collectBody } from "../support/body.ts"
import { makeExchange } from "../support/exchange.ts"
import { compilePolicy } from "../support/policy.ts"

const chunk = (bytes: number) => new Uint8Array(bytes)
const refuse = () => expect.unreachable()

test("[F-16] a declared length over the limit is refused before anything is read", async () => {
  const source = new ChunkSource([chunk(11)], { length: 100 * 1024 ** 3 })
  const verdict = await compilePolicy(bodyLimit, { max: "1KB" }).request!(makeExchange({ body: source }))
  expect(verdict).toMatchObject({ code: "PAYLOAD_TOO_LARGE", details: { limit: 1024 } })
  expect(source.given).toBe(0)
})

test("[F-16] a stream is cut at the limit, and the exchange says why", async () => {
  const source = new ChunkSource([chunk(600), chunk(424), chunk(1), chunk(500)])
  const exchange = makeExchange({ body: source })
  expect(await compilePolicy(bodyLimit, { max: "1KB" }).request!(exchange)).toBeUndefined()
  const { bytes, aborted } = await collectBody(exchange.body)
  expect(bytes.byteLength).toBe(1024)
  expect(aborted).toContain("1024")
  expect(exchange.uploadFault).toBe("PAYLOAD_TOO_LARGE")
  expect(source.given).toBe(3)
})

test("[F-16] the reason is known before the receiver sees the break", () => {
  const order: string[] = []
  const body = limitBody(new ChunkSource([chunk(5)]), 4, () => order.push("reason")) as ChunkSource
  body.flow({ write: () => true, end: refuse, abort: () => order.push("break") })
  expect(order).toEqual(["reason", "break"])
})

test("a stream of exactly the limit passes whole", async () => {
  const body = limitBody(new ChunkSource([chunk(3), chunk(1)]), 4, refuse)
  const { bytes, aborted } = await collectBody(body)
  expect(bytes.byteLength).toBe(4)
  expect(aborted).toBeUndefined()
})

test("a body whose length is known and small enough is returned as it is", () => {
  const source = new ChunkSource([], { length: 4 })
  expect(limitBody(source, 4, refuse)).toBe(source)
  expect(limitBody(undefined, 0, refuse)).toBeUndefined()
  const bytes = chunk(4)
  expect(limitBody(bytes, 4, refuse)).toBe(bytes)
})

test("a stream is counted once where a stricter limit already holds", () => {
  const strict = limitBody(new ChunkSource([]), 4, refuse)
  expect(limitBody(strict, 10, refuse)).toBe(strict)
  expect(limitBody(strict, 3, refuse)).not.toBe(strict)
})

test("leaving and asking for more reach the sender", () => {
  const source = new ChunkSource([chunk(1), chunk(1)])
  const body = limitBody(source, 10, refuse) as ChunkSource
  body.flow({ write: () => false, end() {}, abort: refuse })
  body.resume()
  expect(source.resumed).toBe(1)
  body.cancel()
  expect(source.cancelled).toBe(true)
})

test("a sender that breaks off below the limit breaks the body off", async () => {
  const body = limitBody(new ChunkSource([chunk(1)], { abort: "client left" }), 10, refuse)
  expect((await collectBody(body)).aborted).toBe("client left")
})

import { expect, test } from "bun:test"
import { readBody } from "../../src/http1/read_body.ts"
import { ChunkSource } from "../support/body.ts"

const text = (value: string) => new TextEncoder().encode(value)

test("a body is read in one piece, whatever its form", async () => {
  expect(await readBody(undefined, 10)).toHaveLength(0)
  expect(await readBody(text("abc"), 3)).toEqual(text("abc"))
  const read = await readBody(new ChunkSource([text("ab"), text("cd")]), 4)
  expect(Buffer.from(read as Uint8Array).toString()).toBe("abcd")
})

test("[F-16] a body over the limit is given up, by its declared length or when it gets there", async () => {
  expect(await readBody(text("abcd"), 3)).toBe("too_large")
  const declared = new ChunkSource([text("abcd")], { length: 4 })
  expect(await readBody(declared, 3)).toBe("too_large")
  expect(declared.given).toBe(0)
  const endless = new ChunkSource([text("ab"), text("cd"), text("ef")])
  expect(await readBody(endless, 3)).toBe("too_large")
  expect(endless.given).toBe(2)
})

test("a body its sender broke off is never taken for a whole one", async () => {
  expect(await readBody(new ChunkSource([text("ab")], { abort: "reset" }), 10)).toBe("aborted")
  const rejecting = {
    length: 2,
    flow() {},
    resume() {},
    cancel() {},
    bytes: () => Promise.reject(new Error("x")),
  }
  expect(await readBody(rejecting, 10)).toBe("aborted")
})

test("a source that can give its body at once is asked for that", async () => {
  const whole = {
    length: 2,
    flow: () => expect.unreachable(),
    resume() {},
    cancel() {},
    bytes: async () => text("ab"),
  }
  expect(await readBody(whole, 10)).toEqual(text("ab"))
})

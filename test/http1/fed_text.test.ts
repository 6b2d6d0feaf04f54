import { expect, test } from "bun:test"
import { FedText } from "../../src/http1/fed_text.ts"

/** A sink that takes so many chunks before it is full. */
function sinkFor(room: number) {
  const said: string[] = []
  return {
    said,
    write(chunk: Uint8Array) {
      said.push(Buffer.from(chunk).toString())
      return --room > 0
    },
    end: () => void said.push("[end]"),
    abort: (reason: string) => void said.push(`[abort: ${reason}]`),
  }
}

test("text waits for a reader that is full, and says when more waits than may", () => {
  const text = new FedText(3, () => {})
  const sink = sinkFor(1)
  text.flow(sink)
  expect([text.write("a"), text.write("bb"), text.write("cc")]).toEqual([true, true, false])
  expect(sink.said).toEqual(["a"])
  text.resume()
  text.resume()
  expect(sink.said).toEqual(["a", "bb", "cc"])
})

test("whoever wants to write more is told when all was taken, or it is over", async () => {
  const text = new FedText(10, () => {})
  expect(text.read()).toBeUndefined()
  text.write("a")
  text.write("b")
  let read = false
  const reading = text.read()!.then(() => {
    read = true
  })
  text.flow(sinkFor(1))
  await Promise.resolve()
  expect(read).toBe(false)
  text.resume()
  await reading
  text.write("c")
  text.write("d")
  const left = text.read()
  text.cancel()
  await left
  expect(text.read()).toBeUndefined()
})

test("the end comes after what waits, and nothing after it", () => {
  const text = new FedText(10, () => {})
  text.write("a")
  text.end()
  expect(text.write("b")).toBe(false)
  const sink = sinkFor(5)
  text.flow(sink)
  expect(sink.said).toEqual(["a", "[end]"])
})

test("a reader that leaves is told of once, and one that is broken off hears why", () => {
  let left = 0
  const text = new FedText(10, () => left++)
  text.cancel()
  text.cancel()
  expect([left, text.write("a")]).toEqual([1, false])
  const other = new FedText(10, () => left++)
  const sink = sinkFor(5)
  other.flow(sink)
  other.abort("too slow")
  other.cancel()
  expect([sink.said, left]).toEqual([["[abort: too slow]"], 1])
})

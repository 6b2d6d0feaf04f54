import { expect, test } from "bun:test"
import { LineBuffer } from "../../src/observe/line_buffer.ts"

/** A slow output: each batch waits until it is let go. */
function slowOutput() {
  const batches: string[] = []
  const pending: PromiseWithResolvers<void>[] = []
  return {
    batches,
    pending,
    write(batch: string): Promise<void> {
      batches.push(batch)
      const settled = Promise.withResolvers<void>()
      pending.push(settled)
      return settled.promise
    },
  }
}

test("lines are written in order, in batches, each with its line feed", async () => {
  const batches: string[] = []
  const buffer = new LineBuffer({ write: (batch) => void batches.push(batch), onDropped: () => undefined })
  buffer.append("a")
  buffer.append("b")
  expect(batches).toEqual([])
  await buffer.flush()
  expect(batches).toEqual(["a\nb\n"])
})

test("a full batch is written without waiting for the timer", () => {
  const batches: string[] = []
  const buffer = new LineBuffer({
    write: (batch) => void batches.push(batch),
    onDropped: () => undefined,
    flushLength: 10,
  })
  buffer.append("12345")
  buffer.append("67890")
  expect(batches).toEqual(["12345\n67890\n"])
})

test("long lines and every alphabet come out as they went in, in order", async () => {
  const batches: string[] = []
  const buffer = new LineBuffer({
    write: (batch) => void batches.push(batch),
    onDropped: () => undefined,
    flushLength: 1_000_000,
  })
  const lines = ["żółć 你好 😀", "x".repeat(90_000), "é".repeat(40_000), "y".repeat(30_000), "end"]
  for (const line of lines) buffer.append(line)
  await buffer.flush()
  expect(batches.join("")).toBe(lines.map((line) => `${line}\n`).join(""))
})

test("a lone line is written after the flush time", async () => {
  const written = Promise.withResolvers<string>()
  const buffer = new LineBuffer({ write: written.resolve, onDropped: () => undefined, flushMs: 1 })
  buffer.append("alone")
  expect(await written.promise).toBe("alone\n")
})

test("a busy output gets one batch at a time; beyond the cap lines are dropped and counted", async () => {
  const output = slowOutput()
  let dropped = 0
  const buffer = new LineBuffer({
    write: output.write,
    onDropped: (lines) => {
      dropped += lines
    },
    flushLength: 4,
    maxLength: 10,
  })
  for (const line of ["1111", "2222", "333", "4444", "5"]) buffer.append(line)
  expect(output.batches).toEqual(["1111\n"])
  expect(dropped).toBe(2)
  output.pending[0]!.resolve()
  const flushed = buffer.flush()
  while (output.pending.length < 2) await Promise.resolve()
  output.pending[1]!.resolve()
  await flushed
  expect(output.batches).toEqual(["1111\n", "2222\n333\n"])
})

test("a batch the output refuses counts as dropped, and later lines go on", async () => {
  let dropped = 0
  let broken: "throws" | "rejects" | "works" = "throws"
  const batches: string[] = []
  const buffer = new LineBuffer({
    write(batch) {
      if (broken === "throws") throw new Error("EPIPE")
      if (broken === "rejects") return Promise.reject(new Error("ENOSPC"))
      batches.push(batch)
      return undefined
    },
    onDropped: (lines) => {
      dropped += lines
    },
  })
  buffer.append("a")
  buffer.append("b")
  await buffer.flush()
  broken = "rejects"
  buffer.append("c")
  await buffer.flush()
  broken = "works"
  buffer.append("d")
  await buffer.flush()
  expect(dropped).toBe(3)
  expect(batches).toEqual(["d\n"])
})

test("flush waits for the batch that is being written", async () => {
  const output = slowOutput()
  const buffer = new LineBuffer({ write: output.write, onDropped: () => undefined, flushLength: 1 })
  buffer.append("a")
  let done = false
  const flushed = buffer.flush().then(() => {
    done = true
  })
  await Promise.resolve()
  expect(done).toBe(false)
  output.pending[0]!.resolve()
  await flushed
  expect(output.batches).toEqual(["a\n"])
})

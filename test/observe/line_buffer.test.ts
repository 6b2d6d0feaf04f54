import { expect, test } from "bun:test"
import { LineBuffer, type Lines } from "../../src/observe/line_buffer.ts"

function append(lines: Lines, text: string): void {
  lines.begin()
  lines.text(text)
  lines.end()
}

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
  append(buffer, "a")
  append(buffer, "b")
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
  append(buffer, "12345")
  append(buffer, "67890")
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
  for (const line of lines) append(buffer, line)
  await buffer.flush()
  expect(batches.join("")).toBe(lines.map((line) => `${line}\n`).join(""))
})

test("a lone line is written after the flush time", async () => {
  const written = Promise.withResolvers<string>()
  const buffer = new LineBuffer({ write: written.resolve, onDropped: () => undefined, flushMs: 1 })
  append(buffer, "alone")
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
  for (const line of ["1111", "2222", "333", "4444", "5"]) append(buffer, line)
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
  append(buffer, "a")
  append(buffer, "b")
  await buffer.flush()
  broken = "rejects"
  append(buffer, "c")
  await buffer.flush()
  broken = "works"
  append(buffer, "d")
  await buffer.flush()
  expect(dropped).toBe(3)
  expect(batches).toEqual(["d\n"])
})

test("flush waits for the batch that is being written", async () => {
  const output = slowOutput()
  const buffer = new LineBuffer({ write: output.write, onDropped: () => undefined, flushLength: 1 })
  append(buffer, "a")
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

test("numbers are written in decimal digits, with zeros before them where more are asked for", async () => {
  const batches: string[] = []
  const buffer = new LineBuffer({ write: (batch) => void batches.push(batch), onDropped: () => undefined })
  const numbers = [0, 7, 10, 99, 100, 2 ** 31, Number.MAX_SAFE_INTEGER]
  buffer.begin()
  for (const number of numbers) {
    buffer.integer(number)
    buffer.text(" ")
  }
  buffer.integer(5, 3)
  buffer.integer(1234, 3)
  buffer.end()
  await buffer.flush()
  expect(batches).toEqual([`${numbers.join(" ")} 0051234\n`])
})

test("text, bytes and numbers of any length stand in the order they were written, past any room there was", async () => {
  const batches: string[] = []
  const buffer = new LineBuffer({
    write: (batch) => void batches.push(batch),
    onDropped: () => undefined,
    flushLength: 10_000_000,
  })
  let expected = ""
  for (let i = 0; i < 3000; i++) {
    const text = "żx".repeat(i % 40)
    const bytes = "y".repeat(i % 70)
    buffer.begin()
    buffer.text(text)
    buffer.bytes(Buffer.from(bytes))
    buffer.integer(i)
    buffer.end()
    expected += `${text}${bytes}${i}\n`
  }
  await buffer.flush()
  expect(batches.join("")).toBe(expected)
})

test("a line that goes past the cap leaves those before it whole", async () => {
  let dropped = 0
  const output = slowOutput()
  const buffer = new LineBuffer({
    write: output.write,
    onDropped: (lines) => {
      dropped += lines
    },
    flushLength: 1,
    maxLength: 200_000,
  })
  append(buffer, "first")
  append(buffer, "second")
  append(buffer, "x".repeat(300_000))
  append(buffer, "third")
  output.pending[0]!.resolve()
  const flushed = buffer.flush()
  while (output.pending.length < 2) await Promise.resolve()
  output.pending[1]!.resolve()
  await flushed
  expect(output.batches).toEqual(["first\n", "second\nthird\n"])
  expect(dropped).toBe(1)
})

test("a line that was begun and never ended is forgotten", async () => {
  const batches: string[] = []
  const buffer = new LineBuffer({ write: (batch) => void batches.push(batch), onDropped: () => undefined })
  append(buffer, "first")
  buffer.begin()
  buffer.text("half a li")
  append(buffer, "second")
  buffer.begin()
  buffer.text("another half")
  await buffer.flush()
  append(buffer, "third")
  await buffer.flush()
  expect(batches).toEqual(["first\nsecond\n", "third\n"])
})

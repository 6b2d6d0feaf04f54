import { expect, test } from "bun:test"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { LineWriter, toDescriptor } from "../../src/gateway/line_writer.ts"

/** An output that finishes a write when it is told to. */
function slowOutput() {
  const asked: { batch: string; done: PromiseWithResolvers<void> }[] = []
  return {
    asked,
    write(batch: string) {
      const done = Promise.withResolvers<void>()
      asked.push({ batch, done })
      return done.promise
    },
  }
}

test("batches come out whole and in order, one write at a time", async () => {
  const output = slowOutput()
  const writer = new LineWriter({ write: output.write })
  writer.push("one\ntwo\n")
  writer.push("three\n")
  writer.push("four\n")
  expect(output.asked.map((each) => each.batch)).toEqual(["one\ntwo\n"])
  output.asked[0]!.done.resolve()
  await output.asked[0]!.done.promise
  await Promise.resolve()
  expect(output.asked.map((each) => each.batch)).toEqual(["one\ntwo\n", "three\nfour\n"])
  output.asked[1]!.done.resolve()
  await writer.flushed()
  expect(writer.dropped).toBe(0)
})

test("a blocked output costs bounded memory: later batches are dropped whole and counted by lines", () => {
  const output = slowOutput()
  const writer = new LineWriter({ write: output.write, maxWaitingBytes: 10 })
  writer.push("written\n")
  writer.push("1234567\n")
  writer.push("a\nb\n")
  expect(writer.dropped).toBe(2)
})

test("[F-44] an output that refuses costs the batch it refused; later ones are written", async () => {
  const output = slowOutput()
  const writer = new LineWriter({ write: output.write })
  writer.push("x\ny\n")
  output.asked[0]!.done.reject(new Error("ENOSPC"))
  await writer.flushed()
  expect(writer.dropped).toBe(2)
  writer.push("z\n")
  output.asked[1]!.done.resolve()
  await writer.flushed()
  expect(output.asked[1]!.batch).toBe("z\n")
  expect(writer.dropped).toBe(2)
})

test("a descriptor gets batches of any length and alphabet, one after another", async () => {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-lines-"))
  const file = join(directory, "lines")
  const fd = openSync(file, "a")
  const batches = ["short\n", `${"long é € ".repeat(100_000)}\n`, "naïve 😀\n", "last\n"]
  try {
    const writer = new LineWriter({ write: toDescriptor(fd) })
    for (const batch of batches) {
      writer.push(batch)
      await writer.flushed()
    }
    expect(writer.dropped).toBe(0)
    expect(readFileSync(file, "utf8")).toBe(batches.join(""))
  } finally {
    closeSync(fd)
    rmSync(directory, { recursive: true })
  }
})

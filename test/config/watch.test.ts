import { afterEach, beforeEach, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { type Watch, watchFiles } from "../../src/config/watch.ts"
import { until } from "../support/until.ts"

let directory: string
let watch: Watch | undefined
let calls: string[][]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gatehouse-watch-"))
  calls = []
})
afterEach(() => {
  watch?.close()
  rmSync(directory, { recursive: true })
})

/** `pollMs` far beyond the test, so that only events can do it. */
function start(paths: string[], pollMs = 600_000): void {
  watch = watchFiles(paths, (changed) => void calls.push(changed.map((path) => basename(path))), {
    debounceMs: 10,
    pollMs,
  })
}

const file = (name: string) => join(directory, name)
const called = (times: number) => until(() => calls.length >= times, `call ${times}`)

test("a write in place is seen, and the next one too", async () => {
  writeFileSync(file("c.yaml"), "1")
  start([file("c.yaml")])
  writeFileSync(file("c.yaml"), "2")
  await called(1)
  writeFileSync(file("c.yaml"), "3")
  await called(2)
  expect(calls).toEqual([["c.yaml"], ["c.yaml"]])
})

test("a file replaced by a rename is seen, again and again", async () => {
  writeFileSync(file("c.yaml"), "0")
  start([file("c.yaml")])
  for (let i = 1; i <= 3; i++) {
    writeFileSync(file("next"), `${i}`)
    renameSync(file("next"), file("c.yaml"))
    await called(i)
  }
  expect(calls).toHaveLength(3)
})

test("a Kubernetes swap of the ..data link is seen", async () => {
  const publish = (version: string) => {
    mkdirSync(file(version))
    writeFileSync(join(directory, version, "c.yaml"), version)
    symlinkSync(version, file("..tmp"))
    renameSync(file("..tmp"), file("..data"))
  }
  publish("v1")
  symlinkSync("..data/c.yaml", file("c.yaml"))
  start([file("c.yaml")])
  publish("v2")
  await called(1)
  publish("v3")
  await called(2)
})

test("a file reached by a link into another directory is seen when written there", async () => {
  mkdirSync(file("elsewhere"))
  writeFileSync(join(directory, "elsewhere", "real.yaml"), "1")
  symlinkSync("elsewhere/real.yaml", file("c.yaml"))
  start([file("c.yaml")])
  writeFileSync(join(directory, "elsewhere", "real.yaml"), "2")
  await called(1)
})

test("a file that goes away changes nothing until it is back with other content", async () => {
  writeFileSync(file("c.yaml"), "1")
  writeFileSync(file("mark"), "1")
  start([file("c.yaml"), file("mark")])
  rmSync(file("c.yaml"))
  writeFileSync(file("mark"), "2")
  await called(1)
  expect(calls).toEqual([["mark"]])
  writeFileSync(file("c.yaml"), "2")
  await called(2)
  expect(calls[1]).toEqual(["c.yaml"])
})

test("a touch and a rewrite of the same content are no change", async () => {
  writeFileSync(file("c.yaml"), "1")
  writeFileSync(file("mark"), "1")
  start([file("c.yaml"), file("mark")])
  writeFileSync(file("c.yaml"), "1")
  writeFileSync(file("mark"), "2")
  await called(1)
  expect(calls).toEqual([["mark"]])
})

test("certificate and key written together are one call", async () => {
  writeFileSync(file("cert.pem"), "1")
  writeFileSync(file("key.pem"), "1")
  start([file("cert.pem"), file("key.pem")])
  writeFileSync(file("cert.pem"), "2")
  writeFileSync(file("key.pem"), "2")
  await called(1)
  expect(calls).toEqual([["cert.pem", "key.pem"]])
})

test("without events the poll sees a change, also in a directory that came later", async () => {
  start([join(directory, "later", "c.yaml")], 5)
  mkdirSync(file("later"))
  writeFileSync(join(directory, "later", "c.yaml"), "1")
  await called(1)
})

test("after close nothing is called", async () => {
  writeFileSync(file("c.yaml"), "1")
  start([file("c.yaml")], 1)
  watch!.close()
  const other = watchFiles([file("c.yaml")], () => void calls.push(["other"]), { debounceMs: 10, pollMs: 5 })
  writeFileSync(file("c.yaml"), "2")
  await called(1)
  other.close()
  expect(calls).toEqual([["other"]])
})

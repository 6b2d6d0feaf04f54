import { expect, test } from "bun:test"
import { FaultLog } from "../../src/observe/fault_log.ts"
import { memoryLog } from "../support/memory_log.ts"

function make() {
  const log = memoryLog()
  let at = 0
  let counted = 0
  const faults = new FaultLog({ log, onFault: () => void counted++, now: () => at })
  return {
    faults,
    log,
    counted: () => counted,
    setTime(ms: number) {
      at = ms
    },
  }
}

test("[T-10.2] a fault is logged with what it was and counted", () => {
  const { faults, log, counted } = make()
  const error = new TypeError("x is not a function")
  faults.record("exception", error)
  faults.record("rejection", "a text")
  expect(log.events).toEqual([
    { level: "error", event: "process.fault", fields: { kind: "exception", error } },
    { level: "error", event: "process.fault", fields: { kind: "rejection", error: "a text" } },
  ])
  expect(counted()).toBe(2)
})

test("a fault that repeats with every request does not bury the log, and all are counted", () => {
  const { faults, log, counted, setTime } = make()
  for (let i = 0; i < 1000; i++) faults.record("exception", new Error("again"))
  expect(log.events.length).toBe(20)
  expect(counted()).toBe(1000)
  setTime(60_000)
  faults.record("exception", new Error("again"))
  expect(log.events.length).toBe(21)
  expect(log.events.at(-1)!.fields.not_logged).toBe(980)
})

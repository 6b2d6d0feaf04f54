import { expect, test } from "bun:test"
import { SAMPLE_MS, type Shedding } from "../../src/gateway/shedding.ts"
import { PRIORITIES, type Priority, type PriorityClass, priorityOf } from "../../src/observe/priority.ts"
import { memoryLog } from "../support/memory_log.ts"
import { makeShedding } from "../support/shedding.ts"

const MB = 1024 * 1024

function sheddingOf(maxLagMs: number, maxMemoryBytes?: number) {
  const log = memoryLog()
  const shed: string[] = []
  const shedding = makeShedding({
    log,
    onShed: (priority, reason) => void shed.push(`${PRIORITIES[priority]} ${reason}`),
  })
  shedding.apply({ maxLagMs, maxMemoryBytes })
  const lags = (lagMs: number, seconds: number) => {
    for (let ms = 0; ms < seconds * 1000; ms += SAMPLE_MS) shedding.lag(lagMs)
  }
  return { shedding, lags, shed, events: log.events }
}

/** Of 100 requests of a class, how many are refused, as the gateway asks. */
function refused(shedding: Shedding, name: PriorityClass): number {
  const priority: Priority = priorityOf(name)
  let n = 0
  for (let i = 0; i < 100; i++) if (priority >= shedding.from && shedding.refuses(priority)) n++
  return n
}

const all = (shedding: Shedding) => PRIORITIES.map((name) => refused(shedding, name))

test("[F-50] a worker that keeps up refuses nothing", () => {
  const { shedding, lags } = sheddingOf(100)
  lags(99, 60)
  expect(all(shedding)).toEqual([0, 0, 0, 0])
})

test("[F-50] one long pause is no overload", () => {
  const { shedding, lags } = sheddingOf(100)
  for (let i = 0; i < 10; i++) {
    lags(0, 1)
    shedding.lag(5000)
    shedding.lag(5000)
  }
  expect(all(shedding)).toEqual([0, 0, 0, 0])
})

test("[F-50 T-5.2] as long as it is behind, more is refused step by step, from low upwards, and never what is critical", () => {
  const { shedding, lags } = sheddingOf(100)
  const seen: number[][] = []
  lags(150, 0.2)
  for (let i = 0; i < 16; i++) {
    lags(150, 0.1)
    seen.push(all(shedding))
  }
  expect(seen[0]).toEqual([0, 0, 0, 20])
  expect(seen[4]).toEqual([0, 0, 0, 100])
  expect(seen[6]).toEqual([0, 0, 40, 100])
  expect(seen[12]).toEqual([0, 60, 100, 100])
  expect(seen[15]).toEqual([0, 100, 100, 100])
  lags(10_000, 60)
  expect(all(shedding)).toEqual([0, 100, 100, 100])
})

test("[F-50] from the worst all are let in again within 5 s of health", () => {
  const { shedding, lags } = sheddingOf(100)
  lags(1000, 10)
  lags(10, 4)
  expect(all(shedding)).toEqual([0, 0, 0, 0])
})

test("[F-50] it stands still between half of the bound and the bound, so it does not flap", () => {
  const { shedding, lags } = sheddingOf(100)
  lags(150, 0.7)
  const level = shedding.level
  expect(level).toBe(1)
  lags(75, 30)
  expect(shedding.level).toBe(level)
})

test("[F-50] memory sheds in proportion from 90 % of its bound on", () => {
  const { shedding } = sheddingOf(0, 1000 * MB)
  const at = (mb: number) => {
    shedding.memory(mb * MB)
    return all(shedding)
  }
  expect(at(890)).toEqual([0, 0, 0, 0])
  expect(at(950)).toEqual([0, 0, 0, 50])
  expect(at(1000)).toEqual([0, 0, 0, 100])
  expect(at(1150)).toEqual([0, 50, 100, 100])
  expect(at(9000)).toEqual([0, 100, 100, 100])
  expect(at(100)).toEqual([0, 0, 0, 0])
})

test("a bound that is taken away holds no longer", () => {
  const { shedding, lags } = sheddingOf(100, 100 * MB)
  shedding.memory(500 * MB)
  lags(1000, 10)
  shedding.apply({ maxLagMs: 0, maxMemoryBytes: undefined })
  lags(1000, 1)
  expect(all(shedding)).toEqual([0, 0, 0, 0])
})

test("what is refused is counted with its class and reason", () => {
  const { shedding, lags, shed } = sheddingOf(100, 100 * MB)
  lags(150, 0.7)
  refused(shedding, "low")
  expect(new Set(shed)).toEqual(new Set(["low lag"]))
  shedding.memory(111 * MB)
  shed.length = 0
  refused(shedding, "normal")
  expect(new Set(shed)).toEqual(new Set(["normal memory"]))
})

test("[F-50] each step upwards is told once, and the end once", () => {
  const { lags, events } = sheddingOf(100)
  for (let i = 0; i < 5; i++) {
    lags(500, 2)
    lags(10, 0.5)
  }
  lags(10, 10)
  expect(events.map(({ event, fields }) => [event, fields.classes])).toEqual([
    ["load.shedding", ["low"]],
    ["load.shedding", ["normal", "low"]],
    ["load.shedding", ["high", "normal", "low"]],
    ["load.normal", undefined],
  ])
})

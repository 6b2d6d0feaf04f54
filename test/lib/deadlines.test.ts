import { expect, test } from "bun:test"
import { Deadlines } from "../../src/lib/deadlines.ts"

test("they come out in order of time, whatever the order they went in", () => {
  const deadlines = new Deadlines<number>()
  const times = Array.from({ length: 500 }, (_, i) => (i * 7919) % 1009)
  for (const at of times) deadlines.add(at, at)
  const out: number[] = []
  for (let each = deadlines.next(2000); each !== undefined; each = deadlines.next(2000)) out.push(each)
  expect(out).toEqual(times.toSorted((a, b) => a - b))
  expect(deadlines.size).toBe(0)
})

test("what falls due later stays", () => {
  const deadlines = new Deadlines<string>()
  deadlines.add(20, "later")
  deadlines.add(10, "now")
  expect([deadlines.next(9), deadlines.next(10), deadlines.next(19), deadlines.size]).toEqual([
    undefined,
    "now",
    undefined,
    1,
  ])
})

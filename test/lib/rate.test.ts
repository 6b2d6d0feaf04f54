import { expect, test } from "bun:test"
import { parseRate } from "../../src/lib/rate.ts"

test("[T-5.1] rates as people write them", () => {
  expect(parseRate("100/min")).toEqual({ count: 100, perMs: 60_000 })
  expect(parseRate("10/s")).toEqual({ count: 10, perMs: 1000 })
  expect(parseRate("5000/h")).toEqual({ count: 5000, perMs: 3_600_000 })
  expect(parseRate("1/d")).toEqual({ count: 1, perMs: 86_400_000 })
  expect(parseRate("100 / 15m")).toEqual({ count: 100, perMs: 900_000 })
  expect(parseRate("7/minute")).toEqual({ count: 7, perMs: 60_000 })
  expect(parseRate("31/31d")).toEqual({ count: 31, perMs: 31 * 86_400_000 })
  expect(parseRate("100000/s")).toEqual({ count: 100_000, perMs: 1000 })
})

test.each([
  ["10", "write a count and a time"],
  ["ten/s", "write a count and a time"],
  ["-1/s", "write a count and a time"],
  ["1.5/s", "write a count and a time"],
  ["10/month", "write a count and a time"],
  ["", "write a count and a time"],
  ["0/s", "lets nothing through"],
  ["10/0s", "has no time"],
  ["1/32d", "longest time"],
  ["100001/s", "highest rate"],
])("%p is no rate, and it is said what would do", (text, message) => {
  expect(parseRate(text)).toContain(message)
})

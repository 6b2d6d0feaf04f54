import { expect, test } from "bun:test"
import { LimitLines } from "../../src/policies/limit_lines.ts"

test("what a limit said is found by both of its numbers, and the last of those that share a place", () => {
  const said = new LimitLines()
  expect(said.find(0, 0)).toBeUndefined()
  said.keep(3, 1, "a")
  said.keep(67, 1, "b")
  said.keep(2 ** 40, 2, "c")
  expect([said.find(67, 1), said.find(2 ** 40, 2)]).toEqual(["b", "c"])
  for (const [remaining, resetS] of [
    [3, 1],
    [131, 1],
    [60, 2],
    [0, 0],
  ] as const)
    expect(said.find(remaining, resetS)).toBeUndefined()
})

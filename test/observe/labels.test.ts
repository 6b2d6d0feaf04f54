import { expect, test } from "bun:test"
import {
  instanceLabel,
  LabelDirectory,
  OTHER,
  splitInstanceLabel,
  UNMATCHED,
} from "../../src/observe/labels.ts"
import { MAX_IDS } from "../../src/observe/series.ts"

test("a label keeps its number, and kinds do not mix", () => {
  const labels = new LabelDirectory()
  const id = labels.id("route", "GET /a")
  labels.id("service", "x")
  expect(labels.id("route", "GET /b")).not.toBe(id)
  expect(labels.id("route", "GET /a")).toBe(id)
  expect(labels.label("route", id)).toBe("GET /a")
  expect(labels.label("service", 1)).toBe("x")
  expect(labels.label("route", UNMATCHED)).toBe("unmatched")
})

test("[F-73] a full directory calls everything new other and still knows the old", () => {
  const labels = new LabelDirectory()
  const first = labels.id("route", "GET /0")
  for (let i = 1; i < MAX_IDS + 100; i++) labels.id("route", `GET /${i}`)
  expect(labels.id("route", "GET /new")).toBe(OTHER)
  expect(labels.label("route", OTHER)).toBe("other")
  expect(labels.id("route", "GET /0")).toBe(first)
  expect(labels.label("route", MAX_IDS + 5)).toBe("other")
})

test("an instance's label comes apart into service and address", () => {
  expect(splitInstanceLabel(instanceLabel("context", "unix:/run/a b.sock"))).toEqual([
    "context",
    "unix:/run/a b.sock",
  ])
})

test("[F-73] instances that come and go without end keep to a few numbers, and none is another's while it is in use", () => {
  const labels = new LabelDirectory()
  const at = (i: number) => instanceLabel("app", `http://10.0.0.1:${i}`)
  let most = 0
  for (let i = 0; i < 3 * MAX_IDS; i++) {
    const found = labels.instances([at(-1), at(i), at(i + 1)], i * 1000)
    expect(new Set(Object.values(found)).size).toBe(3)
    expect(found[at(-1)]).toBe(1)
    most = Math.max(most, ...Object.values(found))
  }
  expect(most).toBeLessThan(70)
})

test("an instance that is back within a minute has its number again; one that has left has no series", () => {
  const labels = new LabelDirectory()
  const [a, b, c] = ["a", "b", "c"].map((name) => instanceLabel("app", name)) as [string, string, string]
  const before = labels.instances([a, b], 0)
  expect(labels.instances([a], 1)).toEqual({ [a]: before[a]! })
  expect(labels.hasLeft(before[b]!)).toBe(true)
  const third = labels.instances([a, c], 60_000)[c]!
  expect(third).not.toBe(before[b]!)
  expect(labels.instances([a, b, c], 60_000)[b]).toBe(before[b]!)
  expect(labels.hasLeft(before[b]!)).toBe(false)
  labels.instances([a], 60_001)
  // The first to leave is the first whose number is given away.
  const [next] = Object.values(labels.instances([a, instanceLabel("app", "d")], 120_001)).slice(1)
  expect([before[b], third]).toContain(next)
  expect(labels.label("instance", next!)).toBe("app d")
})

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

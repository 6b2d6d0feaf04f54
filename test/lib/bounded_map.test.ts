import { expect, test } from "bun:test"
import { BoundedMap } from "../../src/lib/bounded_map.ts"

const keysIn = (map: BoundedMap<number>, keys: string) =>
  [...keys].filter((key) => map.get(key) !== undefined).join("")

test("at the cap the oldest entry goes", () => {
  const map = new BoundedMap<number>(3)
  for (const key of "abcd") map.set(key, 1)
  expect(keysIn(map, "abcd")).toBe("bcd")
})

test("an entry that is set again counts as new", () => {
  const map = new BoundedMap<number>(3)
  for (const key of "abcad") map.set(key, 1)
  expect(keysIn(map, "abcd")).toBe("acd")
})

test("as many of the oldest go as the weight of the new one needs", () => {
  const map = new BoundedMap<number>(100, 10)
  for (const key of "abc") map.set(key, 1, 3)
  map.set("d", 1, 6)
  expect(keysIn(map, "abcd")).toBe("cd")
})

test("an entry heavier than all the room is not kept, and what it weighed is free again", () => {
  const map = new BoundedMap<number>(100, 10)
  map.set("a", 1, 11)
  expect(map.size).toBe(0)
  map.set("b", 1, 10)
  map.delete("b")
  map.set("c", 1, 10)
  map.clear()
  map.set("d", 1, 10)
  expect(keysIn(map, "abcd")).toBe("d")
})

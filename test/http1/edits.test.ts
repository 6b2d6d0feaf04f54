import { expect, test } from "bun:test"
import { FieldList } from "../../src/http1/field_list.ts"
import { Edits, LineNames } from "../../src/http1/fields.ts"
import { writeResponseHead } from "../../src/http1/response_head.ts"

const NAMES = new LineNames(["x-a", "x-b"])
const LINES = "x-a: 1\r\nx-b: 2\r\n"
const ORIGINAL = new FieldList(["x-a", "theirs", "x-c", "3"])

const edits = (): Edits => new Edits(new Set(["connection"]))

function head(from: Edits, fields = ORIGINAL): string {
  const out = Buffer.alloc(1024)
  return out.latin1Slice(0, writeResponseHead(out, 0, 200, fields, from, ""))
}

test("lines that were put take the place of those of the same names", () => {
  const found = edits()
  found.put(NAMES, LINES)
  expect(found.has("x-a")).toBe(true)
  expect(found.has("x-c")).toBe(false)
  expect(head(found)).toBe("HTTP/1.1 200 OK\r\nx-a: 1\r\nx-b: 2\r\nx-c: 3\r\n\r\n")
  expect(found.get("x-a", ORIGINAL)).toBe("1")
})

test("lines put again replace those put before, and others stay", () => {
  const found = edits()
  found.put(new LineNames(["x-d"]), "x-d: 4\r\n")
  found.put(NAMES, LINES)
  found.put(NAMES, "x-a: 5\r\nx-b: 6\r\n")
  expect(found.added).toEqual(["x-a", "5", "x-b", "6", "x-d", "4"])
})

test("one line of those that were put can be replaced, dropped or joined by another", () => {
  const found = edits()
  found.put(NAMES, LINES)
  found.set("x-a", "changed")
  found.add("x-b", "more")
  expect(found.added).toEqual(["x-b", "2", "x-a", "changed", "x-b", "more"])
  expect(found.get("x-b", ORIGINAL)).toBe("2, more")
  found.drop("x-b")
  expect(head(found)).toBe("HTTP/1.1 200 OK\r\nx-c: 3\r\nx-a: changed\r\n\r\n")
})

test("put replaces a line that was set", () => {
  const found = edits()
  found.set("x-b", "set")
  found.put(NAMES, LINES)
  expect(found.added).toEqual(["x-a", "1", "x-b", "2"])
})

test("who reads the lines that were put finds them left out of the original all the same", () => {
  const found = edits()
  found.put(NAMES, LINES)
  expect(found.added).toEqual(["x-a", "1", "x-b", "2"])
  expect(found.has("x-a")).toBe(true)
  expect(head(found)).toBe("HTTP/1.1 200 OK\r\nx-c: 3\r\nx-a: 1\r\nx-b: 2\r\n\r\n")
})

test("a reset takes back what was put", () => {
  const found = edits()
  found.put(NAMES, LINES)
  found.reset()
  expect(found.added).toEqual([])
  expect(found.has("x-a")).toBe(false)
  expect(found.has("connection")).toBe(true)
})

test("lines that were put are found again by their names, until they are looked at", () => {
  const found = edits()
  expect(found.linesOf(NAMES)).toBeUndefined()
  found.put(NAMES, LINES)
  expect(found.linesOf(NAMES)).toBe(LINES)
  expect(found.linesOf(new LineNames(["x-a", "x-b"]))).toBeUndefined()
  found.put(NAMES, "x-a: 5\r\nx-b: 6\r\n")
  expect(head(found)).toContain(found.linesOf(NAMES)!)
  found.set("x-a", "7")
  expect(found.linesOf(NAMES)).toBeUndefined()
})

test("lines that were put are found again whatever their order, and where some names have none", () => {
  const names = new LineNames(["x-a", "x-b", "x-c"])
  const read = (lines: string) => {
    const found = edits()
    found.put(names, lines)
    return found.added
  }
  expect(read("x-c: 1: 2\r\nx-a: \r\n")).toEqual(["x-c", "1: 2", "x-a", ""])
  expect(read("x-b: 1\r\nx-c: 2\r\n")).toEqual(["x-b", "1", "x-c", "2"])
  expect(read("x-ab: 1\r\nx-a: 2\r\n")).toEqual(["x-ab", "1", "x-a", "2"])
  expect(read("")).toEqual([])
})

import { expect, test } from "bun:test"
import { FieldList, NO_FIELDS } from "../../src/http1/field_list.ts"

const FIELDS = new FieldList(["a", "1", "set-cookie", "x", "a", "2"])

test("values of one name are joined in order, as RFC 9110 section 5.3 allows", () => {
  expect([FIELDS.get("a"), FIELDS.get("set-cookie"), FIELDS.get("b"), NO_FIELDS.get("a")]).toEqual([
    "1, 2",
    "x",
    undefined,
    undefined,
  ])
})

test("lines are copied as they stand, without the dropped ones", () => {
  const out = Buffer.alloc(64)
  const end = FIELDS.copy(out, 3, new Set(["set-cookie"]))
  expect(out.latin1Slice(3, end)).toBe("a: 1\r\na: 2\r\n")
})

test("a buffer that is too short is an error, never a cut line", () => {
  expect(() => FIELDS.copy(Buffer.alloc(10), 0, new Set())).toThrow("the buffer is full")
})

import { expect, test } from "bun:test"
import fc from "fast-check"
import { parseJson } from "../../src/lib/json_parse.ts"

const parse = (text: string | Uint8Array, depth?: number) =>
  parseJson(typeof text === "string" ? new TextEncoder().encode(text) : text, depth)

test("every JSON value comes through as JSON.parse reads it", () => {
  fc.assert(
    fc.property(fc.json({ noUnicodeString: false }), (text) => {
      if (text.includes("__proto__")) return
      expect(parse(text)).toEqual({ ok: true, value: JSON.parse(text) })
    }),
  )
})

test("[F-26] 10,000 levels of brackets are refused, and brackets in strings are not counted", () => {
  expect(parse("[".repeat(10_000) + "]".repeat(10_000))).toMatchObject({
    ok: false,
    message: expect.stringContaining("deeper"),
  })
  expect(parse(`${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`)).toMatchObject({ ok: false })
  expect(parse("[[[1]]]", 3)).toMatchObject({ ok: true })
  expect(parse("[[[[1]]]]", 3)).toMatchObject({ ok: false })
  expect(parse('["[[[[[[\\"[[[["]', 1)).toMatchObject({ ok: true })
  expect(parse(`[${"[],".repeat(100)}[]]`, 2)).toMatchObject({ ok: true })
})

test("[F-26] keys that could reach a prototype are refused, however they are written", () => {
  expect(parse('{"a":[{"__proto__":{"admin":true}}]}')).toEqual({
    ok: false,
    pointer: "/a/0",
    message: "has a key `__proto__`",
  })
  expect(parse('{"__pro\\u0074o__":1}')).toMatchObject({ ok: false })
  expect(parse('{"constructor":{"prototype":{"x":1}}}')).toMatchObject({ ok: false })
  expect(parse('{"constructor":"Ferrari"}')).toMatchObject({ ok: true })
  expect(({} as Record<string, unknown>).admin).toBeUndefined()
})

test("[F-26] numbers beyond a double are refused", () => {
  expect(parse('{"a":{"b":1e999}}')).toMatchObject({ ok: false, pointer: "/a/b" })
  expect(parse(`[${"9".repeat(400)}]`)).toMatchObject({ ok: false, pointer: "/0" })
  expect(parse("[1e308, -1e308, 123456789012345678901234567890]")).toMatchObject({ ok: true })
})

test("[F-26] what is not UTF-8, has a byte order mark or is no JSON is refused without repeating it", () => {
  expect(parse(new Uint8Array([0x22, 0xff, 0x22]))).toMatchObject({
    ok: false,
    message: "is not valid UTF-8",
  })
  expect(parse(new Uint8Array([0x22, 0xc0, 0xaf, 0x22]))).toMatchObject({
    ok: false,
    message: "is not valid UTF-8",
  })
  for (const text of ["\ufeff{}", "", "{", "secret", '{"a":1}}', "{'a':1}", "[1,]", "NaN", '"a'])
    expect(parse(text)).toEqual({ ok: false, pointer: "", message: "is not valid JSON" })
})

test("keys in pointers are escaped and cut", () => {
  expect(parse('{"a/b~c":{"__proto__":1}}')).toMatchObject({ pointer: "/a~1b~0c" })
  const long = parse(`{"${"k".repeat(1000)}":{"__proto__":1}}`)
  expect(long.ok ? "" : long.pointer).toHaveLength(65)
})

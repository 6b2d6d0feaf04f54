import { expect, test } from "bun:test"
import fc from "fast-check"
import { parseJsonObject } from "../../src/lib/json_object.ts"

const parse = (text: string, maxDepth = 16) => parseJsonObject(Buffer.from(text), maxDepth)

test("every object without repeated keys comes out as JSON.parse reads it", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })),
      fc.constantFrom(0, 1),
      (value, indent) => {
        const text = JSON.stringify(value, undefined, indent)
        if (text.includes('"__proto__":')) return
        expect(parse(text)).toEqual(JSON.parse(text))
      },
    ),
    { numRuns: 500 },
  )
})

test("[F-52] a key written twice in one object is refused wherever that object is", () => {
  const key = fc.string()
  fc.assert(
    fc.property(key, fc.jsonValue({ maxDepth: 2 }), fc.nat(3), (name, value, depth) => {
      const member = `${JSON.stringify(name)}:${JSON.stringify(value)}`
      let text = `{${member},"other ${name.length}":[],${member}}`
      for (let i = 0; i < depth; i++) text = i % 2 === 0 ? `{"x":[${text}]}` : `{"x":${text},"y":":"}`
      expect(parse(text)).toBeUndefined()
    }),
    { numRuns: 500 },
  )
})

test("the same key in two objects is no repetition", () => {
  expect(parse('{"a":{"a":[{"a":1},{"a":2}]},"b":{"a":3}}')).toBeDefined()
})

for (const text of [
  "",
  "[]",
  "null",
  "1",
  '"a"',
  "{",
  "{}}",
  '{"a":1e999}',
  '{"a":[-1e999]}',
  '{"__proto__":1}',
  '{"a":{"__proto__":{}}}',
  "\ufeff{}",
  "{'a':1}",
  '{"a":01}',
])
  test(`${JSON.stringify(text)} is refused`, () => {
    expect(parse(text)).toBeUndefined()
  })

test("brackets may nest as deep as was asked for, and those in strings do not count", () => {
  expect(parse('{"a":[[1]]}', 3)).toBeDefined()
  expect(parse('{"a":[[[1]]]}', 3)).toBeUndefined()
  expect(parse('{"a":"[[[[\\"[[[["}', 1)).toBeDefined()
})

test("bytes that are not UTF-8 are refused", () => {
  expect(parseJsonObject(Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]), 16)).toBeUndefined()
})

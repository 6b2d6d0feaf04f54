import { expect, test } from "bun:test"
import fc from "fast-check"
import { type HashKey, KeyedHash } from "../../src/lib/keyed_hash.ts"

const KEY: HashKey = [0x03020100, 0x07060504]

function ofWords(words: readonly number[]): string {
  const hash = new KeyedHash().start(KEY)
  for (const word of words) hash.word(word)
  hash.finish()
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(hash.low, 0)
  bytes.writeUInt32LE(hash.high, 4)
  return bytes.toString("hex")
}

test("the vectors of HalfSipHash-2-4 with 64 bits, for inputs of whole words", () => {
  expect(ofWords([])).toBe("218d1f59b9b83cc8")
  expect(ofWords([0x03020100])).toBe("d5e78a175be52ea1")
})

test("[F-60] texts are taken apart by their ends: two parts never hash as two others", () => {
  const of = (key: HashKey, ...parts: readonly string[]) => {
    const hash = new KeyedHash().start(key)
    for (const part of parts) hash.text(part)
    hash.finish()
    return `${hash.high} ${hash.low}`
  }
  expect(of(KEY, "ab", "c")).not.toBe(of(KEY, "a", "bc"))
  expect(of(KEY, "a")).not.toBe(of(KEY, "a\0"))
  expect(of(KEY, "a")).not.toBe(of([1, 2], "a"))
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 3 }), fc.array(fc.string(), { maxLength: 3 }), (a, b) => {
      const same = a.length === b.length && a.every((part, i) => part === b[i])
      return (of(KEY, ...a) === of(KEY, ...b)) === same
    }),
  )
})

test("of a long text only the beginning and the length count", () => {
  const of = (text: string) => new KeyedHash().start(KEY).text(text).finish().low
  expect(of(`${"x".repeat(256)}a`)).toBe(of(`${"x".repeat(256)}b`))
  expect(of("x".repeat(300))).not.toBe(of("x".repeat(301)))
})

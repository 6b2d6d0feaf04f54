import { expect, test } from "bun:test"
import { encode } from "@msgpack/msgpack"
import { createMessagePack } from "../../src/realtime/channels/message_pack.ts"
import { seededRandom } from "../support/services.ts"

const { decode, encode: pack } = createMessagePack()
const bytes = (...values: number[]) => Uint8Array.from(values)
const nested = (levels: number) => bytes(...new Array<number>(levels).fill(0x91), 0xc0)

const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  127,
  -33,
  255,
  65_536,
  -70_000,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  -(2 ** 52),
  0.1,
  -1e300,
  "",
  "ünï 😀",
  "x".repeat(70_000),
  [],
  {},
  [1, [2, [3]]],
  { a: { b: [{ c: null }] }, "": "empty" },
  Array.from({ length: 70_000 }, (_, i) => i % 5),
  Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i])),
]

test("what JSON can say comes through in both directions", () => {
  for (const value of VALUES) {
    const text = JSON.stringify(value)
    expect(decode(encode(value))).toBe(text)
    expect(decode(pack(text))).toBe(text)
  }
})

test.each([
  ["nothing", bytes()],
  ["a byte that is never used", bytes(0xc1)],
  ["two values", bytes(1, 2)],
  ["a string that is cut short", bytes(0xa5, 0x61)],
  ["a number that is cut short", bytes(0xcd, 1)],
  ["a length that is cut short", bytes(0xdd, 0xff)],
  ["an array that claims four thousand million elements", bytes(0xdd, 0xff, 0xff, 0xff, 0xff)],
  ["a map that claims as many", bytes(0xdf, 0xff, 0xff, 0xff, 0xff)],
  ["an array with an element too few", bytes(0x92, 1)],
  ["a map without its last value", bytes(0x81, 0xa1, 0x61)],
  ["a string that claims as much", bytes(0xdb, 0xff, 0xff, 0xff, 0xff)],
  ["bytes", encode(bytes(1, 2, 3))],
  ["a time, which is an extension", encode(new Date(0))],
  ["an extension of 32 bits length", bytes(0xc9, 0, 0, 0, 1, 5, 0)],
  ["text that is no UTF-8", bytes(0xa2, 0xc3, 0x28)],
  ["a key that is no UTF-8", bytes(0x81, 0xa1, 0xff, 0xc0)],
  ["a number as key", bytes(0x81, 1, 2)],
  ["nil as key", bytes(0x81, 0xc0, 2)],
  ["a map as key", bytes(0x81, 0x80, 2)],
  ["the key __proto__", encode(JSON.parse('{"__proto__":{"admin":true}}'))],
  ["the same within", encode(JSON.parse('{"id":1,"data":[{"__proto__":1}]}'))],
  ["NaN", encode(Number.NaN)],
  ["infinity", encode([Number.NEGATIVE_INFINITY])],
  ["NaN of 32 bits", bytes(0xca, 0x7f, 0xc0, 0, 0)],
  ["an integer no double can hold", bytes(0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1)],
  ["a negative one", bytes(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0)],
  ["33 levels", nested(33)],
  ["60,000 levels", nested(60_000)],
] as const)("%s is refused", (_what, frame) => {
  expect(decode(frame)).toBeUndefined()
})

test("32 levels are not too many", () => {
  expect(decode(nested(32))).toBe(`${"[".repeat(32)}null${"]".repeat(32)}`)
})

test("nested arrays that each claim all that is left cost no memory", () => {
  const frame = new Uint8Array(64 * 1024)
  for (let at = 0; at + 5 <= frame.length; at += 5) frame.set([0xdd, 0, 0, 0xc0, 0], at)
  const before = process.memoryUsage.rss()
  for (let n = 0; n < 50; n++) expect(decode(frame)).toBeUndefined()
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024)
})

test("whatever the bytes are, the answer is a JSON text or none", () => {
  const random = seededRandom(7)
  const seeds = VALUES.filter((value) => JSON.stringify(value).length < 200).map((value) => encode(value))
  let taken = 0
  for (let n = 0; n < 50_000; n++) {
    const frame = Uint8Array.from(seeds[n % seeds.length]!)
    for (let k = 0; k < 2 && frame.length > 0; k++)
      frame[Math.floor(random() * frame.length)] = Math.floor(random() * 256)
    const text = decode(frame)
    if (text === undefined) continue
    taken++
    expect(JSON.stringify(JSON.parse(text))).toBe(text)
  }
  expect(taken).toBeGreaterThan(1000)
})

test("a text that is sent to many is written once", () => {
  const text = '{"push":"publication","channel":"a:1","offset":1,"data":1}'
  const first = pack(text)
  expect(pack(text)).toBe(first)
  const other = pack('{"id":1,"result":{}}')
  expect(decode(first)).toBe(text)
  expect(decode(other)).toBe('{"id":1,"result":{}}')
})

test("half a character, which JSON can say, never makes a frame that is no UTF-8", () => {
  const text = String.raw`{"a":"x\ud800y\\ud800\udc00","\udfff":"\ud83d\ude00 \u0041"}`
  expect(JSON.parse(decode(pack(text))!)).toEqual({ a: "x\ufffdy\\ud800\ufffd", "\ufffd": "😀 A" })
  expect(JSON.parse(decode(pack(JSON.stringify(["\ud800".repeat(80), "\ud800"])))!)).toEqual([
    "\ufffd".repeat(80),
    "\ufffd",
  ])
})

import { expect, test } from "bun:test"
import { takeOut } from "../../src/lib/take_out.ts"

test("what is taken out is the part that was asked for, short or long", () => {
  const bytes = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251)).subarray(7)
  for (const length of [1, 999, 1000, 1001, 4000]) {
    const part = takeOut(bytes, 3, 3 + length)
    expect(part.length).toBe(length)
    expect(Buffer.from(part).equals(bytes.subarray(3, 3 + length))).toBe(true)
  }
})

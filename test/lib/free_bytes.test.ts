import { expect, test } from "bun:test"
import { freeBytes } from "../../src/lib/free_bytes.ts"

test("bytes that have a buffer to themselves are given back", () => {
  const bytes = new Uint8Array(65_536).fill(1)
  freeBytes(bytes)
  expect(bytes.byteLength).toBe(0)
})

test("parts of a buffer, short ones and shared ones are left as they are", () => {
  const whole = new Uint8Array(65_536).fill(1)
  const kept = [
    whole.subarray(0, 60_000),
    whole.subarray(1000),
    new Uint8Array(1000).fill(1),
    new Uint8Array(new SharedArrayBuffer(65_536)).fill(1),
  ]
  for (const bytes of kept) {
    const { byteLength } = bytes
    freeBytes(bytes)
    expect([bytes.byteLength, bytes[0]]).toEqual([byteLength, 1])
  }
})

import { expect, test } from "bun:test"
import { newRequestId } from "../../src/lib/request_id.ts"

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test("[F-71] ids are UUIDs of version 7 that nobody gets twice and that sort by time", () => {
  const ids = Array.from({ length: 20_000 }, newRequestId)
  for (const id of ids) if (!UUID_V7.test(id)) throw new Error(id)
  expect(new Set(ids).size).toBe(ids.length)
  const times = ids.map((id) => id.slice(0, 13))
  expect(times.toSorted()).toEqual(times)
})

test("an id begins with the milliseconds in which it was made", () => {
  const before = Date.now()
  const at = Number.parseInt(newRequestId().replace("-", "").slice(0, 12), 16)
  expect(at).toBeGreaterThanOrEqual(before)
  expect(at).toBeLessThanOrEqual(Date.now())
})

import { expect, test } from "bun:test"
import {
  createSeriesBuffer,
  keyId,
  keyMetric,
  keySmall,
  MAX_IDS,
  readDropped,
  readSeries,
  Series,
  seriesKey,
} from "../../src/observe/series.ts"

function read(buffer: SharedArrayBuffer): Map<number, number> {
  const found = new Map<number, number>()
  readSeries(buffer, found)
  return found
}

test("a key gives back its three parts at the edges of each", () => {
  for (const metric of [1, 15, 16, 31])
    for (const id of [0, 1, MAX_IDS - 1])
      for (const small of [0, 1, 8191]) {
        const key = seriesKey(metric, id, small)
        expect([keyMetric(key), keyId(key), keySmall(key)]).toEqual([metric, id, small])
      }
})

test("what is added and set is what a reader finds", () => {
  const buffer = createSeriesBuffer(64)
  const series = new Series(buffer)
  series.add(seriesKey(1, 7, 200), 1)
  series.add(seriesKey(1, 7, 200), 2.5)
  series.set(seriesKey(31, MAX_IDS - 1, 8191), -4)
  expect(read(buffer)).toEqual(
    new Map([
      [seriesKey(1, 7, 200), 3.5],
      [seriesKey(31, MAX_IDS - 1, 8191), -4],
    ]),
  )
})

test("many series in a crowded table keep apart", () => {
  const buffer = createSeriesBuffer(1024)
  const series = new Series(buffer)
  const keys = Array.from({ length: 890 }, (_, i) => seriesKey((i % 31) + 1, (i * 37) % MAX_IDS, i % 600))
  for (const [i, key] of keys.entries()) series.add(key, i)
  for (const key of keys) series.add(key, 1000)
  const found = read(buffer)
  for (const [i, key] of keys.entries()) expect(found.get(key)).toBe(i + 1000)
  expect(readDropped(buffer)).toBe(0)
})

test("a full table drops new series, counts each loss, and goes on with those it has", () => {
  const buffer = createSeriesBuffer(16)
  const series = new Series(buffer)
  for (let id = 0; id < 20; id++) series.add(seriesKey(1, id), 5)
  expect(series.size).toBe(14)
  expect(readDropped(buffer)).toBe(6)
  series.add(seriesKey(1, 0), 5)
  series.set(seriesKey(1, 19), 99)
  expect(read(buffer).get(seriesKey(1, 0))).toBe(10)
  expect(read(buffer).has(seriesKey(1, 19))).toBe(false)
  expect(readDropped(buffer)).toBe(7)
})

test("a kept slot is the same series", () => {
  const buffer = createSeriesBuffer(16)
  const series = new Series(buffer)
  const slot = series.slot(seriesKey(3, 4))
  series.addAt(slot, 2)
  series.add(seriesKey(3, 4), 1)
  expect(read(buffer).get(seriesKey(3, 4))).toBe(3)
})

test("zero clears one metric of an earlier writer and leaves the others", () => {
  const buffer = createSeriesBuffer(64)
  const earlier = new Series(buffer)
  earlier.set(seriesKey(7), 3)
  earlier.set(seriesKey(16, 1), 4)
  new Series(buffer).zero(new Set([7]))
  expect([...read(buffer).values()].sort()).toEqual([0, 4])
})

test("a capacity that is no power of two is refused", () => {
  expect(() => createSeriesBuffer(1000)).toThrow("power of two")
})

test("[C-8.1] counts outlive the thread that made them, and its replacement goes on from there", async () => {
  const buffer = createSeriesBuffer(64)
  for (const expected of [1000, 2000]) {
    const worker = new Worker(new URL("./series_worker.ts", import.meta.url))
    const counted = Promise.withResolvers<void>()
    worker.onmessage = () => counted.resolve()
    worker.onerror = (event) => counted.reject(new Error(event.message))
    worker.postMessage({ buffer, times: 1000 })
    await counted.promise
    worker.terminate()
    expect(read(buffer).get(seriesKey(1, 2, 3))).toBe(expected)
  }
})

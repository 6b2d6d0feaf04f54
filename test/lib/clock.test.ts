import { expect, test } from "bun:test"
import { agreeOn, type ClockSample, now, sampleClock } from "../../src/lib/clock.ts"

const TIMES = 200

/** How far the clock of a new thread is from ours, ms, at the closest look of many. */
async function difference(sample: ClockSample): Promise<number> {
  const memory = new SharedArrayBuffer(16)
  const told = new Float64Array(memory, 0, 1)
  const turns = new Int32Array(memory, 8, 2)
  const worker = new Worker(new URL("../support/clock_worker.ts", import.meta.url))
  worker.postMessage({ sample, memory, times: TIMES })
  await new Promise((resolve) => worker.addEventListener("message", resolve))
  let closest = { width: Number.POSITIVE_INFINITY, difference: Number.NaN }
  for (let turn = 1; turn <= TIMES; turn++) {
    const before = now()
    Atomics.store(turns, 0, turn)
    Atomics.notify(turns, 0)
    while (Atomics.load(turns, 1) < turn) {
      // The other thread's turn is a matter of microseconds.
    }
    const after = now()
    if (after - before < closest.width)
      closest = { width: after - before, difference: told[0]! - (before + after) / 2 }
  }
  worker.terminate()
  return closest.difference
}

test("[F-60] threads agree on the time to less than half a millisecond, whenever they start", async () => {
  expect(Math.abs(await difference(sampleClock()))).toBeLessThan(0.5)
  expect(Math.abs(await difference(sampleClock()))).toBeLessThan(0.5)
})

test("[F-42] a jump of the wall clock between the starts of two threads does not part their clocks", async () => {
  const sample = sampleClock()
  // As if the wall clock had been an hour behind when this thread started.
  const jumped = { ...sample, zeroAtMs: sample.zeroAtMs - 3_600_000 }
  expect(Math.abs(await difference(jumped))).toBeLessThan(5)
})

test("agreeing with oneself changes nothing", () => {
  const before = now()
  agreeOn(sampleClock())
  expect(now() - before).toBeLessThan(1000)
  expect(now()).toBeGreaterThanOrEqual(before)
})

import { expect, test } from "bun:test"
import { SlidingCounter, WINDOW_WORDS } from "../../src/upstream/window.ts"

function makeCounter(spanMs: number): SlidingCounter {
  return new SlidingCounter(new Int32Array(new SharedArrayBuffer(WINDOW_WORDS * 4)), 0, spanMs)
}

test("a sliding counter agrees with a plain list of times, to a tenth of its span", () => {
  const counter = makeCounter(1000)
  const times: number[] = []
  let now = 0
  for (let i = 0; i < 5000; i++) {
    now += (i * 7919) % 173
    counter.add(now)
    times.push(now)
    const sum = counter.sum(now)
    expect(sum).toBeLessThanOrEqual(times.filter((at) => at > now - 1000).length)
    expect(sum).toBeGreaterThanOrEqual(times.filter((at) => at > now - 900).length)
  }
})

test("a sliding counter stops at its bound instead of spilling over", () => {
  const words = new Int32Array(new SharedArrayBuffer(WINDOW_WORDS * 4))
  const counter = new SlidingCounter(words, 0, 1000)
  const most = 2 ** 20 - 1
  words[0] = most - 1
  for (let i = 0; i < 5; i++) counter.add(0)
  expect(counter.sum(0)).toBe(most)
})

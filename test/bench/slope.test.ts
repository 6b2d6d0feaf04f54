import { expect, test } from "bun:test"
import { grows, slopeOf } from "../../bench/slope.ts"

const HOUR = 3600
const places = Array.from({ length: 400 }, (_, i) => i)
/** A sawtooth of 10 MB, as a collector makes it. */
const sawtooth = places.map((at) => 100 + (at % 7) * 1.5)

test("the slope of a straight line is its slope, without error", () => {
  const { perUnit, error, mean } = slopeOf(
    places,
    places.map((at) => 100 + at / 10),
  )
  expect(perUnit).toBeCloseTo(0.1, 6)
  expect(error).toBeCloseTo(0, 6)
  expect(mean).toBeCloseTo(119.95, 6)
})

test("memory that swings about one level does not grow", () => {
  expect(grows(slopeOf(places, sawtooth), HOUR, 0.1)).toBe(false)
})

test("a leak of 50 MB an hour under the same swings is seen", () => {
  const leaking = sawtooth.map((mb, at) => mb + (at * 50) / HOUR)
  expect(grows(slopeOf(places, leaking), HOUR, 0.1)).toBe(true)
})

test("memory that shrinks does not grow", () => {
  const shrinking = sawtooth.map((mb, at) => mb - at / 10)
  expect(grows(slopeOf(places, shrinking), HOUR, 0.1)).toBe(false)
})

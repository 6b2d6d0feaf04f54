import { expect, test } from "bun:test"
import { remember } from "../../src/lib/remember.ts"

test("a question is asked once a text, until the cap is reached", () => {
  const asked: string[] = []
  const length = remember((text) => {
    asked.push(text)
    return text.length
  }, 2)
  expect(["a", "bb", "a", "ccc", "bb", "ccc"].map(length)).toEqual([1, 2, 1, 3, 2, 3])
  expect(asked).toEqual(["a", "bb", "ccc", "ccc"])
})

test("long texts are not kept", () => {
  let asked = 0
  const count = remember(() => ++asked, 10)
  count("x".repeat(257))
  count("x".repeat(257))
  expect(asked).toBe(2)
})

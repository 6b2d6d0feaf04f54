import { expect, test } from "bun:test"
import { randomToken, tokenCheck } from "../../src/admin/token.ts"

test("only the whole token passes, behind Bearer in any case", () => {
  const allowed = tokenCheck(() => "a-token-of-some-length")
  expect(allowed("Bearer a-token-of-some-length")).toBe(true)
  expect(allowed("bearer  a-token-of-some-length")).toBe(true)
  for (const sent of [
    null,
    "",
    "Bearer",
    "Bearer a-token",
    "Basic a-token-of-some-length",
    "a-token-of-some-length",
  ])
    expect([sent, allowed(sent)]).toEqual([sent, false])
})

test("an empty token lets nobody in", () => {
  expect(tokenCheck(() => "")("Bearer ")).toBe(false)
})

test("random tokens have 192 bits and differ", () => {
  const tokens = new Set(Array.from({ length: 100 }, randomToken))
  expect(tokens.size).toBe(100)
  for (const token of tokens) expect(token).toMatch(/^[\w-]{32}$/)
})

import { expect, test } from "bun:test"
import { createApiKey, isApiKey, looksLikeApiKey } from "../../src/identity/api_key_format.ts"

const random = (count: number) => crypto.getRandomValues(new Uint8Array(count))

test("a new API key has the documented form and passes its own check", () => {
  const key = createApiKey(random)
  expect(key).toMatch(/^gh_live_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}$/)
  expect(isApiKey(key)).toBe(true)
  expect(looksLikeApiKey(key)).toBe(true)
})

test("one wrong character anywhere in an API key is found", () => {
  const key = createApiKey(random)
  for (let i = 0; i < key.length; i++) {
    const other = key[i] === "a" ? "b" : "a"
    expect(isApiKey(key.slice(0, i) + other + key.slice(i + 1))).toBe(false)
  }
})

test("the checksum is CRC-32 in base 62, filled up with zeros to six digits", () => {
  const zeros = createApiKey((count) => new Uint8Array(count))
  const crc = Bun.hash.crc32(`gh_live_${"0".repeat(32)}`)
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
  const value = [...zeros.slice(-6)].reduce((sum, digit) => sum * 62 + digits.indexOf(digit), 0)
  expect(value).toBe(crc)
})

test("bytes that would make some digits likelier are thrown away", () => {
  let round = 0
  const key = createApiKey((count) => new Uint8Array(count).fill(round++ === 0 ? 255 : 1))
  expect(key.slice(8, 40)).toBe("1".repeat(32))
})

test("[F-51] what is not of the form is no API key, whatever its length", () => {
  const hostile = [
    "",
    "gh_live_",
    "gh_live__",
    "GH_LIVE_x",
    `gh_live_${"a".repeat(1_000_000)}_aaaaaa`,
    "gh_live_\n",
  ]
  for (const text of hostile) expect(isApiKey(text)).toBe(false)
  expect(isApiKey(`${createApiKey(random)}\n`)).toBe(false)
  expect(isApiKey(` ${createApiKey(random)}`)).toBe(false)
})

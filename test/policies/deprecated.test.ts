import { expect, test } from "bun:test"
import { deprecated } from "../../src/policies/deprecated.ts"
import { makeAnswer, makeExchange } from "../support/exchange.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"

async function answer(options: object, service: Record<string, string> = {}) {
  const exchange = makeExchange()
  exchange.answer = makeAnswer(200, service)
  await compilePolicy(deprecated, options, { wallClock: () => Date.UTC(2025, 0, 2, 13, 14) }).response!(
    exchange,
  )
  return (name: string) => exchange.responseHeader(name)
}

test("[T-2.4 V-gw.4 C-12.5] answers say since when, until when and where to read more", async () => {
  const header = await answer({
    since: "2024-06-30",
    sunset: "2025-12-31T23:59:59Z",
    link: "https://x.example/v2",
  })
  expect(header("deprecation")).toBe("@1719705600")
  expect(header("sunset")).toBe("Wed, 31 Dec 2025 23:59:59 GMT")
  expect(header("link")).toBe('<https://x.example/v2>; rel="deprecation"')
})

test("[C-12.5] links of the service stay beside the one added", async () => {
  const header = await answer({ link: "https://x.example/" }, { link: "</2>; rel=next" })
  expect(header("link")).toBe('</2>; rel=next, <https://x.example/>; rel="deprecation"')
})

test("[C-12.5] without a date, the day the config was loaded counts", async () => {
  const header = await answer({})
  expect(header("deprecation")).toBe(`@${Date.UTC(2025, 0, 2) / 1000}`)
  expect(header("sunset")).toBeUndefined()
  expect(header("link")).toBeUndefined()
})

test("[C-12.5] dates that do not exist, a sunset before the deprecation and bad links are config problems", () => {
  for (const bad of [
    { since: "2025-02-30" },
    { sunset: "2025-13-01" },
    { since: "2025-06-01", sunset: "2025-05-31" },
    { link: "/relative" },
    { link: "javascript:alert(1)" },
    { link: 'https://x.example/>; rel="next"' },
    { link: "https://x.example/\r\nx: y" },
  ])
    expect(checkPolicy(deprecated, bad)).toHaveLength(1)
  expect(() => compilePolicy(deprecated, { since: "yesterday" })).toThrow()
})

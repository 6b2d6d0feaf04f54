import { expect, test } from "bun:test"
import { requireHeaders } from "../../src/policies/require_headers.ts"
import { type HeaderLines, makeExchange } from "../support/exchange.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"

const RULES = { "X-Consent": [], "X-Data-Class": ["public", "internal"] }
const ask = (headers: HeaderLines | Record<string, string>) =>
  compilePolicy(requireHeaders, RULES).request!(makeExchange({ headers }))

test("[I-priv] a request with every header and an allowed value goes on", async () => {
  expect(await ask({ "x-consent": "granted", "x-data-class": "internal" })).toBeUndefined()
})

test("[I-priv] a missing or empty header is refused with its name and what is allowed", async () => {
  const missing = { code: "MISSING_HEADER", details: { header: "X-Consent", allowed: [] } }
  expect(await ask({ "x-data-class": "public" })).toMatchObject(missing)
  expect(await ask({ "x-consent": "", "x-data-class": "public" })).toMatchObject(missing)
})

test("[I-priv] a value that is not allowed is refused and not repeated", async () => {
  const verdict = await ask({ "x-consent": "yes", "x-data-class": "secret-value" })
  expect(verdict).toMatchObject({ details: { header: "X-Data-Class", allowed: ["public", "internal"] } })
  expect(JSON.stringify(verdict)).not.toContain("secret-value")
})

test("[I-priv] a header sent twice is refused, even if each value would do", async () => {
  const lines: HeaderLines = [
    ["x-consent", "yes"],
    ["x-data-class", "public"],
    ["x-data-class", "internal"],
  ]
  expect(await ask(lines)).toMatchObject({ code: "MISSING_HEADER" })
})

test("names that are none, values that cannot be sent and an empty list are config problems", () => {
  expect(checkPolicy(requireHeaders, { "x y": [] })).toHaveLength(1)
  expect(checkPolicy(requireHeaders, { "x-a": ["", " a"] })).toHaveLength(2)
  expect(checkPolicy(requireHeaders, { "x-a": [], "X-A": [] })).toHaveLength(1)
  expect(checkPolicy(requireHeaders, {})).toHaveLength(1)
})

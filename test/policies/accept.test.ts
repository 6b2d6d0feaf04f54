import { expect, test } from "bun:test"
import { accept } from "../../src/policies/accept.ts"
import { makeExchange } from "../support/exchange.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"

const ask = (value: string) =>
  compilePolicy(accept, { types: ["application/json", "text/csv"] }).request!(
    makeExchange({ headers: { accept: value } }),
  )

test("[T-2.5] a request that accepts one of the route's types goes on", async () => {
  expect(await ask("text/*")).toBeUndefined()
})

test("[T-2.5] a request that accepts none of them is refused with what is available", async () => {
  expect(await ask("application/xml")).toMatchObject({
    code: "NOT_ACCEPTABLE",
    details: { available: ["application/json", "text/csv"] },
  })
})

test("a text that is no media type is a config problem", () => {
  expect(checkPolicy(accept, { types: ["application/json", "json", "text/*", ""] })).toHaveLength(3)
})

import { describe, expect, test } from "bun:test"
import { parseConfig } from "../../src/config/load.ts"

const problems = (abuse: string): string[] => {
  const loaded = parseConfig(`abuse: ${abuse}\nroutes: [{ path: /, respond: {} }]`, "yaml", {})
  return loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`)
}

describe("[V-rl.5] a section that cannot work is refused", () => {
  const cases: readonly [abuse: string, wanted: string][] = [
    ["{ window: 500ms }", "abuse.window: must be from 1s to 1d"],
    ["{ request_rate: fast }", "abuse.request_rate: "],
    ["{ block: { first: 0 } }", "abuse.block.first: must be 1s or more"],
    ["{ block: { first: 2h, max: 1h } }", "abuse.block.max: is shorter than block.first"],
    ["{ block: { forgive_after: 400d } }", "abuse.block.forgive_after: must be 366d or less"],
    ["{ allow: [10.0.0.0/8, office] }", "abuse.allow[1]: is neither an address nor a range"],
    [
      "{ weights: { unauthorized: 0, forbidden: 0, not_found: 0, rate_limited: 0, bad_request: 0, excess: 0 } }",
      "abuse.weights: are all 0, so nobody would ever be blocked",
    ],
    ["{ treshold: 5 }", "abuse.treshold: unknown key"],
  ]
  for (const [abuse, wanted] of cases)
    test(abuse, () => {
      const found = problems(abuse)
      expect(found.length).toBe(1)
      expect(found[0]).toStartWith(wanted)
    })
})

test("the defaults work", () => {
  expect(problems("{}")).toEqual([])
})

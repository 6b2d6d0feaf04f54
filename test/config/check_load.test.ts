import { expect, test } from "bun:test"
import { parseConfig } from "../../src/config/load.ts"

/** What is found, as "PATH: MESSAGE": problems, then warnings. */
function findings(keys: { service?: string; server?: string; route?: string }): string[] {
  const text = `
server: { ${keys.server ?? ""} }
services: { a: { instances: [http://127.0.0.1:8001], ${keys.service ?? ""} } }
routes: [{ path: /, service: a, ${keys.route ?? ""} }]`
  const loaded = parseConfig(text, "yaml", {}, "/")
  const problems = loaded.ok ? [] : loaded.problems
  return [...problems, ...loaded.warnings].map((each) => `${each.path}: ${each.message}`)
}

const AT = "services.a.concurrency"

const cases: [name: string, keys: Parameters<typeof findings>[0], wanted: string][] = [
  [
    "a least limit beyond the highest",
    { service: "concurrency: { min: 9, max: 8 }" },
    `${AT}.min: is more than max (8)`,
  ],
  [
    "a beginning out of bounds",
    { service: "concurrency: { max: 8, initial: 9 }" },
    `${AT}.initial: must be from min (4) to max (8)`,
  ],
  [
    "probes all the time",
    { service: "concurrency: { probe_interval: 100ms }" },
    `${AT}.probe_interval: must be at least 1s: a probe takes a moment of most of the traffic`,
  ],
  [
    "more for low than for normal",
    { service: "concurrency: { shares: { low: 90 } }" },
    `${AT}.shares.low: is more than that of normal (80)`,
  ],
  [
    "more for normal than for high",
    { service: "concurrency: { mode: fixed, max: 8, shares: { normal: 99 } }" },
    `${AT}.shares.normal: is more than that of high (90)`,
  ],
  [
    "what a fixed limit does not use",
    { service: "concurrency: { mode: fixed, max: 8, tolerance: 1.2 }" },
    `${AT}.tolerance: has no effect with mode: fixed`,
  ],
  [
    "a lag no program keeps",
    { server: "shedding: { max_lag: 5ms }" },
    "server.shedding.max_lag: is less than any busy program needs; must be at least 20ms, or 0 for any",
  ],
  [
    "memory no gateway fits",
    { server: "shedding: { max_memory: 1MB }" },
    "server.shedding.max_memory: is less than the gateway itself needs; must be at least 32MB",
  ],
  [
    "a header that cannot be",
    { route: "priority: { header: 'a b' }" },
    'routes[0].priority: header: no header can have the name "a b"',
  ],
]

for (const [name, keys, wanted] of cases)
  test(`${name} is told: ${wanted.slice(0, 50)}…`, () => expect(findings(keys)).toEqual([wanted]))

test("a class that is none is told", () => {
  expect(findings({ route: "priority: urgent" }).join()).toContain("routes[0].priority")
})

test("defaults give way to a small limit somebody wrote", () => {
  expect(findings({ service: "concurrency: { max: 2 }", route: "priority: critical" })).toEqual([])
})

import { expect, test } from "bun:test"
import { parseConfig } from "../../src/config/load.ts"
import { SECRET } from "../support/authenticator.ts"

const QUOTA = { name: "stories", per: "day", limits: { basic: 5, premium: 20 } }
const ROUTE = { path: "/stories", respond: {}, quota: QUOTA }
const FILE = {
  store: "sqlite::memory:",
  auth: { secret: SECRET, tiers: ["basic", "premium"], roles: { staff: {} } },
  routes: [ROUTE],
}

/** Each problem as `path: message`. */
function problems(changes: object): string[] {
  const loaded = parseConfig(JSON.stringify({ ...FILE, ...changes }), "json", {})
  return loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`)
}
const withQuota = (changes: object) => problems({ routes: [{ ...ROUTE, quota: { ...QUOTA, ...changes } }] })

test("[C-6.6] a quota by tier is taken", () => {
  expect(problems({})).toEqual([])
  expect(withQuota({ timezone: "Europe/Berlin", count: "success", by: "claim:tenant" })).toEqual([])
})

test("a tier nobody has is named, with the one that may be meant", () => {
  expect(withQuota({ limits: { basic: 5, premum: 20, default: 1 } })).toEqual([
    'routes[0].quota.limits.premum: unknown tier "premum"; did you mean "premium"?',
  ])
  expect(withQuota({ exempt: { tiers: ["gold"], roles: ["staf"] } })).toEqual([
    'routes[0].quota.exempt.tiers[0]: unknown tier "gold"',
    'routes[0].quota.exempt.roles[0]: unknown role "staf"; did you mean "staff"?',
  ])
})

test("every tier needs a limit", () => {
  expect(withQuota({ limits: { basic: 5 } })).toEqual([
    "routes[0].quota.limits: there is none for premium; add it, or default",
  ])
  expect(withQuota({ limits: { basic: 5, default: 6 } })).toEqual([])
  expect(withQuota({ limits: { basic: 5 }, exempt: { tiers: ["premium"] } })).toEqual([])
  expect(withQuota({ limits: {} }).length).toBe(1)
  expect(withQuota({ limits: undefined }).join()).toContain("routes[0].quota.limits")
})

test("a zone that is none is refused", () => {
  expect(withQuota({ timezone: "Europe/Atlantis" })).toEqual([
    'routes[0].quota: timezone: there is no zone "Europe/Atlantis"; write for example Europe/Berlin, or leave it out for UTC',
  ])
})

test("what units cannot be counted by is refused", () => {
  for (const by of ["ip", "header:x", "claim:", "usr"]) expect(withQuota({ by }).length).toBe(1)
})

test("a cost nobody could ever pay is refused; 0 units are not", () => {
  expect(withQuota({ cost: 6 }).length).toBe(1)
  expect(withQuota({ cost: 6, limits: { basic: 0, premium: 20 } })).toEqual([])
})

test("it needs a store, and callers who are known", () => {
  expect(problems({ store: undefined }).join()).toContain("routes[0].quota: needs a store")
  expect(problems({ routes: [{ ...ROUTE, auth: { required: false } }] }).join()).toContain("required: false")
  const open = problems({ defaults: { auth: {} }, routes: [{ ...ROUTE, without: ["auth"] }] })
  expect(open.join()).toContain("the route has no auth")
})

test("one name cannot mean two quotas; what a request costs may differ", () => {
  const other = { ...ROUTE, path: "/images" }
  expect(problems({ routes: [ROUTE, { ...other, quota: { ...QUOTA, cost: 2 } }] })).toEqual([])
  expect(problems({ routes: [ROUTE, { ...other, quota: { ...QUOTA, per: "week" } }] }).length).toBe(1)
  expect(problems({ routes: [{ ...ROUTE, quota: [QUOTA, QUOTA] }] }).length).toBe(1)
})

test("usage needs a store, and a retention within reason", () => {
  expect(problems({ usage: {} })).toEqual([])
  expect(problems({ usage: { retention: "1h" } }).join()).toContain("usage.retention")
  expect(problems({ store: undefined, routes: [], usage: {} }).join()).toContain("usage: needs a store")
})

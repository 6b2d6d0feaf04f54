import { expect, test } from "bun:test"
import { parseConfig } from "../../src/config/load.ts"

/** Problems and warnings of a config, as "path: message". */
function findings(file: object): string[] {
  const loaded = parseConfig(JSON.stringify(file), "json", {})
  return [...(loaded.ok ? [] : loaded.problems), ...loaded.warnings].map(
    ({ path, message }) => `${path}: ${message}`,
  )
}

const AUTH = { secret: "0123456789abcdef0123456789abcdef", tiers: ["free", "premium"] }
const route = (rate_limit: object, path = "/a") => ({ path, respond: {}, rate_limit })

test("[C-6.3] tiers and roles a limit names must exist", () => {
  const limit = {
    rate: "1/s",
    tiers: { premum: { rate: "2/s" } },
    roles: { crew: { rate: "2/s" } },
    exempt: { tiers: ["gold"], roles: ["admn"] },
  }
  expect(findings({ auth: { ...AUTH, roles: { admin: {} } }, routes: [route([limit])] })).toEqual([
    'routes[0].rate_limit[0].tiers: unknown tier "premum"; did you mean "premium"?',
    'routes[0].rate_limit[0].roles: unknown role "crew"',
    'routes[0].rate_limit[0].exempt.tiers: unknown tier "gold"',
    'routes[0].rate_limit[0].exempt.roles: unknown role "admn"; did you mean "admin"?',
  ])
})

test("[C-6.1] a limit by what callers prove is warned of where nobody proves anything", () => {
  const found = findings({ routes: [route({ by: "tier", rate: "1/s" }), route({ rate: "1/s" }, "/b")] })
  expect(found).toHaveLength(1)
  expect(found[0]).toContain("there is no section auth")
})

test("[V-rl.4b] limits that count together but differ are warned of", () => {
  const shared = { name: "all", scope: "global", rate: "1/s" }
  expect(findings({ routes: [route(shared), route(shared, "/b")] })).toEqual([])
  const found = findings({ routes: [route(shared), route({ ...shared, rate: "2/s" }, "/b")] })
  expect(found).toEqual([
    "routes[1].rate_limit: another limit named all with scope global has another rate or by",
  ])
})

test("[T-5.1] faults of limits are told at their place, a limit alone or in a list", () => {
  expect(findings({ routes: [route({ rate: "5" })] })[0]).toStartWith(
    'routes[0].rate_limit: rate: "5" is no rate',
  )
  expect(findings({ routes: [route({ rat: "5/s" })] }).join()).toContain('did you mean "rate"?')
  expect(findings({ routes: [route({ by: "ip" })] }).join()).toContain("rate: required but missing")
  expect(findings({ routes: [route([{ rate: "5/s", burst: 0 }])] }).join()).toContain(
    "routes[0].rate_limit[0].burst",
  )
  expect(findings({ routes: [route([])] })).not.toEqual([])
})

test("[T-5.1] an exact limit without redis is warned of, and what contradicts it is refused", () => {
  const exact = { rate: "1/s", exact: true }
  expect(findings({ routes: [route(exact)] })).toEqual([
    "routes[0].rate_limit.exact: has no effect: there is no redis to share the limit by",
  ])
  const redis = "redis://127.0.0.1"
  expect(findings({ redis, routes: [route({ ...exact, mode: "shadow" })] }).join()).toContain("shadow")
  expect(findings({ redis, routes: [route({ ...exact, queue: {} })] }).join()).toContain("queue")
  expect(findings({ redis, limits: { sync_interval: "6s" }, routes: [route({ rate: "1/s" })] })).toEqual([
    "limits.sync_interval: must be 10ms to 5s",
  ])
  expect(findings({ redis: { url: "redis://a", nodes: ["b"] }, routes: [route(exact)] })).toEqual([
    "redis: needs exactly one of url, sentinels and nodes",
  ])
})

test("[C-6.7] a class that is exempt must be one of some requests, not of all", () => {
  const exempt = (...priority: string[]) => ({ rate: "1/s", by: "ip", exempt: { priority } })
  const told = (rate_limit: object, more: object = {}) =>
    findings({ routes: [{ path: "/a", respond: {}, rate_limit, ...more }] })
  const roles = { priority: { roles: { crisis: "critical" } } }
  expect(told(exempt("critical"), roles)).toEqual([])
  expect(told(exempt("critical"), { priority: { header: "x-class" } })).toEqual([])
  expect(told([exempt("high")], roles)).toEqual([
    "routes[0].rate_limit[0].exempt.priority: no request of this route is ever high: its priority says critical, normal only; write for example priority: high, or give the class to a role",
  ])
  expect(told(exempt("critical")).join()).toContain("no request of this route is ever critical")
  expect(told(exempt("normal")).join()).toContain("every request of this route is normal, so none is counted")
  expect(told(exempt("urgent")).join()).toContain("routes[0].rate_limit.exempt.priority")
  // What many routes inherit need not suit each of them.
  const defaults = { rate_limit: exempt("critical") }
  expect(findings({ defaults, routes: [{ path: "/a", respond: {} }] })).toEqual([])
})

test("[C-6.7] a quota may exempt classes by the same rules", () => {
  const quota = { name: "q", per: "day", limits: { default: 5 }, exempt: { priority: ["critical"] } }
  const file = (more: object) => ({
    auth: AUTH,
    store: "sqlite::memory:",
    routes: [{ path: "/a", respond: {}, quota, ...more }],
  })
  expect(findings(file({})).join()).toContain("routes[0].quota.exempt.priority: no request of this route")
  expect(findings(file({ priority: { header: "x-class" } }))).toEqual([])
})

test("[I-rl.redis] authorities of Redis must be a file of certificates, and of use", () => {
  const redis = { url: "rediss://a", ca: "/does/not/exist.pem" }
  expect(findings({ redis, routes: [route({ rate: "1/s" })] })).toEqual(["redis.ca: there is no such file"])
  const plain = { ...redis, url: "redis://a" }
  expect(findings({ redis: plain, routes: [route({ rate: "1/s" })] }).join()).toContain("write rediss://")
})

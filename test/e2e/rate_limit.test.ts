import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { issuerKey, TestIssuer } from "../support/issuer.ts"
import { talk } from "../support/raw_client.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

const opened: { close(): unknown }[] = []

afterEach(async () => {
  await endGateways()
  for (const each of opened.splice(0)) await each.close()
})

const OK = { path: "/*", respond: { body: "ok" } }
const limited = (rate_limit: object, server: object = {}) =>
  startGateway({ server: { workers: 2, ...server }, routes: [{ ...OK, rate_limit }] })

/** Sends all at once, each on a connection of its own: the kernel spreads them over the workers. */
async function burst(
  gateway: GatewayProcess,
  times: number,
  headers: (i: number) => Record<string, string> = () => ({}),
): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {}
  const ask = async (i: number) => {
    const response = await fetch(`${gateway.url}/x`, {
      headers: { connection: "close", ...headers(i) },
      keepalive: false,
    })
    await response.arrayBuffer()
    statuses[response.status] = (statuses[response.status] ?? 0) + 1
  }
  await Promise.all(Array.from({ length: times }, (_, i) => ask(i)))
  return statuses
}

test("[F-60 T-5.1 C-6.2] of many requests side by side at two workers exactly as many pass as may", async () => {
  const gateway = await limited({ by: "ip", rate: "100/d" })
  expect(await burst(gateway, 300)).toEqual({ 200: 100, 429: 200 })
  const page = await (await gateway.admin("/metrics")).text()
  expect(page).toContain('gatehouse_rate_limit_total{limit="ip",result="refused"} 200')
  expect(page).toContain("gatehouse_workers 2")
})

test("[F-60] addresses a client claims to have do not help it; those a trusted proxy tells count, IPv6 by /64", async () => {
  const claims = (i: number) => ({ "x-forwarded-for": `203.0.113.${i}`, "X-FORWARDED-FOR": `203.0.113.${i}` })
  const open = await limited({ by: "ip", rate: "5/d" })
  expect(await burst(open, 40, claims)).toEqual({ 200: 5, 429: 35 })
  const behind = await limited({ by: "ip", rate: "5/d" }, { trusted_proxies: ["127.0.0.1"] })
  expect(await burst(behind, 40, (i) => ({ "x-forwarded-for": `203.0.113.${i}` }))).toEqual({ 200: 40 })
  const network = (i: number) => ({ "x-forwarded-for": `2001:db8:7:7:${i.toString(16)}::${i}` })
  expect(await burst(behind, 40, network)).toEqual({ 200: 5, 429: 35 })
})

test("[F-60 T-5.1 C-6.3] a user has one limit for all tokens, by its tier", async () => {
  const issuer = new TestIssuer([await issuerKey("first")])
  opened.push(issuer)
  const gateway = await startGateway({
    auth: { issuers: [{ issuer: issuer.url, audience: ["api"] }], tiers: ["free", "premium"] },
    routes: [
      { ...OK, rate_limit: { by: "user", rate: "10/d", tiers: { premium: { rate: "20/d", burst: 30 } } } },
    ],
  })
  const [a, b] = [await issuer.token({ jti: "1" }), await issuer.token({ jti: "2" })]
  const asked = (i: number) => ({ authorization: `Bearer ${i % 2 === 0 ? a : b}` })
  expect(await burst(gateway, 60, asked)).toEqual({ 200: 10, 429: 50 })
})

test("[C-6.5 T-5.3] the answer tells all, on the wire too, and a refusal is in the format of errors", async () => {
  const gateway = await limited({ name: "api", by: "ip", rate: "2/min" })

  const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
  const [first, , third] = await talk(gateway.port, get.repeat(3), 3)
  const names = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit-policy",
    "ratelimit",
  ]
  expect(names.map((name) => first!.header(name))).toEqual([
    "2",
    "1",
    "30",
    '"api";q=2;w=60',
    '"api";r=1;t=30',
  ])
  expect(third!.status).toBe(429)
  expect(third!.header("retry-after")).toBe("30")
  expect(third!.header("ratelimit")).toBe('"api";r=0;t=60')
  expect(JSON.parse(third!.body).error).toEqual({
    code: "RATE_LIMITED",
    message: "Too many requests.",
    details: { limit: "api", retry_after: 30 },
  })
})

test("a reload keeps what was counted, also under another rate", async () => {
  const gateway = await limited({ by: "ip", rate: "3/d" })
  expect(await burst(gateway, 5)).toEqual({ 200: 3, 429: 2 })
  gateway.writeConfig({ routes: [{ ...OK, rate_limit: { by: "ip", rate: "4/d" } }] })
  expect((await gateway.admin("/admin/v1/reload", { method: "POST" })).status).toBe(200)
  // 3 of a day's 3 were taken: that is a day of waiting under either rate.
  expect(await burst(gateway, 5)).toEqual({ 429: 5 })
})

test("[C-6.4] what waits its turn goes on at the rate, over both workers; whoever leaves costs nothing", async () => {
  const gateway = await limited({ by: "ip", rate: "20/s", burst: 5, queue: { max: 100, timeout: "20s" } })
  const started = performance.now()
  const impatient = AbortSignal.timeout(300)
  const left = Array.from({ length: 60 }, () =>
    fetch(gateway.url, { signal: impatient }).catch(() => undefined),
  )
  await Promise.all(left)
  expect(await burst(gateway, 25)).toEqual({ 200: 25 })
  const tookMs = performance.now() - started
  // 25 and those that were let through before the others left, 5 of them at once.
  expect(tookMs).toBeGreaterThan(((25 + 5 - 5) * 1000) / 20)
  expect(tookMs).toBeLessThan(((25 + 60 - 5) * 1000) / 20)
})

test("[C-6.7] critical operations pass whatever the limit, and no client can make its own critical", async () => {
  const route = {
    ...OK,
    priority: { header: "x-priority" },
    rate_limit: { by: "ip", rate: "2/d", exempt: { priority: ["critical"] } },
  }
  const forged = () => ({ "x-priority": "critical" })
  const open = await startGateway({ routes: [route] })
  expect(await burst(open, 6, forged)).toEqual({ 200: 2, 429: 4 })
  const behind = await startGateway({ server: { trusted_proxies: ["127.0.0.1"] }, routes: [route] })
  expect(await burst(behind, 6, forged)).toEqual({ 200: 6 })
  expect(await burst(behind, 6)).toEqual({ 200: 2, 429: 4 })
})

test("[C-6.4 C-6.7] in a queue the critical go first; when it is full the last of the others give way", async () => {
  const gateway = await startGateway({
    server: { workers: 1, trusted_proxies: ["127.0.0.1"] },
    routes: [
      {
        ...OK,
        priority: { header: "x-priority" },
        rate_limit: { by: "route", rate: "2/s", burst: 1, queue: { max: 3, timeout: "10s" } },
      },
    ],
  })
  const order: string[] = []
  const ask = async (name: string, priority = "normal") => {
    const response = await fetch(`${gateway.url}/x`, { headers: { "x-priority": priority } })
    await response.arrayBuffer()
    order.push(`${name} ${response.status}`)
  }
  const waiting = (count: number) =>
    untilAsked(async () => {
      const page = await (await gateway.admin("/metrics")).text()
      return page.includes(`gatehouse_rate_limit_total{limit="route",result="queued"} ${count}`)
    }, `${count} to be queued`)
  await ask("first")
  const all: Promise<void>[] = []
  for (const [i, name] of ["a", "b", "c"].entries()) {
    all.push(ask(name))
    await waiting(i + 1)
  }
  all.push(ask("critical", "critical"))
  await Promise.all(all)
  expect(order).toEqual(["first 200", "c 429", "critical 200", "a 200", "b 200"])
})

test("[C-6.8] what was over a limit is in the log, a sample of it", async () => {
  const gateway = await limited({ by: "ip", rate: "1/d" })
  await burst(gateway, 60)
  const exceeded = () => gateway.log.filter((line) => line.event === "limit.exceeded")
  await until(() => exceeded().length > 0, "the log")
  const lines = exceeded()
  expect(lines.length).toBeLessThanOrEqual(40)
  expect(lines[0]).toMatchObject({
    level: "info",
    limit: "ip",
    route: "/*",
    ip: "127.0.0.1",
    mode: "enforce",
  })
})

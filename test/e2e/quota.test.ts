import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { startPostgres } from "../support/postgres.ts"
import { askAtOnce, bearer, storiesConfig } from "../support/quota.ts"
import { STORES, sqliteUrl } from "../support/store_urls.ts"
import { untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

const opened: { stop(force: boolean): unknown }[] = []
afterEach(async () => {
  await endGateways()
  for (const each of opened.splice(0)) await each.stop(true)
})

/** Answers with the status the path names, and says how often it was asked. */
function service(): { url: string; asked: () => number } {
  let asked = 0
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked++
      return new Response("", { status: Number(new URL(request.url).pathname.slice(1)) || 200 })
    },
  })
  opened.push(server)
  return { url: `http://127.0.0.1:${server.port}`, asked: () => asked }
}

const subjectOf = async (gateway: GatewayProcess, subject: string) =>
  (await (await gateway.admin(`/admin/v1/quotas/stories/subjects/${subject}`)).json()) as Record<
    string,
    unknown
  >

/** The subject a user of the tests' tokens has. */
const ANN = "user:ann"
// A month: no test of these meets its end by chance, other than once a month.
const MONTH = { per: "month" }

for (const [name, freshUrl] of STORES) {
  describe(`quotas of running gateways on ${name}`, () => {
    test("[C-6.6 V-rl.2] of a hundred requests at once at two gateways of two workers exactly as many pass as may", async () => {
      const config = storiesConfig(await freshUrl(), { ...MONTH, limits: { basic: 37, premium: 20 } })
      const [a, b] = await Promise.all([startGateway(config), startGateway(config)])
      expect(await askAtOnce([a, b], 100, bearer("ann"))).toEqual({ 200: 37, 429: 63 })
      expect(await askAtOnce([b, a], 30, bearer("bob", "premium"))).toEqual({ 200: 20, 429: 10 })
      expect(await subjectOf(a, ANN)).toMatchObject({ used: 37, limit: 37, remaining: 0 })
      const pages = await Promise.all([a, b].map(async (each) => (await each.admin("/metrics")).text()))
      const sum = (result: string) =>
        pages.reduce((total, page) => {
          const found = new RegExp(
            `gatehouse_quota_total\\{quota="stories",result="${result}"\\} (\\d+)`,
          ).exec(page)
          return total + Number(found?.[1] ?? 0)
        }, 0)
      expect([sum("allowed"), sum("refused"), sum("warned_80"), sum("warned_100")]).toEqual([57, 73, 2, 2])
    })

    test("[V-rl.2] a gateway that is killed forgets nothing that was counted", async () => {
      const config = storiesConfig(await freshUrl(), MONTH)
      const first = await startGateway(config)
      expect(await askAtOnce([first], 3, bearer("ann"))).toEqual({ 200: 3 })
      first.signal("SIGKILL")
      await first.exited
      const second = await startGateway(config)
      expect(await askAtOnce([second], 10, bearer("ann"))).toEqual({ 200: 2, 429: 8 })
    })
  })
}

test("[V-rl.2] with count: success what fails gives its unit back, and the limit holds for what succeeds", async () => {
  const { url, asked } = service()
  const changes = { ...MONTH, count: "success" }
  const { quota } = storiesConfig("", changes).routes[0]!
  const gateway = await startGateway(
    storiesConfig(sqliteUrl(), changes, {
      services: { stories: { instances: [url] } },
      routes: [{ path: "/:status", service: "stories", quota }],
    }),
  )
  for (let i = 0; i < 12; i++)
    expect(await askAtOnce([gateway], 1, bearer("ann"), "/422")).toEqual({ 422: 1 })
  await untilAsked(async () => (await subjectOf(gateway, ANN)).used === 0, "the units")
  expect(await askAtOnce([gateway], 20, bearer("ann"), "/201")).toEqual({ 201: 5, 429: 15 })
  expect(asked()).toBe(17)
})

test("[F-45] while PostgreSQL is away requests are refused soon, or let through, and counted again when it is back", async () => {
  const postgres = await startPostgres()
  try {
    const url = await postgres.createDatabase()
    const { quota, ...route } = storiesConfig(url, MONTH).routes[0]!
    const open = { ...route, path: "/open", quota: { ...quota, name: "open", on_failure: "allow" } }
    const gateway = await startGateway(storiesConfig(url, MONTH, { routes: [{ ...route, quota }, open] }))
    expect(await askAtOnce([gateway], 2, bearer("ann"))).toEqual({ 200: 2 })
    await postgres.stop()
    const startedAt = performance.now()
    const response = await fetch(`${gateway.url}/stories`, { headers: bearer("ann") })
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"])
    expect(((await response.json()) as { error: object }).error).toMatchObject({
      code: "SERVICE_UNAVAILABLE",
    })
    expect(await askAtOnce([gateway], 20, bearer("ann"), "/open")).toEqual({ 200: 20 })
    expect(performance.now() - startedAt).toBeLessThan(12_000)
    await postgres.start()
    await untilAsked(
      async () => (await fetch(`${gateway.url}/stories`, { headers: bearer("bob") })).status === 200,
      "the store",
    )
    expect(await askAtOnce([gateway], 5, bearer("ann"))).toEqual({ 200: 3, 429: 2 })
  } finally {
    await postgres.remove()
  }
})

test("[V-rl.2] an allowance is in force with the next request, on the wire too", async () => {
  const gateway = await startGateway(storiesConfig(sqliteUrl(), MONTH))
  expect(await askAtOnce([gateway], 6, bearer("ann"))).toEqual({ 200: 5, 429: 1 })
  const body = {
    quota: "stories",
    subject: ANN,
    extra: 2,
    ends_at: "2099-01-01T00:00:00Z",
    reason: "a feast",
  }
  const granted = await gateway.admin("/admin/v1/quotas/allowances", {
    method: "POST",
    body: JSON.stringify(body),
  })
  expect(granted.status).toBe(201)
  const response = await fetch(`${gateway.url}/stories`, { headers: bearer("ann") })
  expect(["x-quota-limit", "x-quota-remaining"].map((each) => response.headers.get(each))).toEqual(["7", "1"])
  const own = await fetch(`${gateway.url}/api/v1/users/me/usage`, { headers: bearer("ann") })
  expect(await own.json()).toMatchObject({
    quotas: [{ quota: "stories", limit: 7, allowance: 2, used: 6, remaining: 1 }],
  })
  expect((await fetch(`${gateway.url}/api/v1/users/me/usage`)).status).toBe(401)
})

test("[V-rl.6 C-4.9 C-5.9] usage is there within seconds, and after the end of the gateway whole", async () => {
  const store = sqliteUrl()
  const config = storiesConfig(store, MONTH, { usage: {} })
  const first = await startGateway(config)
  expect(await askAtOnce([first], 8, bearer("ann"))).toEqual({ 200: 5, 429: 3 })
  const rows = async (gateway: GatewayProcess) => {
    const answer = await gateway.admin(`/admin/v1/usage?subject=${ANN}`)
    return ((await answer.json()) as { usage: Record<string, unknown>[] }).usage
  }
  await untilAsked(async () => (await rows(first))[0]?.requests === 8, "the usage")
  expect((await rows(first))[0]).toMatchObject({ route: "/stories", requests: 8, errors: 3 })
  await askAtOnce([first], 4, bearer("ann"))
  first.signal("SIGTERM")
  await first.exited
  const second = await startGateway(config)
  expect((await rows(second)).reduce((sum, { requests }) => sum + Number(requests), 0)).toBe(12)
})

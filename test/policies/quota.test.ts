import { expect, test } from "bun:test"
import type { Principal } from "../../src/identity/principal.ts"
import { quota } from "../../src/policies/quota.ts"
import { compileSubject } from "../../src/policies/quota_subject.ts"
import type { QuotaAnswer, Quotas } from "../../src/policies/quotas.ts"
import type { QuotaTake, QuotaUnits } from "../../src/store/quota_usage.ts"
import type { Exchange } from "../../src/upstream/exchange.ts"
import { makeAnswer, makeExchange } from "../support/exchange.ts"
import { compilePolicy } from "../support/policy.ts"
import { makePrincipal } from "../support/principal.ts"

const STORIES = { name: "stories", per: "day", limits: { free: 5, premium: 20 } }
const START = Date.UTC(2025, 0, 1)

/** A policy over units that are answered for by `answer`. */
function over(options: object, answer: (takes: readonly QuotaTake[]) => QuotaAnswer | undefined, at = START) {
  const asked: QuotaTake[] = []
  const returned: QuotaUnits[] = []
  const quotas: Quotas = {
    take: (takes) => {
      asked.push(...takes)
      return Promise.resolve(answer(takes))
    },
    giveBack: (units) => void returned.push(...units),
  }
  return { steps: compilePolicy(quota, options, { quotas, wallClock: () => at }), asked, returned }
}
const granted = (takes: readonly QuotaTake[]): QuotaAnswer => ({
  kind: "quota",
  refusing: -1,
  states: takes.map(({ limit }) => ({ used: 2, limit })),
})

function of(changes: Partial<Principal> = {}): Exchange {
  const exchange = makeExchange({ method: "POST" })
  exchange.principal = makePrincipal(changes)
  return exchange
}
const header = (exchange: Exchange, name: string) => exchange.responseEdits.get(name, makeAnswer().fields)

test("[C-6.6] a request asks for its cost, by the tier of its caller and the day of the zone", async () => {
  const { steps, asked } = over({ ...STORIES, cost: 2, timezone: "Europe/Berlin" }, granted)
  expect(await steps.request!(of({ tier: "premium" }))).toBeUndefined()
  const periodStart = Date.UTC(2024, 11, 31, 23)
  expect(asked).toEqual([
    {
      quota: "stories",
      subject: "user:gatehouse:ann",
      cost: 2,
      limit: 20,
      periodStart,
      periodEnd: periodStart + 86_400_000,
    },
  ])
})

test("a tier that is not named has the default, and none without one", async () => {
  const { steps, asked } = over({ ...STORIES, limits: { default: 3 } }, granted)
  await steps.request!(of({ tier: "__proto__" }))
  await over({ ...STORIES, limits: { premium: 3 } }, granted).steps.request!(of())
  expect(asked.map(({ limit }) => limit)).toEqual([3])
})

test("[C-6.6] a refusal tells what is used, and when it begins anew", async () => {
  const refused = { kind: "quota", refusing: 0, states: [{ used: 5, limit: 5 }] } as const
  const { steps, returned } = over(STORIES, () => refused, START + 1500)
  const exchange = of()
  expect(await steps.request!(exchange)).toMatchObject({
    code: "QUOTA_EXCEEDED",
    details: { quota: "stories", limit: 5, used: 5, resets_at: "2025-01-02T00:00:00.000Z" },
    retryAfterS: 86_399,
  })
  exchange.answer = makeAnswer(429)
  steps.response!(exchange)
  steps.done!(exchange)
  expect(header(exchange, "ratelimit")).toBe('"stories";r=0;t=86399')
  expect(returned).toEqual([])
})

test("answers tell the quota with the fewest units left, and all of them after the rate limits", async () => {
  const { steps } = over(
    [
      STORIES,
      { name: "images", per: "hour", limits: { free: 3 } },
      { ...STORIES, name: "z", headers: false },
    ],
    granted,
  )
  const exchange = of()
  exchange.responseEdits.set("ratelimit", '"ip";r=9;t=1')
  await steps.request!(exchange)
  exchange.answer = makeAnswer(200)
  steps.response!(exchange)
  const names = ["x-quota-limit", "x-quota-remaining", "x-quota-reset", "ratelimit-policy", "ratelimit"]
  expect(names.map((name) => header(exchange, name))).toEqual([
    "3",
    "1",
    "3600",
    '"images";q=3;w=3600, "stories";q=5;w=86400',
    '"ip";r=9;t=1, "images";r=1;t=3600, "stories";r=3;t=86400',
  ])
})

test("[V-rl.2] with count: success only answers of 400 and more give units back, once they are sent", async () => {
  for (const [status, back] of [
    [200, 0],
    [302, 0],
    [400, 1],
    [503, 1],
  ] as const) {
    const { steps, returned } = over({ ...STORIES, count: "success" }, granted)
    const exchange = of()
    await steps.request!(exchange)
    exchange.answer = makeAnswer(status)
    steps.response!(exchange)
    expect(header(exchange, "x-quota-remaining")).toBe(back === 1 ? "4" : "3")
    steps.done!(exchange)
    expect(returned.length).toBe(back)
  }
})

test("a client that leaves before it is answered gets nothing back; nor does one whose requests count", async () => {
  const gone = over({ ...STORIES, count: "success" }, granted)
  const exchange = of()
  await gone.steps.request!(exchange)
  exchange.clientLeft()
  gone.steps.done!(exchange)
  const counted = over(STORIES, granted)
  const failed = of()
  await counted.steps.request!(failed)
  failed.answer = makeAnswer(500)
  counted.steps.done!(failed)
  expect([...gone.returned, ...counted.returned]).toEqual([])
})

test("while nobody knows, requests are refused, or let through and not counted", async () => {
  const refusing = over(STORIES, () => undefined)
  expect(await refusing.steps.request!(of())).toMatchObject({ code: "SERVICE_UNAVAILABLE", retryAfterS: 5 })
  const allowing = over({ ...STORIES, on_failure: "allow", count: "success" }, () => undefined)
  const exchange = of()
  expect(await allowing.steps.request!(exchange)).toBeUndefined()
  exchange.answer = makeAnswer(500)
  allowing.steps.response!(exchange)
  allowing.steps.done!(exchange)
  expect(allowing.returned).toEqual([])
})

test("callers who are exempt take nothing; nobody without a name gets in", async () => {
  const { steps, asked } = over({ ...STORIES, exempt: { roles: ["staff"], tiers: ["gold"] } }, granted)
  expect(await steps.request!(of({ roles: ["user", "staff"] }))).toBeUndefined()
  expect(await steps.request!(of({ tier: "gold" }))).toBeUndefined()
  expect(await steps.request!(makeExchange())).toMatchObject({ code: "AUTH_ERROR" })
  expect(asked).toEqual([])
})

test("[C-6.7] requests of a class that is exempt take nothing", async () => {
  const { steps, asked } = over({ ...STORIES, exempt: { priority: ["critical"] } }, granted)
  const critical = of()
  critical.priority = 0
  expect(await steps.request!(critical)).toBeUndefined()
  expect(asked).toEqual([])
  expect(await steps.request!(of())).toBeUndefined()
  expect(asked).toHaveLength(1)
})

test("[V-rl.2] subjects of two callers are never one text", () => {
  const by = (how: string, changes: Partial<Principal>) =>
    compileSubject(how, "gatehouse")(makePrincipal(changes))
  expect(by("user", {})).toBe("user:ann")
  expect(by("user", { issuer: "https://a" })).toBe("user:https%3A%2F%2Fa:ann")
  expect(by("user", { kind: "service" })).toBe("service:ann")
  expect(by("api_key", { method: "api_key", tokenId: "k1" })).toBe("api_key:k1")
  expect(by("api_key", {})).toBe("user:ann")
  expect(by("claim:tenant", { claims: { tenant: "acme" } })).toBe("claim:tenant:acme")
  expect(by("claim:tenant", { claims: { tenant: ["acme"] } })).toBe("user:ann")
  expect(by("claim:toString", {})).toBe("user:ann")
  const ids = ["a", "a:b", "b:a", "a%3Ab", "A", "ä", "'; DROP TABLE quota_usage; --", "\0", "x".repeat(5000)]
  const issuers = ["gatehouse", "a", "a:b", "https://a", "y".repeat(5000)]
  const all = ids.flatMap((id) => issuers.map((issuer) => by("user", { id, issuer })))
  expect(new Set(all).size).toBe(all.length)
  for (const text of all) {
    expect(text.length).toBeLessThanOrEqual(200)
    expect(text).toMatch(/^[\x21-\x7e]+$/)
  }
  expect(by("user", { id: "\ud800" })).toBe("user:%EF%BF%BD")
})

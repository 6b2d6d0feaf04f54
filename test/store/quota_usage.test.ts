import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import {
  deleteAllowance,
  insertAllowance,
  listAllowances,
  MAX_ALLOWANCES,
} from "../../src/store/quota_allowances.ts"
import {
  giveBackUnits,
  lastLimit,
  type QuotaTake,
  sweepQuotas,
  takeUnits,
  usedUnits,
  warnOfUse,
} from "../../src/store/quota_usage.ts"
import { closeStores, open } from "../support/store.ts"
import { STORES } from "../support/store_urls.ts"

setDefaultTimeout(30_000)
afterEach(closeStores)

const DAY = 86_400_000
const NOW = Date.UTC(2026, 0, 5)
const take = (changes: Partial<QuotaTake> = {}): QuotaTake => ({
  quota: "stories",
  subject: "user:ann",
  periodStart: NOW,
  periodEnd: NOW + DAY,
  cost: 1,
  limit: 5,
  ...changes,
})
const allowance = (changes: object = {}) => ({
  id: Bun.randomUUIDv7("hex", NOW),
  quota: "stories",
  subject: "user:ann",
  extra: 2,
  startsAt: NOW,
  endsAt: NOW + DAY,
  reason: "birthday",
  grantedBy: "admin",
  createdAt: NOW,
  ...changes,
})

for (const [name, freshUrl] of STORES) {
  describe(`quotas in ${name}`, () => {
    test("[C-6.6 V-rl.2] units are taken until there are none left, and each says how many were", async () => {
      const store = await open(await freshUrl())
      const all = []
      for (let i = 0; i < 6; i++) all.push(await takeUnits(store, take(), NOW))
      expect(all.map(({ taken, used, limit }) => [taken, used, limit])).toEqual([
        [true, 1, 5],
        [true, 2, 5],
        [true, 3, 5],
        [true, 4, 5],
        [true, 5, 5],
        [false, 5, 5],
      ])
      expect(await lastLimit(store, "stories", "user:ann")).toBe(5)
    })

    test("[V-rl.2] of a hundred side by side at two gateways exactly as many get a unit as there are", async () => {
      const url = await freshUrl()
      const [a, b] = [await open(url), await open(url)]
      const asked = Array.from({ length: 100 }, (_, i) =>
        takeUnits(i % 2 === 0 ? a : b, take({ limit: 37 }), NOW),
      )
      const taken = (await Promise.all(asked)).filter((each) => each.taken)
      expect(taken.length).toBe(37)
      expect(new Set(taken.map(({ used }) => used)).size).toBe(37)
    })

    test("a cost of more units than are left takes none, and what costs less still gets in", async () => {
      const store = await open(await freshUrl())
      expect((await takeUnits(store, take({ cost: 6 }), NOW)).taken).toBe(false)
      expect(await usedUnits(store, take())).toBe(0)
      expect((await takeUnits(store, take({ cost: 3 }), NOW)).used).toBe(3)
      expect((await takeUnits(store, take({ cost: 3 }), NOW)).taken).toBe(false)
      expect((await takeUnits(store, take({ cost: 2 }), NOW)).used).toBe(5)
    })

    test("a limit of 0 lets nothing through", async () => {
      const store = await open(await freshUrl())
      expect(await takeUnits(store, take({ limit: 0 }), NOW)).toMatchObject({
        taken: false,
        used: 0,
        limit: 0,
      })
    })

    test("quotas, subjects and periods do not touch each other", async () => {
      const store = await open(await freshUrl())
      for (const changes of [
        {},
        { quota: "images" },
        { subject: "user:bob" },
        { periodStart: NOW + DAY, periodEnd: NOW + 2 * DAY },
      ])
        expect((await takeUnits(store, take({ limit: 1, ...changes }), NOW)).taken).toBe(true)
    })

    test("what is given back can be taken again, and never makes more than there were", async () => {
      const store = await open(await freshUrl())
      await takeUnits(store, take({ limit: 1 }), NOW)
      await giveBackUnits(store, take({ cost: 3 }))
      expect(await usedUnits(store, take())).toBe(0)
      expect((await takeUnits(store, take({ limit: 1 }), NOW)).taken).toBe(true)
      expect((await takeUnits(store, take({ limit: 1 }), NOW)).taken).toBe(false)
    })

    test("[V-rl.2] an allowance adds units while it holds, for its subject alone", async () => {
      const store = await open(await freshUrl())
      await insertAllowance(store, allowance())
      await insertAllowance(store, allowance({ extra: 1 }))
      const asked = take({ limit: 0 })
      expect(await takeUnits(store, asked, NOW - 1)).toMatchObject({ taken: false, limit: 0 })
      expect(await takeUnits(store, asked, NOW)).toMatchObject({ taken: true, limit: 3 })
      expect(await takeUnits(store, { ...asked, subject: "user:bob" }, NOW)).toMatchObject({ taken: false })
      expect(await takeUnits(store, asked, NOW + DAY - 1)).toMatchObject({ taken: true, used: 2 })
      expect(await takeUnits(store, asked, NOW + DAY)).toMatchObject({ taken: false, used: 2, limit: 0 })
    })

    test("an allowance that is taken back no longer holds; a hundred at a time are the most", async () => {
      const store = await open(await freshUrl())
      const first = allowance()
      for (let i = 0; i < MAX_ALLOWANCES; i++)
        expect(await insertAllowance(store, i === 0 ? first : allowance({ extra: 1 }))).toBe("granted")
      expect(await insertAllowance(store, allowance())).toBe("too_many")
      expect(await insertAllowance(store, allowance({ subject: "user:bob" }))).toBe("granted")
      expect(await deleteAllowance(store, first.id)).toEqual(first)
      expect(await deleteAllowance(store, first.id)).toBeUndefined()
      expect((await listAllowances(store, { subject: "user:ann", limit: 200 })).length).toBe(99)
      expect((await listAllowances(store, { quota: "images", limit: 200 })).length).toBe(0)
    })

    test("[F-42] a clock that was set back finds the units of the period before as they were", async () => {
      const store = await open(await freshUrl())
      const next = { periodStart: NOW + DAY, periodEnd: NOW + 2 * DAY }
      await takeUnits(store, take({ cost: 5 }), NOW)
      expect((await takeUnits(store, take({ cost: 5, ...next }), NOW + DAY)).taken).toBe(true)
      expect((await takeUnits(store, take(), NOW)).taken).toBe(false)
      expect((await takeUnits(store, take(next), NOW + DAY)).taken).toBe(false)
    })

    test("a warning is told once at 80 and once at 100 %, also when units come back", async () => {
      const store = await open(await freshUrl())
      const told: unknown[] = []
      const once = () =>
        store.transaction(async (sql) => {
          const taken = await takeUnits(sql, take(), NOW)
          if (taken.taken) told.push(await warnOfUse(sql, take(), taken, NOW))
        })
      for (let i = 0; i < 5; i++) await once()
      await giveBackUnits(store, take({ cost: 2 }))
      for (let i = 0; i < 2; i++) await once()
      expect(told).toEqual([undefined, undefined, undefined, 80, 100, undefined, undefined])
      const events = await store.all<{ type: string; payload: string }>(
        "SELECT type, payload FROM events ORDER BY id",
      )
      expect(events.map(({ type, payload }) => [type, JSON.parse(payload).percent])).toEqual([
        ["quota.warning", 80],
        ["quota.warning", 100],
      ])
    })

    test("hostile subjects are names like any other: SQL, quotes, and very long ones", async () => {
      const store = await open(await freshUrl())
      for (const subject of ["'; DROP TABLE quota_usage; --", '" OR 1=1', "%", "ä𝄞", "x".repeat(2000)]) {
        expect((await takeUnits(store, take({ subject, limit: 1 }), NOW)).taken).toBe(true)
        expect((await takeUnits(store, take({ subject, limit: 1 }), NOW)).taken).toBe(false)
      }
      expect((await takeUnits(store, take({ subject: "y", limit: 1 }), NOW)).taken).toBe(true)
    })

    test("periods and allowances are forgotten 35 days after their end", async () => {
      const store = await open(await freshUrl())
      await takeUnits(store, take(), NOW)
      await insertAllowance(store, allowance())
      await sweepQuotas(store, NOW + 36 * DAY - 1)
      expect(await usedUnits(store, take())).toBe(1)
      await sweepQuotas(store, NOW + 36 * DAY)
      expect(await usedUnits(store, take())).toBe(0)
      expect(await listAllowances(store, { limit: 10 })).toEqual([])
    })
  })
}

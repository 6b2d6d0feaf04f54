import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { csvLine } from "../../src/admin/quotas/csv.ts"
import { giveBackUnits, takeUnits } from "../../src/store/quota_usage.ts"
import { addUsage, type UsageCount } from "../../src/store/usage_counts.ts"
import { openAccounts } from "../support/accounts.ts"
import { ADMIN_TOKEN } from "../support/admin.ts"
import { adminOf } from "../support/people.ts"
import { storiesConfig } from "../support/quota.ts"
import { closeStores } from "../support/store.ts"
import { STORES } from "../support/store_urls.ts"

setDefaultTimeout(30_000)
afterEach(closeStores)

const DAY = 86_400_000
/** Where the clock of `openAccounts` stands. */
const NOW = Date.UTC(2026, 0, 1)
const PERIOD = { quota: "stories", periodStart: NOW, periodEnd: NOW + DAY }
const NEW = {
  quota: "stories",
  subject: "user:ann",
  extra: 3,
  ends_at: "2026-01-02T00:00:00Z",
  reason: "birthday",
}

async function openAdmin(url: string) {
  const accounts = await openAccounts({ url })
  return { ...accounts, admin: adminOf(accounts.context, storiesConfig("sqlite::memory:")) }
}

for (const [name, freshUrl] of STORES) {
  describe(`quotas for operators, on ${name}`, () => {
    test("[V-rl.2] an allowance is granted, listed, in force, on record, and taken back", async () => {
      const { admin, store } = await openAdmin(await freshUrl())
      const made = await admin("POST", "/quotas/allowances", NEW)
      expect(made.status).toBe(201)
      expect(made.body).toMatchObject({
        ...NEW,
        starts_at: "2026-01-01T00:00:00.000Z",
        granted_by: "admin",
        ends_at: "2026-01-02T00:00:00.000Z",
      })
      expect((await admin("GET", "/quotas/allowances?subject=user:ann")).body.allowances).toEqual([made.body])
      expect((await admin("GET", "/quotas/allowances?subject=user:bob")).body.allowances).toEqual([])
      await takeUnits(store, { ...PERIOD, subject: "user:ann", cost: 7, limit: 5 }, NOW)
      expect((await admin("GET", "/quotas/stories/subjects/user:ann")).body).toEqual({
        subject: "user:ann",
        quota: "stories",
        per: "day",
        timezone: "UTC",
        limit: 8,
        allowance: 3,
        used: 7,
        remaining: 1,
        resets_at: "2026-01-02T00:00:00.000Z",
      })
      expect((await admin("DELETE", `/quotas/allowances/${made.body.id}`)).status).toBe(200)
      expect((await admin("DELETE", `/quotas/allowances/${made.body.id}`)).status).toBe(404)
      expect((await admin("GET", "/quotas/stories/subjects/user:ann")).body).toMatchObject({
        limit: 5,
        remaining: 0,
      })
      const audit = await store.all<{ action: string; subject: string }>(
        "SELECT action, subject FROM audit_events ORDER BY id",
      )
      expect(audit).toEqual([
        { action: "allowance.grant", subject: "user:ann" },
        { action: "allowance.take_back", subject: "user:ann" },
      ])
    })

    test("allowances of other quotas, of no units or no time, and hostile names are refused", async () => {
      const { admin } = await openAdmin(await freshUrl())
      for (const changes of [
        { quota: "images" },
        { subject: "ann" },
        { subject: "user:\u0000" },
        { subject: `user:${"x".repeat(400)}` },
        { extra: 0 },
        { extra: 1.5 },
        { ends_at: "2025-12-31T00:00:00Z" },
        { ends_at: "2026-13-01T00:00:00Z" },
        { starts_at: "2026-01-03T00:00:00Z" },
        { reason: "" },
        { reason: "a\u0000b" },
        { granted_by: "me" },
      ])
        expect([changes, (await admin("POST", "/quotas/allowances", { ...NEW, ...changes })).status]).toEqual(
          [changes, 422],
        )
      for (const path of [
        "/quotas/images/subjects/user:ann",
        "/quotas/stories/subjects/ann",
        "/quotas/stories/subjects/user:%00",
      ])
        expect((await admin("GET", path)).status).toBe(404)
      expect((await admin("DELETE", "/quotas/allowances/%00")).status).toBe(404)
      expect((await admin("GET", "/quotas/allowances?subject=user:%00")).status).toBe(422)
    })

    test("what a tier gives is known of accounts before they use anything, of others after", async () => {
      const { admin, store } = await openAdmin(await freshUrl())
      expect((await admin("GET", "/quotas/stories/subjects/claim:tenant:acme")).body).toMatchObject({
        limit: null,
        used: 0,
        remaining: null,
      })
      const subject = "claim:tenant:acme"
      await takeUnits(store, { ...PERIOD, subject, cost: 1, limit: 20 }, NOW)
      await giveBackUnits(store, { ...PERIOD, subject, cost: 1 })
      expect((await admin("GET", "/quotas/stories/subjects/claim:tenant:acme")).body).toMatchObject({
        limit: 20,
        remaining: 20,
      })
      expect((await admin("GET", "/quotas")).body.quotas).toEqual([
        {
          name: "stories",
          by: "user",
          per: "day",
          timezone: "UTC",
          limits: { basic: 5, premium: 20 },
          count: "request",
        },
      ])
    })

    test("[V-rl.6 C-4.9 C-5.9] usage is listed in pages, by day, subject and route", async () => {
      const { admin, store } = await openAdmin(await freshUrl())
      const counts = usage(["2026-01-01", "2026-01-02", "2026-01-03"], ["", "user:ann", "user:bob"])
      await store.transaction((sql) => addUsage(sql, "1", counts, NOW))
      const pages: unknown[] = []
      for (let cursor = ""; ; ) {
        const { body } = await admin("GET", `/usage?limit=4${cursor === "" ? "" : `&cursor=${cursor}`}`)
        pages.push(body.usage.length)
        if (body.next_cursor === null) break
        cursor = body.next_cursor
      }
      expect(pages).toEqual([4, 4, 1])
      const daysOf = async (query: string) =>
        (await admin("GET", `/usage?${query}`)).body.usage.map(
          (row: { day: string; subject: string }) => `${row.day.slice(-2)} ${row.subject}`,
        )
      expect(await daysOf("from=2026-01-02&to=2026-01-02")).toEqual(["02 ", "02 user:ann", "02 user:bob"])
      expect(await daysOf("subject=user:bob&from=2026-01-02")).toEqual(["02 user:bob", "03 user:bob"])
      expect(await daysOf("subject=&to=2026-01-01")).toEqual(["01 "])
      expect(await daysOf("route=/nowhere")).toEqual([])
      for (const query of [
        "from=2026-02-30",
        "from=yesterday",
        "cursor=%00",
        "cursor=e30",
        "subject=%00",
        "x=1",
      ])
        expect([query, (await admin("GET", `/usage?${query}`)).status]).toEqual([query, 422])
    })

    test("[V-rl.6] usage comes as CSV, all of it, and no cell is a formula", async () => {
      const { admin, store } = await openAdmin(await freshUrl())
      const subjects = ["=1+1", '"a",b', ...Array.from({ length: 1100 }, (_, i) => `user:${10_000 + i}`)]
      await store.transaction((sql) => addUsage(sql, "1", usage(["2026-01-01"], subjects), NOW))
      const headers = { accept: "text/csv", authorization: `Bearer ${ADMIN_TOKEN}` }
      const { text, headers: told } = await admin("GET", "/usage", undefined, { headers })
      const lines = text.split("\r\n")
      expect(told.get("content-type")).toBe("text/csv; charset=utf-8; header=present")
      expect(lines.length).toBe(1 + 1102 + 1)
      expect(lines[0]).toBe('"day","subject","route","requests","errors","bytes_in","bytes_out"')
      expect(lines).toContain('"2026-01-01","\'=1+1","/stories",2,1,3,4')
      expect(lines).toContain('"2026-01-01","""a"",b","/stories",2,1,3,4')
      expect(new Set(lines).size).toBe(lines.length)
    })
  })
}

const usage = (days: readonly string[], subjects: readonly string[]): UsageCount[] =>
  days.flatMap((day) =>
    subjects.map((subject) => ({
      day,
      subject,
      route: "/stories",
      requests: 2,
      errors: 1,
      bytesIn: 3,
      bytesOut: 4,
    })),
  )

test("[V-rl.6] a line of CSV quotes texts, and disarms what a spreadsheet would calculate", () => {
  expect(csvLine(["a,b", 'say "x"', "two\nlines", -5])).toBe('"a,b","say ""x""","two\nlines",-5\r\n')
  for (const first of ["=", "+", "-", "@", "\t", "\r"])
    expect(csvLine([`${first}1`])).toBe(`"'${first}1"\r\n`)
})

test("without a store there is nothing to ask", async () => {
  const admin = adminOf(undefined, {})
  for (const path of ["/quotas", "/quotas/allowances", "/usage"])
    expect((await admin("GET", path)).body.error.code).toBe("NO_STORE")
})

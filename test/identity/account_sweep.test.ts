import { afterEach, beforeAll, expect, test } from "bun:test"
import { sweepAudit } from "../../src/identity/account_sweep.ts"
import { appendAudit } from "../../src/safety/audit.ts"
import { authSettings } from "../support/authenticator.ts"
import { closeStores, open } from "../support/store.ts"
import { STORES } from "../support/store_urls.ts"

afterEach(closeStores)
// Starting a server takes longer than a test may.
beforeAll(async () => {
  for (const [, url] of STORES) await url()
}, 30_000)

const DAY = 86_400_000
const record = {
  action: "auth.refused",
  outcome: "failure",
  actor: "",
  subject: "/a",
  client: "192.0.2.1",
  requestId: "",
  details: {},
} as const

for (const [name, url] of STORES)
  test(`[C-2.6] on ${name}: records older than auth.audit_retention are deleted, in batches, and no others`, async () => {
    const store = await open(await url())
    const at = 1000 * DAY
    const settings = authSettings({ audit_retention: "2d" })
    const sweep = () => sweepAudit({ store, wallClock: () => at, settings: () => settings })
    await store.transaction(async (sql) => {
      for (let i = 0; i < 2100; i++) await appendAudit(sql, record, at - 3 * DAY + i)
      await appendAudit(sql, record, at - 2 * DAY)
      await appendAudit(sql, record, at)
    })
    await sweep()
    const rows = await store.all<{ at: number }>("SELECT at FROM audit_events ORDER BY at")
    expect(rows.map((row) => row.at)).toEqual([at - 2 * DAY, at])
  })

test("[C-2.6] the audit record is kept for 400 days unless config says otherwise", () => {
  expect(authSettings().audit_retention).toBe(400 * DAY)
})

import { afterEach, expect, test } from "bun:test"
import type { IdentityContext } from "../../src/identity/context.ts"
import { recordFailures } from "../../src/identity/record_failures.ts"
import { appendAudit } from "../../src/safety/audit.ts"
import { memoryLog } from "../support/memory_log.ts"
import { closeStores, open } from "../support/store.ts"

afterEach(closeStores)

const failure = {
  at: 5,
  reason: "expired",
  client: "192.0.2.1",
  route: "/a/*",
  requestId: "r1",
  actor: "ann",
  count: 1,
}

test("a refusal becomes an audit record, and one that stands for many says for how many", async () => {
  const store = await open("sqlite::memory:")
  const log = memoryLog()
  const audit: IdentityContext["audit"] = (sql, record) => appendAudit(sql, record, 5)
  await recordFailures(
    [failure, { ...failure, reason: "signature", actor: "", count: 40 }],
    { store, audit },
    log,
  )
  const rows = await store.all(
    "SELECT action, outcome, actor, subject, client_ip, details FROM audit_events ORDER BY id",
  )
  const record = {
    action: "auth.refused",
    outcome: "failure",
    actor: "ann",
    subject: "/a/*",
    client_ip: "192.0.2.1",
  }
  expect(rows).toEqual([
    { ...record, details: '{"reason":"expired","count":1}' },
    { ...record, actor: "", details: '{"reason":"signature","count":40}' },
  ])
  expect(log.events).toEqual([])
})

test("records that cannot be written are an error in the log, and nothing more", async () => {
  const store = await open("sqlite::memory:")
  const log = memoryLog()
  const audit = () => Promise.reject(new Error("no room"))
  await recordFailures([failure], { store, audit }, log)
  expect(log.events.map(({ event }) => event)).toEqual(["store.unavailable"])
  expect(await store.all("SELECT id FROM audit_events")).toEqual([])
})

test("without a store refusals go to the log", async () => {
  const log = memoryLog()
  await recordFailures([failure], undefined, log)
  expect(log.events).toMatchObject([
    { level: "info", event: "auth.refused", fields: { reason: "expired", actor: "ann" } },
  ])
})

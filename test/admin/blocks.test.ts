import { expect, test } from "bun:test"
import { blockRoutes } from "../../src/admin/blocks.ts"
import { AbuseKeeper } from "../../src/gateway/abuse_keeper.ts"
import type { AuditRecord } from "../../src/identity/context.ts"
import type { AlertEvent } from "../../src/store/events.ts"
import { ADMIN_TOKEN, createTestAdmin, OPERATOR } from "../support/admin.ts"
import { exampleConfig } from "../support/config.ts"
import { FakeTime } from "../support/fake_time.ts"
import { memoryLog } from "../support/memory_log.ts"

function open() {
  const time = new FakeTime()
  const config = exampleConfig({
    abuse: { allow: ["127.0.0.1"] },
    server: { trusted_proxies: ["10.0.0.0/8"] },
  })
  const records: AuditRecord[] = []
  const events: string[] = []
  const record = async (each: AuditRecord, { type, payload }: Partial<AlertEvent> = {}) => {
    records.push(each)
    events.push(`${type} ${payload?.client}`)
  }
  const keeper = new AbuseKeeper({
    now: time.now,
    after: time.after,
    origin: "a",
    log: memoryLog(),
    record,
    tell: () => undefined,
  })
  keeper.apply(config)
  const answer = createTestAdmin({
    config: () => config,
    record,
    groups: [
      blockRoutes({
        blocks: keeper,
        now: time.now,
        wallClock: () => Date.UTC(2025, 0, 1) + time.now(),
        record,
      }),
    ],
  })
  const ask = async (method: string, path: string, body?: object, token = ADMIN_TOKEN) => {
    const response = await answer(
      new Request(`http://127.0.0.1:9080/admin/v1/blocks${path}`, {
        method,
        ...(body && { body: JSON.stringify(body) }),
        headers: { authorization: `Bearer ${token}` },
      }),
      OPERATOR,
    )
    // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of all shapes
    return { status: response.status, body: (await response.json()) as any }
  }
  return { time, keeper, records, events, ask }
}

test("[T-5.5] an operator blocks a client for a time and sees it in the list, and both are on record", async () => {
  const { ask, records, events } = open()
  const made = await ask("POST", "", { address: "192.0.2.1", duration: "30m", reason: "scans us" })
  const view = {
    address: "192.0.2.1",
    reason: "operator",
    note: "scans us",
    times: 0,
    blocked_at: "2025-01-01T00:00:00.000Z",
    ends_at: "2025-01-01T00:30:00.000Z",
  }
  expect([made.status, made.body]).toEqual([201, view])
  expect((await ask("GET", "")).body).toEqual({ blocks: [view], next_cursor: null })
  expect(events).toEqual(["abuse.blocked 192.0.2.1"])
  expect(records).toMatchObject([
    {
      action: "client.block",
      outcome: "success",
      actor: "admin",
      subject: "192.0.2.1",
      client: "127.0.0.9",
      details: { duration_s: 1800, reason: "scans us" },
    },
  ])
})

test("[T-5.5] an operator unblocks by any address of the client, once", async () => {
  const { ask, keeper, records, events } = open()
  keeper.offended("192.0.2.1", "not_found")
  keeper.offended("2001:db8:0:5::/64", "not_found")
  records.length = 0
  events.length = 0
  expect(await ask("DELETE", "/192.0.2.1")).toEqual({
    status: 200,
    body: { address: "192.0.2.1", unblocked: true },
  })
  expect((await ask("DELETE", "/192.0.2.1")).status).toBe(404)
  expect((await ask("DELETE", "/2001:db8:0:5::%2F64")).status).toBe(200)
  expect(keeper.state()).toEqual([])
  expect(records.map(({ action, subject }) => `${action} ${subject}`)).toEqual([
    "client.unblock 192.0.2.1",
    "client.unblock 2001:db8:0:5::/64",
  ])
  expect(events).toEqual(["abuse.unblocked 192.0.2.1", "abuse.unblocked 2001:db8:0:5::/64"])
})

test("the list comes in pages, the latest first, without those that are over", async () => {
  const { ask, keeper, time } = open()
  keeper.block("192.0.2.99", 1000, "")
  time.pass(1500)
  for (let i = 1; i <= 5; i++) keeper.block(`192.0.2.${i}`, 60_000, "")
  const seen: string[] = []
  for (let cursor: string | null = ""; cursor !== null; ) {
    const page = await ask("GET", `?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`)
    seen.push(...page.body.blocks.map(({ address }: { address: string }) => address))
    cursor = page.body.next_cursor
  }
  expect(seen).toEqual([5, 4, 3, 2, 1].map((i) => `192.0.2.${i}`))
})

test("what is no address, no time or not to be blocked is refused", async () => {
  const { ask, keeper } = open()
  const statusOf = async (body: object) => (await ask("POST", "", body)).status
  for (const address of ["", "x", "192.0.2.1/24", "192.0.2.1/64", "300.1.1.1", "::1%lo", "2001:db8::/32"])
    expect(`${address} ${await statusOf({ address, duration: "1m" })}`).toBe(`${address} 422`)
  for (const duration of [0, "0s", "500ms", "367d", "soon"])
    expect(`${duration} ${await statusOf({ address: "192.0.2.1", duration })}`).toBe(`${duration} 422`)
  expect(await statusOf({ address: "192.0.2.1", duration: "1m", color: "red" })).toBe(422)
  for (const address of ["127.0.0.1", "10.9.9.9"])
    expect(await statusOf({ address, duration: "1m" })).toBe(409)
  expect(keeper.state()).toEqual([])
})

test("without the token nothing is told", async () => {
  const { ask } = open()
  expect((await ask("GET", "", undefined, "another-token-of-no-use")).status).toBe(401)
})

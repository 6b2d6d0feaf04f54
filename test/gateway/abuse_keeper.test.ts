import { expect, test } from "bun:test"
import { AbuseKeeper } from "../../src/gateway/abuse_keeper.ts"
import type { AuditRecord } from "../../src/identity/context.ts"
import type { BlockChange } from "../../src/safety/block.ts"
import type { AlertEvent } from "../../src/store/events.ts"
import { exampleConfig } from "../support/config.ts"
import { FakeTime } from "../support/fake_time.ts"
import { memoryLog } from "../support/memory_log.ts"

function open(file: object = { abuse: {} }) {
  const time = new FakeTime()
  const log = memoryLog()
  const told: BlockChange[] = []
  const records: AuditRecord[] = []
  const events: AlertEvent[] = []
  const keeper = new AbuseKeeper({
    now: time.now,
    after: time.after,
    origin: "a",
    log,
    record: async (record, event) => {
      records.push(record)
      events.push(event)
    },
    tell: (change) => void told.push(change),
  })
  keeper.apply(exampleConfig(file))
  const value = (metric: string, reason?: string) =>
    [...keeper.rows()].find((row) => row.metric === metric && row.labels.reason === reason)?.value
  return { time, log, told, records, events, keeper, value }
}

test("[T-5.5 V-rl.5] an offence blocks for all workers, and is logged, counted and put on record", () => {
  const { keeper, log, told, records, value } = open()
  keeper.offended("192.0.2.1", "unauthorized")
  expect(told).toEqual([{ blocked: [{ client: "192.0.2.1", untilMs: 60_000, byHand: false }], ended: [] }])
  expect(log.events).toEqual([
    {
      level: "warn",
      event: "client.blocked",
      fields: { client: "192.0.2.1", reason: "unauthorized", times: 1, mode: "enforce", duration_s: 60 },
    },
  ])
  expect(records).toMatchObject([
    {
      action: "client.block",
      actor: "gateway",
      subject: "192.0.2.1",
      details: { reason: "unauthorized", duration_s: 60, times: 1, mode: "enforce" },
    },
  ])
  expect([value("gatehouse_blocked_clients"), value("gatehouse_blocks_total", "unauthorized")]).toEqual([
    1, 1,
  ])
  expect(keeper.state()).toEqual(told[0]!.blocked)
})

test("[T-5.5] an offence is an event for operators, with what it was and how long it lasts", () => {
  const { keeper, events } = open()
  keeper.offended("192.0.2.1", "unauthorized")
  expect(events).toEqual([
    {
      type: "abuse.blocked",
      payload: {
        client: "192.0.2.1",
        reason: "unauthorized",
        note: "",
        times: 1,
        duration_s: 60,
        mode: "enforce",
      },
    },
  ])
})

test("two workers that report the same client block it once", () => {
  const { keeper, told } = open()
  keeper.offended("192.0.2.1", "not_found")
  keeper.offended("192.0.2.1", "not_found")
  expect(told.length).toBe(1)
})

test("[T-5.5] when its time is over workers are told, and there is nothing left", () => {
  const { keeper, time, told, value, log } = open()
  keeper.offended("192.0.2.1", "not_found")
  time.pass(61_000)
  expect(told.at(-1)).toEqual({ blocked: [], ended: ["192.0.2.1"] })
  expect([value("gatehouse_blocked_clients"), keeper.state()]).toEqual([0, []])
  expect(log.events.at(-1)).toMatchObject({ event: "client.unblocked", fields: { why: "time" } })
})

test("[F-60] trusted proxies and allowed addresses are never blocked", () => {
  const { keeper, told } = open({
    abuse: { allow: ["198.51.100.0/24"] },
    server: { trusted_proxies: ["10.0.0.0/8"] },
  })
  for (const client of ["10.1.2.3", "198.51.100.9"]) keeper.offended(client, "not_found")
  expect(told).toEqual([])
})

test("a new configuration lets in whom it allows, and all but those blocked by hand when the section is gone", () => {
  const { keeper, told } = open()
  keeper.offended("192.0.2.1", "not_found")
  keeper.offended("192.0.2.2", "not_found")
  keeper.block("192.0.2.3", 60_000, "")
  keeper.apply(exampleConfig({ abuse: { allow: ["192.0.2.1"] } }))
  expect(told.at(-1)).toEqual({ blocked: [], ended: ["192.0.2.1"] })
  keeper.apply(exampleConfig({}))
  expect(told.at(-1)).toEqual({ blocked: [], ended: ["192.0.2.2"] })
  expect(keeper.state().map(({ client }) => client)).toEqual(["192.0.2.3"])
})

test("without the section reports that are on their way block nobody", () => {
  const { keeper, told } = open({})
  keeper.offended("192.0.2.1", "not_found")
  expect(told).toEqual([])
})

test("[C-6.8] a flood of blocks is no flood of lines", () => {
  const { keeper, log, time } = open()
  for (let i = 0; i < 1000; i++) keeper.offended(`10.0.${i >> 8}.${i & 255}`, "not_found")
  expect(log.events.length).toBe(10)
  time.pass(1000)
  keeper.offended("192.0.2.1", "not_found")
  expect(log.events.at(-1)!.fields).toMatchObject({ client: "192.0.2.1", untold: 990 })
})

test("memory for scores is made when a configuration first asks for them, and kept", () => {
  const { keeper } = open({})
  expect(keeper.memory).toBeUndefined()
  keeper.apply(exampleConfig({ abuse: {} }))
  const made = keeper.memory
  expect(made).toBeDefined()
  keeper.apply(exampleConfig({}))
  keeper.apply(exampleConfig({ abuse: {} }))
  expect(keeper.memory).toBe(made!)
})

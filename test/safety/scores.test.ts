import { expect, test } from "bun:test"
import { AddressList } from "../../src/lib/address_list.ts"
import type { Violation } from "../../src/observe/catalogue.ts"
import type { AbuseOptions } from "../../src/safety/abuse_options.ts"
import { type Scored, Scores } from "../../src/safety/scores.ts"
import { createLimitMemory, LimitTable } from "../../src/store/limit_table.ts"
import { exampleConfig } from "../support/config.ts"
import { FakeTime } from "../support/fake_time.ts"
import { memoryLog } from "../support/memory_log.ts"

const optionsOf = (abuse: object): AbuseOptions => exampleConfig({ abuse }).abuse!

function open(abuse: object, exempt: readonly string[] = [], memory = createLimitMemory(1000)) {
  const time = new FakeTime()
  time.pass(1_000_000)
  const log = memoryLog()
  const counted: Violation[] = []
  const reported: string[] = []
  const blocked = new Set<string>()
  const scores = new Scores({
    table: new LimitTable(memory),
    key: [7, 8],
    now: time.now,
    log,
    count: (violation) => void counted.push(violation),
    isBlocked: (client) => blocked.has(client),
    report: (client, violation) => {
      reported.push(`${client} ${violation}`)
      blocked.add(client)
    },
  })
  scores.apply(optionsOf(abuse), new AddressList(exempt))
  const end = (status: number, client = "192.0.2.1", changes: Partial<Scored> = {}) =>
    scores.ended({
      method: "GET",
      route: undefined,
      answer: { status },
      gone: false,
      startedAt: 0,
      upstreamMs: 0,
      bytesIn: 0,
      bytesOut: 0,
      failure: "",
      retries: 0,
      instance: "",
      id: "r",
      client,
      ...changes,
    })
  const endMany = (times: number, status: number, client?: string) => {
    for (let i = 0; i < times; i++) end(status, client)
  }
  return { time, log, counted, reported, blocked, scores, end, endMany }
}

test("[C-6.2 T-5.5 V-rl.5] a client is reported when its score would rise above the threshold, until it is blocked", () => {
  const { endMany, reported, blocked } = open({ threshold: 10, weights: { not_found: 1 } })
  endMany(10, 404)
  expect(reported).toEqual([])
  endMany(3, 404)
  expect(reported).toEqual(["192.0.2.1 not_found"])
  blocked.clear()
  endMany(1, 404)
  expect(reported.length).toBe(2)
})

test("[T-5.5] points run out steadily: who stays below the rate is never reported", () => {
  const { time, endMany, reported } = open({ threshold: 60, window: "1m", weights: { not_found: 1 } })
  for (let second = 0; second < 300; second++) {
    endMany(1, 404)
    time.pass(1000)
  }
  expect(reported).toEqual([])
  endMany(60, 404)
  expect(reported).toEqual([])
  time.pass(30_000)
  endMany(30, 404)
  expect(reported).toEqual([])
  endMany(1, 404)
  expect(reported).toEqual(["192.0.2.1 not_found"])
})

test("[V-rl.5] each kind of violation has its weight", () => {
  const weights = { unauthorized: 5, forbidden: 4, not_found: 1, rate_limited: 2, bad_request: 3, excess: 0 }
  const timesUntilReported = (status: number): number => {
    const { end, reported } = open({ threshold: 60, weights })
    for (let times = 1; ; times++) {
      end(status)
      if (reported.length > 0 || times > 100) return times
    }
  }
  expect([401, 403, 404, 429, 400, 413, 431, 408].map(timesUntilReported)).toEqual([
    13, 16, 61, 31, 21, 21, 21, 21,
  ])
  expect([200, 304, 409, 422, 500, 502, 503, 499].map(timesUntilReported)).toEqual(Array(8).fill(101))
})

test("[V-rl.5] a request rate above the bound is a violation of its own", () => {
  const { endMany, reported, counted, time } = open({ threshold: 5, request_rate: "20/s" })
  for (let second = 0; second < 10; second++) {
    endMany(20, 200)
    time.pass(1000)
  }
  expect([reported, counted]).toEqual([[], []])
  endMany(26, 200)
  expect(reported).toEqual(["192.0.2.1 excess"])
  expect(counted).toEqual(Array(6).fill("excess"))
})

test("[F-60 C-6.2] addresses of one IPv6 /64 have one score, IPv4 within IPv6 is IPv4", () => {
  const { end, endMany, reported } = open({ threshold: 10 })
  for (let i = 0; i < 11; i++) end(404, `2001:db8:1:2:${i.toString(16)}::${i}`)
  expect(reported).toEqual(["2001:db8:1:2::/64 not_found"])
  endMany(6, 404, "2001:db8:1:3::1")
  endMany(6, 404, "203.0.113.5")
  endMany(5, 404, "::ffff:203.0.113.5")
  expect(reported).toEqual(["2001:db8:1:2::/64 not_found", "203.0.113.5 not_found"])
})

test("[T-5.5] who is allowed, or blocked already, is neither scored nor counted", () => {
  const { endMany, reported, counted, blocked } = open({ threshold: 2 }, ["192.0.2.0/24", "2001:db8::/32"])
  blocked.add("198.51.100.1")
  for (const client of ["192.0.2.1", "2001:db8:1::5", "198.51.100.1"]) endMany(50, 404, client)
  expect([reported, counted]).toEqual([[], []])
})

test("answers of services do not count unless config says so; refusals of the gateway always do", () => {
  const service = { instance: "http://127.0.0.1:1" }
  const own = open({ threshold: 3 })
  for (let i = 0; i < 10; i++) {
    own.end(404, "192.0.2.1", service)
    own.end(403, "192.0.2.1", { ...service, failure: "HANDSHAKE_FORBIDDEN" })
  }
  expect(own.reported).toEqual([])
  for (let i = 0; i < 4; i++) own.end(413, "192.0.2.1", { ...service, failure: "PAYLOAD_TOO_LARGE" })
  expect(own.reported).toEqual(["192.0.2.1 bad_request"])
  const all = open({ threshold: 3, from_services: true })
  for (let i = 0; i < 10; i++) all.end(404, "192.0.2.1", service)
  expect(all.reported).toEqual(["192.0.2.1 not_found"])
})

test("what a blocked client still asks is not scored", () => {
  const { end, counted } = open({ threshold: 3 })
  for (let i = 0; i < 10; i++) end(403, "192.0.2.1", { failure: "CLIENT_BLOCKED" })
  expect(counted).toEqual([])
})

test("[F-60] all workers count together", () => {
  const memory = createLimitMemory(1000)
  const workers = [open({ threshold: 10 }, [], memory), open({ threshold: 10 }, [], memory)]
  for (let i = 0; i < 11; i++) workers[i % 2]!.end(404)
  expect(workers.flatMap(({ reported }) => reported)).toEqual(["192.0.2.1 not_found"])
})

test("[C-6.8] violations are logged, a sample of them", () => {
  const { endMany, log, time } = open({ threshold: 100_000 })
  endMany(500, 404)
  expect(log.events.length).toBe(10)
  expect(log.events[0]).toMatchObject({
    event: "client.violation",
    fields: { client: "192.0.2.1", violation: "not_found", status: 404, request_id: "r" },
  })
  time.pass(1000)
  endMany(1, 404)
  expect(log.events.at(-1)!.fields.untold).toBe(490)
})

test("a full table blocks nobody for what others did", () => {
  const { end, reported } = open({ threshold: 5, weights: { not_found: 1 } }, [], createLimitMemory(10))
  for (let i = 0; i < 20_000; i++) end(404, `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
  expect(reported).toEqual([])
})

test("without the section nothing is scored", () => {
  const { endMany, counted, scores } = open({ threshold: 1 })
  scores.apply(undefined, new AddressList([]))
  endMany(100, 401)
  expect(counted).toEqual([])
})

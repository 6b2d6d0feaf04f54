import { expect, test } from "bun:test"
import { ClientGuard } from "../../src/gateway/client_guard.ts"
import { SERIES } from "../../src/observe/catalogue.ts"
import { createSeriesBuffer, readSeries, Series, seriesKey } from "../../src/observe/series.ts"
import { exampleConfig } from "../support/config.ts"
import { makeAnswer, makeExchange } from "../support/exchange.ts"
import { FakeTime } from "../support/fake_time.ts"
import { makeGuard, makeScores } from "../support/guard.ts"
import { memoryLog } from "../support/memory_log.ts"

const ROUTE = { id: 2, label: "/x", service: "" }

function open(file: object) {
  const time = new FakeTime()
  const table = createSeriesBuffer(1024)
  const guard = makeGuard({ now: time.now, series: new Series(table) })
  guard.apply(exampleConfig(file))
  const requests = () => {
    const found = new Map<number, number>()
    readSeries(table, found)
    return [0, 1].map((result) => found.get(seriesKey(SERIES.blockedRequests, 0, result)) ?? 0)
  }
  const block = (client: string, byHand = false) =>
    guard.take({ blocked: [{ client, untilMs: time.now() + 60_000, byHand }], ended: [] })
  return { time, guard, requests, block }
}

test("[T-5.5] a blocked client is refused for as long as its block lasts, and told how long", () => {
  const { time, guard, block, requests } = open({ abuse: {} })
  expect([guard.blocking, guard.refuses("192.0.2.1")]).toEqual([false, 0])
  block("192.0.2.1")
  expect([guard.refuses("192.0.2.1"), guard.refuses("192.0.2.2")]).toEqual([60, 0])
  time.pass(59_500)
  expect(guard.refuses("192.0.2.1")).toBe(1)
  time.pass(500)
  expect(guard.refuses("192.0.2.1")).toBe(0)
  expect(requests()).toEqual([2, 0])
})

test("[T-5.5] a block that has ended before its time is over at once", () => {
  const { guard, block } = open({ abuse: {} })
  block("192.0.2.1")
  guard.take({ blocked: [], ended: ["192.0.2.1"] })
  expect([guard.blocking, guard.refuses("192.0.2.1")]).toEqual([false, 0])
})

test("[F-60] a block of an IPv6 network holds for all its addresses, but for those that are allowed", () => {
  const { guard, block } = open({
    abuse: {},
    server: { trusted_proxies: ["2001:db8:1:2::5"] },
  })
  block("2001:db8:1:2::/64")
  expect(
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "2001:db8:1:2::5"].map((each) =>
      guard.refuses(each),
    ),
  ).toEqual([60, 60, 0, 0])
})

test("[V-rl.5] in shadow mode requests go on and are counted; blocks by hand hold all the same", () => {
  const { guard, block, requests } = open({ abuse: { mode: "shadow" } })
  block("192.0.2.1")
  block("192.0.2.2", true)
  expect([guard.refuses("192.0.2.1"), guard.refuses("192.0.2.2")]).toEqual([0, 60])
  expect(requests()).toEqual([1, 1])
})

test("blocks by hand hold without the section too", () => {
  const { guard, block } = open({})
  block("192.0.2.2", true)
  expect(guard.refuses("192.0.2.2")).toBe(60)
})

test("[F-60] of one address only so many requests are handled at a time", () => {
  const { guard } = open({ server: { max_requests_per_ip: 2 }, abuse: { allow: ["198.51.100.0/24"] } })
  const enter = (peer: string) => {
    const exchange = makeExchange({ peer, route: ROUTE })
    return { exchange, failure: guard.admit(exchange)?.code }
  }
  const [first, second, third] = [enter("192.0.2.1"), enter("192.0.2.1"), enter("192.0.2.1")]
  expect([first, second, third].map(({ failure }) => failure)).toEqual([undefined, undefined, "RATE_LIMITED"])
  expect(enter("192.0.2.2").failure).toBeUndefined()
  guard.leave(third.exchange)
  guard.leave(first.exchange)
  expect(enter("192.0.2.1").failure).toBeUndefined()
  expect(Array.from({ length: 4 }, () => enter("198.51.100.7").failure)).toEqual(Array(4).fill(undefined))
})

test("[T-5.5] the worker that finds a client out refuses it at once, for a second, and tells of it once", () => {
  const time = new FakeTime()
  const told: string[] = []
  const guard = makeGuard({ now: time.now, report: (client) => void told.push(client) })
  guard.apply(exampleConfig({ abuse: { threshold: 2 } }))
  const end = () => {
    const exchange = makeExchange({ route: ROUTE })
    exchange.answer = makeAnswer(404)
    guard.leave(exchange)
  }
  for (let i = 0; i < 10; i++) end()
  expect([told, guard.refuses("192.0.2.1")]).toEqual([["192.0.2.1"], 1])
  time.pass(1000)
  guard.tick()
  expect([guard.blocking, guard.refuses("192.0.2.1")]).toEqual([false, 0])
  end()
  guard.take({ blocked: [{ client: "192.0.2.1", untilMs: time.now() + 60_000, byHand: false }], ended: [] })
  time.pass(1000)
  guard.tick()
  expect(guard.refuses("192.0.2.1")).toBe(59)
})

test("clients are scored from when there is memory for it, by the configuration taken before", () => {
  const told: string[] = []
  const guard = new ClientGuard({
    now: new FakeTime().now,
    log: memoryLog(),
    series: new Series(createSeriesBuffer(1024)),
    report: (client) => void told.push(client),
  })
  guard.apply(exampleConfig({ abuse: { threshold: 2 } }))
  const endMany = () => {
    for (let i = 0; i < 10; i++) {
      const exchange = makeExchange({ route: ROUTE })
      exchange.answer = makeAnswer(404)
      guard.leave(exchange)
    }
  }
  endMany()
  expect(told).toEqual([])
  guard.share(makeScores())
  endMany()
  expect(told).toEqual(["192.0.2.1"])
})

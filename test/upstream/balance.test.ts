import { describe, expect, test } from "bun:test"
import type { Balancer } from "../../src/upstream/balance/balancer.ts"
import { createBalancer } from "../../src/upstream/balance/create.ts"
import { CandidateCache, candidatesOf, touchService } from "../../src/upstream/candidates.ts"
import type { Member } from "../../src/upstream/member.ts"
import type { ServiceConfig } from "../../src/upstream/service.ts"
import { type ExchangeParts, makeExchange } from "../support/exchange.ts"
import { seededRandom, serviceMemory } from "../support/services.ts"

const PLAIN = makeExchange()

function makeBalancer(
  balance: ServiceConfig["balance"],
  members: Member[],
  more: Partial<ServiceConfig> = {},
): Balancer {
  const config = { balance, hash_by: "ip", slow_start: 0, ...more }
  return createBalancer(config, members, seededRandom())!
}

/** Shares of `picks` requests, each answered before the next. */
function shares(balancer: Balancer, members: Member[], picks = 20_000, now = 1_000_000): number[] {
  const counts = members.map(() => 0)
  const candidates = candidatesOf(members)
  for (let i = 0; i < picks; i++) counts[balancer.pick(candidates, PLAIN, now).index]!++
  return counts.map((count) => count / picks)
}

describe("[T-1.2 S-NFR3 C-scal.2] requests are spread evenly", () => {
  for (const balance of ["round_robin", "least_requests", "peak_ewma"] as const) {
    test(`within 5 % over three equal instances by ${balance}`, () => {
      const { members } = serviceMemory([1, 1, 1])
      for (const share of shares(makeBalancer(balance, members), members)) {
        expect(share * 3).toBeGreaterThan(0.95)
        expect(share * 3).toBeLessThan(1.05)
      }
    })

    test(`by weight by ${balance}`, () => {
      const { members } = serviceMemory([1, 3])
      const [light] = shares(makeBalancer(balance, members), members)
      expect(light! * 4).toBeGreaterThan(0.9)
      expect(light! * 4).toBeLessThan(1.1)
    })

    test(`with a warming instance getting its part by ${balance}`, () => {
      const { members } = serviceMemory([1, 1, 1], 60_000)
      members[0]!.state.setHealth(false, 0)
      members[0]!.state.setHealth(true, 1_000_000)
      const balancer = makeBalancer(balance, members, { slow_start: 60_000 })
      // Half way through, half a share beside two whole ones.
      const [warming] = shares(balancer, members, 20_000, 1_030_000)
      expect(warming!).toBeGreaterThan(0.15)
      expect(warming!).toBeLessThan(0.25)
      const [warm] = shares(balancer, members, 20_000, 1_060_000)
      expect(warm!).toBeGreaterThan(0.31)
    })
  }
})

test("smooth weighted round robin spreads the turns of a heavy instance", () => {
  const { members } = serviceMemory([3, 1, 1])
  const balancer = makeBalancer("round_robin", members)
  const candidates = candidatesOf(members)
  const turns = Array.from({ length: 50 }, () => balancer.pick(candidates, PLAIN, 0).index)
  for (let i = 0; i + 2 < turns.length; i++) {
    expect(turns.slice(i, i + 3).filter((index) => index === 0).length).toBeLessThan(3)
  }
})

test("least_requests sends nothing to an instance that is busier than another for its weight", () => {
  const { members } = serviceMemory([1, 1])
  for (let i = 0; i < 10; i++) members[0]!.state.begin(i % 2)
  expect(shares(makeBalancer("least_requests", members), members, 1000)[0]).toBe(0)
})

test("least_requests keeps the shares of very unequal weights while few requests are under way", () => {
  const { members } = serviceMemory([256, 1])
  const candidates = candidatesOf(members)
  const balancer = makeBalancer("least_requests", members)
  const underWay: Member[] = []
  let light = 0
  for (let i = 0; i < 10_000; i++) {
    const member = balancer.pick(candidates, PLAIN, 0)
    if (member === members[1]) light++
    member.state.begin(0)
    underWay.push(member)
    if (underWay.length > 2) underWay.shift()!.state.end(0)
  }
  expect(light).toBeGreaterThan(0)
  expect(light / 10_000).toBeLessThan(0.02)
})

test("[T-9.5] peak_ewma prefers the fast instance and tries the slow one again when its past has faded", () => {
  const { members } = serviceMemory([1, 1])
  const balancer = makeBalancer("peak_ewma", members)
  for (let i = 0; i < 20; i++) {
    members[0]!.state.observe(100, i)
    members[1]!.state.observe(5, i)
  }
  expect(shares(balancer, members, 1000, 20)[1]).toBe(1)
  // Only the fast one is asked; the estimate of the other decays below its.
  members[1]!.state.observe(5, 60_000)
  expect(shares(balancer, members, 1000, 60_000)[0]).toBe(1)
})

test("[T-9.5] one slow answer raises the estimate at once, and it sinks slowly", () => {
  const { members } = serviceMemory([1, 1])
  const { state } = members[0]!
  state.observe(5, 0)
  state.observe(500, 1)
  expect(state.responseTimeMs(1)).toBe(500)
  state.observe(5, 10_001)
  expect(state.responseTimeMs(10_001)).toBeCloseTo(500 * Math.exp(-1) + 5 * (1 - Math.exp(-1)), 6)
})

describe("hash", () => {
  const clients = Array.from({ length: 3000 }, (_, i) => `198.51.${i >> 8}.${i & 255}`)
  const pick = (balancer: Balancer, members: readonly Member[], parts: ExchangeParts) =>
    balancer.pick(candidatesOf(members), makeExchange(parts), 0).index

  test("sends a client to the same instance, in every thread and however config is ordered", () => {
    const { members } = serviceMemory([1, 1, 1, 1])
    const one = makeBalancer("hash", members)
    const other = makeBalancer("hash", members)
    for (const peer of clients) expect(pick(one, members, { peer })).toBe(pick(other, members, { peer }))
  })

  test("moves only the keys of the instance that left", () => {
    const { members } = serviceMemory([1, 1, 1, 1])
    const balancer = makeBalancer("hash", members)
    for (const peer of clients) {
      const before = pick(balancer, members, { peer })
      const after = pick(balancer, members.slice(1), { peer })
      if (before === 0) expect(after).not.toBe(0)
      else expect(after).toBe(before)
    }
  })

  test("gives each instance a part of the keys near its weight", () => {
    const { members } = serviceMemory([1, 3])
    const balancer = makeBalancer("hash", members)
    const light = clients.filter((peer) => pick(balancer, members, { peer }) === 0).length / clients.length
    expect(light).toBeGreaterThan(0.2)
    expect(light).toBeLessThan(0.3)
  })

  test("bounds the load of one hot key: no instance holds more than 1.25 times its part", () => {
    const { members } = serviceMemory([1, 1, 1, 1])
    const balancer = makeBalancer("hash", members)
    for (let i = 0; i < 400; i++) members[pick(balancer, members, { peer: "192.0.2.9" })]!.state.begin(0)
    for (const { state } of members) expect(state.inFlight).toBeLessThanOrEqual(125)
  })

  test("reads its key from a header or a cookie and goes by chance without one", () => {
    const { members } = serviceMemory([1, 1, 1, 1])
    const byHeader = makeBalancer("hash", members, { hash_by: "header:X-Tenant" })
    const byCookie = makeBalancer("hash", members, { hash_by: "cookie:sid" })
    const seen = new Set<number>()
    for (const peer of clients.slice(0, 100)) {
      const byTenant = pick(byHeader, members, { peer, headers: { "x-tenant": "a" } })
      expect(byTenant).toBe(pick(byHeader, members, { headers: { "x-tenant": "a" } }))
      const bySid = pick(byCookie, members, { peer, headers: { cookie: "xsid=9; sid=a; other=1" } })
      expect(bySid).toBe(byTenant)
      seen.add(pick(byCookie, members, { peer, headers: { cookie: `xsid=${peer}` } }))
    }
    expect(seen.size).toBe(4)
  })
})

describe("candidates", () => {
  test("[T-6.3 T-6.4] leave with bad health and come back with good health, seen through the shared memory", () => {
    const { memory, slot, members } = serviceMemory([1, 1, 1])
    const cache = new CandidateCache(memory, slot, members, 0)
    expect(cache.at(0).list.length).toBe(3)
    members[1]!.state.setHealth(false, 1)
    touchService(memory, slot)
    expect(cache.at(1).list).toEqual([members[0]!, members[2]!])
    members[1]!.state.setHealth(true, 2)
    touchService(memory, slot)
    expect(cache.at(2).list.length).toBe(3)
  })

  test("[F-37] are all again when fewer than panic_threshold percent are left", () => {
    const { memory, slot, members } = serviceMemory([1, 1, 1, 1])
    const cache = new CandidateCache(memory, slot, members, 50)
    for (const [i, left] of [3, 2, 4, 4].entries()) {
      members[i]!.state.setHealth(false, 1)
      touchService(memory, slot)
      expect(cache.at(1).list.length).toBe(left)
    }
  })

  test("[F-37] are none when all are unhealthy and there is no panic mode", () => {
    const { memory, slot, members } = serviceMemory([1, 1])
    const cache = new CandidateCache(memory, slot, members, 0)
    for (const { state } of members) state.setHealth(false, 1)
    touchService(memory, slot)
    expect(cache.at(1).list).toEqual([])
  })

  test("[S-FR3.2] do not hold what was tried before, unless nothing else is left", () => {
    const { memory, slot, members } = serviceMemory([1, 1])
    const cache = new CandidateCache(memory, slot, members, 50)
    expect(cache.without([members[0]!], 0).list).toEqual([members[1]!])
    expect(cache.without(members, 0).list).toEqual(members)
  })
})

test("a service of one instance has no balancer", () => {
  expect(
    createBalancer(
      { balance: "hash", hash_by: "ip", slow_start: 0 },
      serviceMemory([1]).members,
      Math.random,
    ),
  ).toBeUndefined()
})

import { expect, test } from "bun:test"
import { CRITICAL, type Priority } from "../../src/observe/priority.ts"
import { ConcurrencyLimiter } from "../../src/upstream/concurrency.ts"
import { seededRandom, serviceConfig } from "../support/services.ts"
import { type Health, SimulatedService } from "../support/simulated_service.ts"

const HIGH: Priority = 1
const NORMAL: Priority = 2
const LOW: Priority = 3
const INSTANCES = ["http://127.0.0.1:1"]

const sharedCount = () => ({ words: new Int32Array(new SharedArrayBuffer(4)), at: 0 })

function limiterOf(concurrency: object, workers = 1, probes = sharedCount()): ConcurrencyLimiter {
  const config = serviceConfig({ instances: INSTANCES, concurrency }).concurrency!
  return new ConcurrencyLimiter(config, { workers, probes, now: 0, random: seededRandom(3) })
}

/** How many of a class are admitted when nothing else is in flight. */
function admitted(limiter: ConcurrencyLimiter, priority: Priority): number {
  const permits = []
  for (;;) {
    const permit = limiter.acquire(priority)
    if (permit === undefined) break
    permits.push(permit)
  }
  for (const permit of permits) limiter.record(permit, 0, "ignored", 0)
  return permits.length
}

const simulated = (health: Health, concurrency: object = {}, workers = 1) => {
  const probes = sharedCount()
  const limiters = Array.from({ length: workers }, () => limiterOf(concurrency, workers, probes))
  return new SimulatedService(limiters, health, 0, seededRandom(5))
}

const p99 = (sorted: readonly number[]) => sorted[Math.floor(sorted.length * 0.99)]!

test("[T-5.2] each class may fill its share of the limit, critical requests all of it", () => {
  const limiter = limiterOf({ mode: "fixed", max: 100 })
  expect([LOW, NORMAL, HIGH, CRITICAL].map((each) => admitted(limiter, each))).toEqual([50, 80, 90, 100])
})

test("[T-5.2] shares are config's, and no class is ever without room for one", () => {
  const shares = { low: 10, normal: 50, high: 50 }
  const wide = limiterOf({ mode: "fixed", max: 100, shares })
  expect([LOW, NORMAL, HIGH, CRITICAL].map((each) => admitted(wide, each))).toEqual([10, 50, 50, 100])
  const narrow = limiterOf({ mode: "fixed", max: 1, shares })
  expect([LOW, NORMAL, HIGH, CRITICAL].map((each) => admitted(narrow, each))).toEqual([1, 1, 1, 1])
})

test("[T-5.2] what critical requests take is gone for those below", () => {
  const limiter = limiterOf({ mode: "fixed", max: 10 })
  const held = Array.from({ length: 5 }, () => limiter.acquire(CRITICAL)!)
  expect(limiter.acquire(LOW)).toBeUndefined()
  expect(limiter.acquire(NORMAL)).toBeDefined()
  limiter.record(held[0]!, 1, "success", 1)
  limiter.record(held[1]!, 1, "success", 1)
  expect(limiter.acquire(LOW)).toBeDefined()
})

test("workers have equal shares of the numbers in config, at least 1 each", () => {
  expect(limiterOf({ mode: "fixed", max: 100 }, 4).limit).toBe(25)
  expect(limiterOf({ mode: "fixed", max: 3 }, 4).limit).toBe(1)
  expect(limiterOf({ initial: 30, max: 100 }, 3).limit).toBe(10)
  expect(limiterOf({ max: 16 }, 2).limit).toBe(8)
})

test("[T-5.4 C-6.9] at three times its capacity a service works at all of it, and critical requests hardly wait", () => {
  const service = simulated({ slots: 32, workMs: 40 })
  const { capacity } = service
  service.run(2000, { low: capacity * 0.4, critical: capacity * 0.1 })
  service.run(2000, { low: capacity * 2.7, critical: capacity * 0.3 })
  const span = service.run(20_000, { low: capacity * 2.7, critical: capacity * 0.3 })
  expect((span.served.critical + span.served.low) / (capacity * 20)).toBeGreaterThan(0.95)
  expect(span.refusedCritical).toBe(0)
  expect(p99(span.criticalMs)).toBeLessThan(100)
})

test("[T-5.4 T-5.2] four workers that share a service learn together how long it takes without a queue", () => {
  const service = simulated({ slots: 32, workMs: 40 }, {}, 4)
  const { capacity } = service
  service.run(2000, { low: capacity * 0.4, critical: capacity * 0.1 })
  const onset = service.run(2000, { low: capacity * 2.7, critical: capacity * 0.3 })
  expect(onset.refusedCritical).toBe(0)
  service.run(5000, { low: capacity * 2.7, critical: capacity * 0.3 })
  const span = service.run(20_000, { low: capacity * 2.7, critical: capacity * 0.3 })
  expect((span.served.critical + span.served.low) / (capacity * 20)).toBeGreaterThan(0.95)
  expect(span.refusedCritical).toBe(0)
  expect(p99(span.criticalMs)).toBeLessThan(140)
})

test("[T-5.2] without classes above them, low requests have all of the service", () => {
  const service = simulated({ slots: 32, workMs: 40 })
  const { capacity } = service
  service.run(3000, { low: capacity * 3 })
  const span = service.run(10_000, { low: capacity * 3 })
  expect(span.served.low / (capacity * 10)).toBeGreaterThan(0.95)
})

test("[T-5.4] a load below the capacity is never refused", () => {
  const service = simulated({ slots: 32, workMs: 40 })
  const span = service.run(70_000, { low: service.capacity * 0.4, critical: service.capacity * 0.1 })
  expect(span.asked.low - span.served.low).toBeLessThan(30)
  expect(p99(span.criticalMs)).toBeLessThan(50)
})

test("[T-5.4 C-6.9] a service that is suddenly five times slower is given less, within bounds of what it bears", () => {
  const service = simulated({ slots: 32, workMs: 40 })
  const load = { low: service.capacity * 0.85, critical: service.capacity * 0.02 }
  const before = service.run(5000, load)
  service.health = { slots: 32, workMs: 200 }
  const least = Math.min(...Array.from({ length: 10 }, () => service.run(200, load).limit))
  expect(least).toBeLessThan(before.limit / 1.5)
  service.run(6000, load)
  const slow = service.run(10_000, load)
  expect((slow.served.low + slow.served.critical) / (service.capacity * 10)).toBeGreaterThan(0.9)
  expect(p99(slow.criticalMs)).toBeLessThan(2.5 * 200)
})

test("[T-5.4] when the service is quick again, all requests are admitted within 5 s", () => {
  const service = simulated({ slots: 32, workMs: 40 })
  const load = { low: service.capacity * 0.8, critical: service.capacity * 0.05 }
  service.run(5000, load)
  service.health = { slots: 32, workMs: 400 }
  service.run(20_000, load)
  service.health = { slots: 32, workMs: 40 }
  service.run(5000, load)
  const span = service.run(2000, load)
  expect(span.served.low / span.asked.low).toBeGreaterThan(0.97)
})

test("[C-6.9] failures shrink the limit to its least, and within 3 s of health all are admitted again", () => {
  const service = simulated({ slots: 32, workMs: 40 }, { min: 4 })
  const load = { low: service.capacity * 0.8, critical: service.capacity * 0.05 }
  service.run(5000, load)
  service.health = { slots: 32, workMs: 40, failing: 1 }
  expect(service.run(2000, load).limit).toBeLessThanOrEqual(8)
  service.health = { slots: 32, workMs: 40 }
  service.run(3000, load)
  const span = service.run(2000, load)
  expect(span.served.low / span.asked.low).toBeGreaterThan(0.97)
})

test("[C-6.9] a few failures take little", () => {
  const service = simulated({ slots: 32, workMs: 40, failing: 0.05 })
  const span = service.run(20_000, { low: service.capacity * 3 })
  expect((span.served.low + span.failed) / (service.capacity * 20)).toBeGreaterThan(0.9)
})

test("an overload the limiter begins in is seen through", () => {
  const service = simulated({ slots: 10, workMs: 20 }, { initial: 200 })
  const load = { low: service.capacity * 2.7, critical: service.capacity * 0.3 }
  service.run(15_000, load)
  const span = service.run(10_000, load)
  expect((span.served.low + span.served.critical) / (service.capacity * 10)).toBeGreaterThan(0.95)
  expect(p99(span.criticalMs)).toBeLessThan(100)
})

test("the limit never leaves its bounds", () => {
  const quick = simulated({ slots: 1000, workMs: 5 }, { max: 50 })
  quick.run(5000, { low: 20_000 })
  expect(quick.run(1000, { low: 20_000 }).limit).toBe(50)
  const dead = simulated({ slots: 32, workMs: 40, failing: 1 }, { min: 7 })
  for (let i = 0; i < 20; i++) expect(dead.run(200, { low: 500 }).limit).toBeGreaterThanOrEqual(7)
})

test("results of requests that say nothing of the service move nothing", () => {
  const limiter = limiterOf({ initial: 20 })
  for (let now = 0; now < 20_000; now += 10) limiter.record(limiter.acquire(CRITICAL)!, 5000, "ignored", now)
  expect([limiter.limit, limiter.inFlight]).toEqual([20, 0])
})

test("a limit that nobody needs does not grow", () => {
  const limiter = limiterOf({ initial: 20 })
  for (let now = 0; now < 20_000; now += 10) limiter.record(limiter.acquire(CRITICAL)!, 5, "success", now)
  expect(limiter.limit).toBe(20)
})

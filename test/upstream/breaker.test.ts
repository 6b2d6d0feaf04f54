import { describe, expect, test } from "bun:test"
import { Breaker, type BreakerOutcome, type Permit } from "../../src/upstream/breaker.ts"
import { createUpstreamMemory } from "../../src/upstream/memory.ts"
import type { BreakerConfig } from "../../src/upstream/service.ts"
import type { BreakerFindings, BreakerTask } from "./breaker_worker.ts"

const DEFAULTS: BreakerConfig = {
  failure_threshold: 5,
  recovery_timeout: 60_000,
  half_open_timeout: 30_000,
  failure_window: 120_000,
  min_throughput: 5,
  half_open_requests: 1,
}

function makeBreaker(config: Partial<BreakerConfig> = {}): Breaker {
  return new Breaker(createUpstreamMemory(1), 0, { ...DEFAULTS, ...config })
}

function permitOf(breaker: Breaker, now: number): Permit {
  const permit = breaker.acquire(now)
  if (typeof permit === "object") throw new Error(`refused for ${permit.retryAfterMs} ms at ${now}`)
  return permit
}

function run(breaker: Breaker, outcome: BreakerOutcome, times: number, now: number): void {
  for (let i = 0; i < times; i++) breaker.record(permitOf(breaker, now), outcome, now)
}

describe("[T-1.3 S-FR3 C-7.3 I-cb] the circuit breaker", () => {
  test("goes closed, open, half-open and closed again as its settings say", () => {
    const breaker = makeBreaker()
    run(breaker, "failure", 4, 1000)
    expect(breaker.view(1000)).toMatchObject({ state: "closed", requests: 4, failures: 4 })
    expect(breaker.record(permitOf(breaker, 2000), "failure", 2000)).toBe("open")
    expect(breaker.acquire(2000)).toEqual({ retryAfterMs: 60_000 })
    expect(breaker.acquire(61_999)).toEqual({ retryAfterMs: 1 })
    const trial = permitOf(breaker, 62_000)
    expect(breaker.view(62_000).state).toBe("half_open")
    expect(breaker.acquire(62_001)).toHaveProperty("retryAfterMs")
    expect(breaker.record(trial, "success", 62_002)).toBe("closed")
    expect(breaker.view(62_003)).toMatchObject({ state: "closed", requests: 0, failures: 0 })
    run(breaker, "failure", 4, 62_004)
    expect(breaker.view(62_005).state).toBe("closed")
  })

  test("opens again for the whole recovery time when the trial fails", () => {
    const breaker = makeBreaker()
    run(breaker, "failure", 5, 0)
    expect(breaker.record(permitOf(breaker, 60_000), "failure", 61_000)).toBe("open")
    expect(breaker.acquire(61_000)).toEqual({ retryAfterMs: 60_000 })
  })

  test("opens again when no trial is answered within half_open_timeout", () => {
    const breaker = makeBreaker()
    run(breaker, "failure", 5, 0)
    const late = permitOf(breaker, 60_000)
    expect(breaker.view(89_999).state).toBe("half_open")
    // The 60 s count from when the trial's time ran out.
    expect(breaker.acquire(100_000)).toEqual({ retryAfterMs: 50_000 })
    expect(breaker.record(late, "success", 100_001)).toBeUndefined()
    expect(breaker.view(100_002).state).toBe("open")
  })

  test("ignores a trial's answer that comes after its time, even when nobody looked in between", () => {
    const breaker = makeBreaker()
    run(breaker, "failure", 5, 0)
    breaker.record(permitOf(breaker, 60_000), "success", 90_001)
    expect(breaker.view(90_002).state).toBe("open")
  })

  test("forgets failures that are older than failure_window", () => {
    const breaker = makeBreaker()
    run(breaker, "failure", 4, 0)
    run(breaker, "failure", 4, 125_000)
    expect(breaker.view(125_000)).toMatchObject({ state: "closed", failures: 4 })
    run(breaker, "failure", 1, 125_001)
    expect(breaker.view(125_001).state).toBe("open")
  })

  test("does not open below min_throughput", () => {
    const breaker = makeBreaker({ failure_threshold: 2, min_throughput: 10 })
    run(breaker, "success", 3, 0)
    run(breaker, "failure", 6, 0)
    expect(breaker.view(0).state).toBe("closed")
    run(breaker, "failure", 1, 0)
    expect(breaker.view(0).state).toBe("open")
  })

  test("lets half_open_requests trials through at a time and closes after as many successes", () => {
    const breaker = makeBreaker({ half_open_requests: 3 })
    run(breaker, "failure", 5, 0)
    const trials = [permitOf(breaker, 60_000), permitOf(breaker, 60_000), permitOf(breaker, 60_000)]
    expect(breaker.acquire(60_000)).toHaveProperty("retryAfterMs")
    expect(breaker.record(trials[0]!, "success", 60_001)).toBeUndefined()
    expect(breaker.record(trials[1]!, "success", 60_002)).toBeUndefined()
    expect(breaker.record(trials[2]!, "success", 60_003)).toBe("closed")
  })

  test("counts a cancelled request neither way and gives its trial to the next", () => {
    const breaker = makeBreaker()
    run(breaker, "cancelled", 100, 0)
    expect(breaker.view(0)).toMatchObject({ state: "closed", requests: 0, failures: 0 })
    run(breaker, "failure", 5, 0)
    breaker.record(permitOf(breaker, 60_000), "cancelled", 60_500)
    const trial = permitOf(breaker, 85_000)
    // The new trial has its own 30 s.
    expect(breaker.record(trial, "success", 114_000)).toBe("closed")
  })

  test("ignores results of requests begun before the circuit opened", () => {
    const breaker = makeBreaker()
    const early = [permitOf(breaker, 0), permitOf(breaker, 0)]
    run(breaker, "failure", 5, 0)
    breaker.record(early[0]!, "success", 10)
    expect(breaker.view(10).state).toBe("open")
    breaker.record(permitOf(breaker, 60_000), "success", 60_001)
    breaker.record(early[1]!, "failure", 60_002)
    expect(breaker.view(60_002)).toMatchObject({ state: "closed", failures: 0 })
  })

  test("[C-7.7] closes at once and forgets when an operator resets it, from every state", () => {
    for (const rounds of [0, 1, 2, 3]) {
      const breaker = makeBreaker()
      for (let round = 0; round < rounds; round++) {
        run(breaker, "failure", 5, round * 1000)
        breaker.reset(round * 1000)
      }
      run(breaker, "failure", 4, 5000)
      breaker.reset(5000)
      expect(breaker.view(5000)).toMatchObject({ state: "closed", failures: 0 })
      run(breaker, "failure", 5, 6000)
      permitOf(breaker, 66_000)
      breaker.reset(66_000)
      expect(breaker.view(66_000)).toMatchObject({ state: "closed", failures: 0 })
    }
  })

  test("keeps its state when a reload makes a new one over the same memory", () => {
    const memory = createUpstreamMemory(1)
    run(new Breaker(memory, 7, DEFAULTS), "failure", 5, 0)
    expect(new Breaker(memory, 7, DEFAULTS).acquire(1)).toHaveProperty("retryAfterMs")
    expect(new Breaker(memory, 8, DEFAULTS).view(1).state).toBe("closed")
  })
})

test("[T-1.3] two threads share breakers exactly: no failure is lost and one of them gets the trial", async () => {
  const failures = 20_000
  const circuits = 800
  const memory = createUpstreamMemory(2)
  // The circuit opens with the very last failure of both: one lost count and it never would.
  const config = { ...DEFAULTS, failure_threshold: 2 * failures, min_throughput: 1, recovery_timeout: 1 }
  for (let slot = 1; slot <= circuits; slot++) {
    const breaker = new Breaker(memory, slot, { ...config, failure_threshold: 1 })
    run(breaker, "failure", 1, 900)
  }
  const gate = new Int32Array(new SharedArrayBuffer(4))
  const workers = [0, 1].map(() => new Worker(new URL("./breaker_worker.ts", import.meta.url)))
  const answers = workers.map(
    (one) =>
      new Promise<BreakerFindings>((resolve, reject) => {
        one.onmessage = ({ data }) => resolve(data)
        one.onerror = ({ message }) => reject(new Error(message))
      }),
  )
  const task: BreakerTask = { memory, gate, config, failures, circuits }
  for (const one of workers) one.postMessage(task)
  const [a, b] = (await Promise.all(answers)) as [BreakerFindings, BreakerFindings]
  for (const one of workers) one.terminate()
  expect([a.failures, b.failures]).toEqual([failures, failures])
  expect(new Breaker(memory, 0, config).view(1000).state).toBe("open")
  const both = a.trials.map((got, i) => Number(got) + Number(b.trials[i]))
  expect(both.filter((trials) => trials !== 1)).toEqual([])
})

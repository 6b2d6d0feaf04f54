import { test } from "bun:test"
import fc from "fast-check"
import { createLimitMemory, Decision, LimitTable } from "../../src/store/limit_table.ts"

/** A bucket as the textbook has it: tokens that drip in, in whole thousandths, for one key and for ever. */
class ExactBucket {
  readonly #emission: bigint
  readonly #capacity: bigint
  #tokens: bigint
  #at: bigint

  constructor(emissionMs: number, burst: number, nowMs: number) {
    this.#emission = BigInt(emissionMs)
    // In units of one ms of dripping, so that nothing is rounded.
    this.#capacity = BigInt(burst) * this.#emission
    this.#tokens = this.#capacity
    this.#at = BigInt(nowMs)
  }

  take(cost: number, nowMs: number): boolean {
    const now = BigInt(nowMs)
    this.#tokens += now - this.#at
    this.#at = now
    if (this.#tokens > this.#capacity) this.#tokens = this.#capacity
    const charge = BigInt(cost) * this.#emission
    if (charge > this.#tokens) return false
    this.#tokens -= charge
    return true
  }
}

const START = 5_000_000

const Schedule = fc.record({
  emissionMs: fc.integer({ min: 1, max: 3000 }),
  burst: fc.integer({ min: 1, max: 30 }),
  steps: fc.array(
    fc.record({
      // Mostly small steps, some long silences.
      passMs: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 20_000 })),
      key: fc.nat(39),
      cost: fc.integer({ min: 1, max: 3 }),
    }),
    { minLength: 1, maxLength: 300 },
  ),
})

/** Two views of one table, as two threads have them. */
function play(keys: number, check: (step: PlayedStep) => boolean) {
  return fc.property(Schedule, fc.infiniteStream(fc.boolean()), ({ emissionMs, burst, steps }, sides) => {
    const memory = createLimitMemory(1)
    const tables = [new LimitTable(memory), new LimitTable(memory)] as const
    const decision = new Decision()
    const bucket = { emissionMs, toleranceMs: emissionMs * burst, overflow: 3 }
    const models = new Map<number, ExactBucket>()
    let nowMs = START
    for (const { passMs, key, cost } of steps) {
      nowMs += passMs
      const low = (key % keys) * 64
      const model = models.get(low) ?? new ExactBucket(emissionMs, burst, nowMs)
      models.set(low, model)
      tables[sides.next().value === true ? 1 : 0].take(1, low, bucket, cost, nowMs, decision)
      if (!check({ model, decision, cost, nowMs })) return false
    }
    return true
  })
}

interface PlayedStep {
  readonly model: ExactBucket
  readonly decision: Decision
  readonly cost: number
  readonly nowMs: number
}

test("[T-5.1] random schedules of keys that find room are decided as exact buckets decide", () => {
  fc.assert(
    play(16, ({ model, decision, cost, nowMs }) => model.take(cost, nowMs) === decision.allowed),
    { numRuns: 300 },
  )
})

test("[F-60] in a table that is too small whatever is let through conforms to the key's own bucket", () => {
  fc.assert(
    play(40, ({ model, decision, cost, nowMs }) => !decision.allowed || model.take(cost, nowMs)),
    { numRuns: 300 },
  )
})

test("[F-42] who waits as long as it is told is let through, whatever the clock did before", () => {
  const jump = fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: -3_600_000, max: 3_600_000 }))
  const step = fc.record({ jump, cost: fc.integer({ min: 1, max: 4 }) })
  fc.assert(
    fc.property(
      fc.double({ min: 0.01, max: 1e6, noNaN: true }),
      fc.integer({ min: 4, max: 1000 }),
      fc.array(step, { maxLength: 50 }),
      (emissionMs, burst, steps) => {
        const table = new LimitTable(createLimitMemory(1))
        const decision = new Decision()
        const bucket = { emissionMs, toleranceMs: emissionMs * burst, overflow: 0 }
        let nowMs = 1e10
        for (const { jump, cost } of steps) {
          nowMs += jump
          table.take(1, 2, bucket, cost, nowMs, decision)
          const { retryAfterMs, resetMs, remaining } = decision
          if (retryAfterMs < 0 || resetMs < 0 || remaining < 0 || remaining > burst) return false
          if (resetMs > 8 * bucket.toleranceMs + 1) return false
          if (decision.allowed) continue
          table.peek(1, 2, bucket, cost, nowMs + retryAfterMs, decision)
          if (!decision.allowed) return false
          // Clocks of threads may differ by half a millisecond.
          table.peek(1, 2, bucket, cost, nowMs + retryAfterMs * 0.999 - 0.51, decision)
          if (decision.allowed) return false
        }
        return true
      },
    ),
    { numRuns: 500 },
  )
})

test("[F-42] each jump of the clock, forward or back, forgives a key one bucket at most, whichever thread asks", () => {
  const step = fc.record({
    passMs: fc.nat(2000),
    // One step in ten or so is a jump of up to an hour.
    jumpMs: fc.oneof(
      { weight: 9, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: -3_600_000, max: 3_600_000 }) },
    ),
    second: fc.boolean(),
    cost: fc.integer({ min: 1, max: 3 }),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 3, max: 30 }),
      fc.array(step, { minLength: 1, maxLength: 200 }),
      (emissionMs, burst, steps) => {
        const memory = createLimitMemory(1)
        const tables = [new LimitTable(memory), new LimitTable(memory)] as const
        const decision = new Decision()
        const bucket = { emissionMs, toleranceMs: emissionMs * burst, overflow: 3 }
        let nowMs = 1e9
        let passedMs = 0
        let jumps = 0
        let taken = 0
        for (const { passMs, jumpMs, second, cost } of steps) {
          nowMs += passMs + jumpMs
          passedMs += passMs
          if (jumpMs !== 0) jumps++
          tables[second ? 1 : 0].take(1, 2, bucket, cost, nowMs, decision)
          if (decision.allowed) taken += cost
          if (taken > burst * (1 + jumps) + passedMs / emissionMs + 1e-6) return false
          if (decision.retryAfterMs > 8 * bucket.toleranceMs + cost * emissionMs) return false
        }
        return true
      },
    ),
    { numRuns: 500 },
  )
})

test("a bucket of a very fast and one of a very slow rate lose nothing by rounding over a long time", () => {
  for (const [emissionMs, burst] of [
    [0.01, 1000],
    [1000 / 3, 3],
    [86_400_000, 1],
  ] as const) {
    const table = new LimitTable(createLimitMemory(1))
    const decision = new Decision()
    const bucket = { emissionMs, toleranceMs: emissionMs * burst, overflow: 0 }
    let admitted = 0
    const rounds = 30_000
    for (let i = 0; i <= rounds; i++) {
      // A year of uptime before, so that doubles are at their coarsest.
      table.take(1, 2, bucket, burst, 3.2e10 + i * emissionMs * burst, decision)
      if (decision.allowed) admitted++
    }
    if (admitted !== rounds + 1) throw new Error(`${admitted} of ${rounds + 1} at ${emissionMs} ms`)
  }
})

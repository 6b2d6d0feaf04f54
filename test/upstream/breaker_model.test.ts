import { expect, test } from "bun:test"
import fc from "fast-check"
import { Breaker, type BreakerOutcome, type Permit } from "../../src/upstream/breaker.ts"
import { createUpstreamMemory } from "../../src/upstream/memory.ts"
import type { BreakerConfig } from "../../src/upstream/service.ts"

/** The rules of a breaker written down as plainly as they can be, for one thread and an endless window. */
class Model {
  state: "closed" | "open" | "half_open" = "closed"
  results: boolean[] = []
  openedAt = 0
  trialSince = 0
  trials = 0
  successes = 0
  /** Permits of an earlier life of the circuit are void. */
  life = 0
  readonly config: BreakerConfig

  constructor(config: BreakerConfig) {
    this.config = config
  }

  #become(state: Model["state"], now: number): void {
    this.state = state
    this.life++
    this.openedAt = now
    this.results = []
    this.trials = 0
    this.successes = 0
  }

  tick(now: number): void {
    const dueAt = this.trialSince + this.config.half_open_timeout
    if (this.state === "half_open" && this.trials > 0 && now >= dueAt) this.#become("open", dueAt)
  }

  /** The life its permit belongs to; `undefined`: refused. */
  acquire(now: number): number | undefined {
    this.tick(now)
    if (this.state === "open") {
      if (now < this.openedAt + this.config.recovery_timeout) return undefined
      this.#become("half_open", now)
    }
    if (this.state === "half_open") {
      if (this.trials >= this.config.half_open_requests) return undefined
      if (this.trials++ === 0) this.trialSince = now
    }
    return this.life
  }

  record(life: number, outcome: BreakerOutcome, now: number): void {
    this.tick(now)
    if (life !== this.life) return
    if (this.state === "half_open") {
      this.trials--
      if (outcome === "failure") this.#become("open", now)
      else if (outcome === "success" && ++this.successes >= this.config.half_open_requests)
        this.#become("closed", now)
      return
    }
    if (outcome !== "cancelled") this.results.push(outcome === "success")
    const failures = this.results.filter((success) => !success).length
    if (outcome !== "failure" || failures < this.config.failure_threshold) return
    if (this.results.length >= this.config.min_throughput) this.#become("open", now)
  }
}

const configs = fc.record({
  failure_threshold: fc.integer({ min: 1, max: 3 }),
  min_throughput: fc.integer({ min: 1, max: 4 }),
  recovery_timeout: fc.integer({ min: 0, max: 50 }),
  half_open_timeout: fc.integer({ min: 1, max: 50 }),
  half_open_requests: fc.integer({ min: 1, max: 4 }),
  failure_window: fc.constant(1e9),
})
const steps = fc.array(
  fc.record({
    wait: fc.integer({ min: 0, max: 20 }),
    act: fc.constantFrom("acquire", "acquire", "acquire", "success", "failure", "failure", "cancelled"),
    which: fc.nat(10),
  }),
  { minLength: 50, maxLength: 200 },
)

test("[T-1.3 I-cb] the breaker in one shared word does what its plain rules say, for any order of events", () => {
  fc.assert(
    fc.property(configs, steps, (config, script) => {
      const breaker = new Breaker(createUpstreamMemory(1), 0, config)
      const model = new Model(config)
      const held: { permit: Permit; life: number }[] = []
      let now = 5
      for (const { wait, act, which } of script) {
        now += wait
        if (act === "acquire") {
          const permit = breaker.acquire(now)
          const life = model.acquire(now)
          expect(typeof permit === "number").toBe(life !== undefined)
          if (typeof permit === "number" && life !== undefined) held.push({ permit, life })
        } else if (held.length > 0) {
          const [{ permit, life }] = held.splice(which % held.length, 1) as [(typeof held)[0]]
          breaker.record(permit, act as BreakerOutcome, now)
          model.record(life, act as BreakerOutcome, now)
        }
        expect(breaker.view(now).state).toBe(model.state)
      }
    }),
    { numRuns: 500 },
  )
})

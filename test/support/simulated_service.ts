import { CRITICAL, type Priority } from "../../src/observe/priority.ts"
import type { ConcurrencyLimiter } from "../../src/upstream/concurrency.ts"

const LOW: Priority = 3

/** What happened in a span of simulated time. */
export interface Span {
  readonly asked: { critical: number; low: number }
  readonly served: { critical: number; low: number }
  readonly failed: number
  readonly refusedCritical: number
  /** Response times of critical requests, in ms, sorted. */
  readonly criticalMs: number[]
  /** Limit at the end of it, of all workers. */
  readonly limit: number
}

/** How the service is at a moment. */
export interface Health {
  /** Milliseconds it works on one request. */
  readonly workMs: number
  /** Requests it works on at a time; the others wait in line. */
  readonly slots: number
  /** Share of requests it fails at once, from 0 to 1. */
  readonly failing?: number
}

interface Job {
  readonly limiter: ConcurrencyLimiter
  readonly permit: NonNullable<ReturnType<ConcurrencyLimiter["acquire"]>>
  readonly critical: boolean
  readonly startedAt: number
  endsAt: number
}

/**
 * A service behind the limiters of some workers, among which requests are spread at random, in simulated time steps of 1 ms: requests arrive whatever becomes of those before
 * (open loop), so the latency grows with the load. `random`: for arrivals and a work time that varies by 10 %.
 */
export class SimulatedService {
  readonly #limiters: readonly ConcurrencyLimiter[]
  readonly #random: () => number
  #now: number
  #waiting: Job[] = []
  #working: Job[] = []
  #refusedCritical = 0
  health: Health

  constructor(limiters: readonly ConcurrencyLimiter[], health: Health, now: number, random: () => number) {
    this.#limiters = limiters
    this.health = health
    this.#now = now
    this.#random = random
  }

  /** Requests a second the service can answer. */
  get capacity(): number {
    return (this.health.slots * 1000) / this.health.workMs
  }

  /** Lets `ms` pass with so many requests a second, on average. */
  run(ms: number, load: { critical?: number; low?: number }): Span {
    const asked = { critical: 0, low: 0 }
    const served = { critical: 0, low: 0 }
    const criticalMs: number[] = []
    let failed = 0
    this.#refusedCritical = 0
    for (const end = this.#now + ms; this.#now < end; this.#now++) {
      for (const job of this.#working.filter((each) => each.endsAt <= this.#now)) {
        this.#working.splice(this.#working.indexOf(job), 1)
        const tookMs = this.#now - job.startedAt
        if (this.#random() < (this.health.failing ?? 0)) {
          failed++
          job.limiter.record(job.permit, tookMs, "failure", this.#now)
          continue
        }
        served[job.critical ? "critical" : "low"]++
        if (job.critical) criticalMs.push(tookMs)
        job.limiter.record(job.permit, tookMs, "success", this.#now)
      }
      for (let n = this.#arrivals(load.critical ?? 0); n > 0; n--) {
        asked.critical++
        this.#arrive(true)
      }
      for (let n = this.#arrivals(load.low ?? 0); n > 0; n--) {
        asked.low++
        this.#arrive(false)
      }
      while (this.#waiting.length > 0 && this.#working.length < this.health.slots) {
        const job = this.#waiting.shift()!
        job.endsAt = this.#now + this.health.workMs * (0.9 + this.#random() * 0.2)
        this.#working.push(job)
      }
    }
    criticalMs.sort((a, b) => a - b)
    const limit = this.#limiters.reduce((sum, limiter) => sum + limiter.limit, 0)
    return { asked, served, failed, refusedCritical: this.#refusedCritical, criticalMs, limit }
  }

  #arrivals(perSecond: number): number {
    const expected = perSecond / 1000
    return Math.floor(expected) + (this.#random() < expected % 1 ? 1 : 0)
  }

  #arrive(critical: boolean): void {
    const limiter = this.#limiters[Math.floor(this.#random() * this.#limiters.length)]!
    const permit = limiter.acquire(critical ? CRITICAL : LOW)
    if (permit !== undefined)
      this.#waiting.push({ limiter, permit, critical, startedAt: this.#now, endsAt: 0 })
    else if (critical) this.#refusedCritical++
  }
}

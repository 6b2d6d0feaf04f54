import { PRIORITIES, type Priority } from "../observe/priority.ts"
import { BaselineProbe } from "./baseline_probe.ts"
import { LatencyWindow } from "./latency_window.ts"
import type { ConcurrencyConfig } from "./service.ts"

/**
 * How a request the limiter let through ended. `failure`: a timeout, a broken connection or a 5xx; its response
 * time says nothing. `ignored`: nothing is learned (the client left, the circuit was open, a slow upload, a retry).
 */
export type ConcurrencyOutcome = "success" | "failure" | "ignored"

/** Leave to ask the service, given back with `record`: the number of the measurement it belongs to. */
export type ConcurrencyPermit = number & { readonly concurrencyPermit: unique symbol }

/** Response times closer to the best than this are no queue: timers and event loops are not more exact. */
const SLACK_MS = 5
/** One step never takes more than half of the limit away. */
const STEEPEST = 0.5

/**
 * How many requests of one worker a service is given at a time, adapted to how long it takes: the gradient
 * controller of Envoy's adaptive concurrency filter and of Netflix's concurrency-limits (Gradient2). After each
 * window of samples
 *
 *     gradient  = tolerance × baseline ÷ median response time, from 0.5 to 1
 *     limit     = gradient × (1 − share of failures ÷ 2) × limit + √limit
 *
 * where √limit is the headroom by which it grows as long as that costs no time. It grows only when at least half of
 * it was used, as in Gradient2, or somebody was refused. The baseline is the response time without a queue, measured as in Envoy by
 * asking less for a moment (see baseline_probe.ts).
 *
 * A class of requests is admitted while less than its share of the limit is in flight, so the rest is kept for
 * those above it; critical ones have all of it. There are no timers: time moves the state when a request ends.
 * With `mode: fixed` the limit is `max`. Numbers are of one worker: its share of those in config.
 */
export class ConcurrencyLimiter {
  readonly #min: number
  readonly #max: number
  readonly #tolerance: number
  readonly #shares: readonly number[]
  /** Requests in flight below which a class is admitted, by priority. */
  readonly #room: Int32Array = new Int32Array(PRIORITIES.length)
  readonly #window: LatencyWindow | undefined
  readonly #probe: BaselineProbe | undefined
  #limit: number
  #inFlight = 0
  /** Since the window began: half of the limit was in use; somebody was refused. */
  #used = false
  #refused = false

  /** `workers` share the numbers of the config. `random`: uniform in [0, 1). */
  constructor(config: ConcurrencyConfig, workers: number, now: number, random: () => number) {
    const share = (n: number): number => Math.max(1, Math.ceil(n / workers))
    this.#max = share(config.max)
    this.#min = Math.min(share(config.min), this.#max)
    this.#tolerance = config.tolerance
    const { low, normal, high } = config.shares
    this.#shares = [1, high / 100, normal / 100, low / 100]
    const adaptive = config.mode === "adaptive"
    this.#window = adaptive ? new LatencyWindow(now) : undefined
    this.#probe = adaptive ? new BaselineProbe(config.probe_interval, now, random) : undefined
    this.#limit = adaptive ? Math.min(Math.max(share(config.initial), this.#min), this.#max) : this.#max
    this.#makeRoom(this.#limit)
  }

  /** The limit in force, in requests. */
  get limit(): number {
    return Math.floor(this.#limit)
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Asks for leave; `undefined`: there is no room. Every permit must come back by `record`, once. */
  acquire(priority: Priority): ConcurrencyPermit | undefined {
    if (this.#inFlight >= this.#room[priority]!) {
      this.#refused = true
      return undefined
    }
    this.#inFlight++
    if (this.#inFlight * 2 >= this.#limit) this.#used = true
    return (this.#probe?.epoch ?? 0) as ConcurrencyPermit
  }

  /** Tells how the request of this permit ended and how long its answer took. */
  record(permit: ConcurrencyPermit, rttMs: number, outcome: ConcurrencyOutcome, now: number): void {
    this.#inFlight--
    const window = this.#window
    if (window === undefined || outcome === "ignored") return
    if (outcome === "failure") window.failed()
    // What was let in before a probe began, or during one that is over, was served under another load.
    else if (permit === this.#probe!.epoch) window.add(rttMs)
    if (window.isFull(now, this.#probe!.probing)) this.#move(window, this.#probe!, now)
  }

  /** The one place where the limit moves. */
  #move(window: LatencyWindow, probe: BaselineProbe, now: number): void {
    const medianMs = window.median()
    const { failedShare } = window
    window.restart(now)
    const refused = this.#refused
    const wanted = refused || this.#used
    this.#refused = false
    this.#used = false
    if (probe.probing) {
      probe.end(medianMs, now, this.#limit)
      this.#makeRoom(this.#limit)
      return
    }
    if (medianMs !== undefined) probe.observe(medianMs)
    const allowedMs = Math.max(probe.baselineMs * this.#tolerance, probe.baselineMs + SLACK_MS)
    const gradient = medianMs === undefined ? 1 : Math.max(STEEPEST, Math.min(1, allowedMs / medianMs))
    const next = this.#limit * gradient * (1 - failedShare / 2) + Math.sqrt(this.#limit)
    if (next < this.#limit || wanted) this.#limit = Math.min(Math.max(next, this.#min), this.#max)
    const due = medianMs !== undefined && probe.isDue(now, this.#limit)
    const probing = due && refused
    if (probing) probe.begin()
    // A load that fits the limit is not held back to learn what it shows as it is.
    else if (due) probe.end(medianMs, now, this.#limit)
    this.#makeRoom(probing ? Math.max(this.#min, this.#limit / 2) : this.#limit)
  }

  #makeRoom(limit: number): void {
    for (let priority = 0; priority < this.#room.length; priority++)
      this.#room[priority] = Math.max(1, Math.floor(limit * this.#shares[priority]!))
  }
}

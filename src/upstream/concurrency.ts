import { CRITICAL, PRIORITIES, type Priority } from "../observe/priority.ts"
import { BaselineProbe, type SharedCount } from "./baseline_probe.ts"
import { LatencyWindow } from "./latency_window.ts"
import type { ConcurrencyConfig } from "./service.ts"

/**
 * How a request the limiter let through ended. `failure`: a timeout, a broken connection or a 5xx; its response
 * time says nothing. `ignored`: nothing is learned (the client left, the circuit was open, a slow upload, a retry).
 */
export type ConcurrencyOutcome = "success" | "failure" | "ignored"

/** Leave to ask the service, given back with `record`: the number of the measurement it belongs to. */
export type ConcurrencyPermit = number & { readonly concurrencyPermit: unique symbol }

export interface ConcurrencyDeps {
  /** They share the numbers of the config. */
  readonly workers: number
  /** Probes all workers have begun at this service. */
  readonly probes: SharedCount
  /** Milliseconds, as for `record`. */
  readonly now: number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** Response times closer to the best than this are no queue: timers and event loops are not more exact. */
const SLACK_MS = 5
/** The part of what is in flight that a probe leaves. */
const PROBE_PART = 3
/** No measurement has this number. */
const NEVER = -1
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
 * where √limit is the headroom by which it grows as long as that costs no time. It grows only when at least a
 * quarter of it was used (half, in Gradient2: then a sudden load finds too little room), or somebody was refused. The baseline is the response time without a queue, measured as in Envoy by
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
  /** Requests in flight of a probe. */
  #probeRoom = 0
  #inFlight = 0
  /** Since the window began: a quarter of the limit was in use; somebody was refused. */
  #used = false
  #refused = false

  constructor(config: ConcurrencyConfig, { workers, probes, now, random }: ConcurrencyDeps) {
    const share = (n: number): number => Math.max(1, Math.ceil(n / workers))
    this.#max = share(config.max)
    this.#min = Math.min(share(config.min), this.#max)
    this.#tolerance = config.tolerance
    const { low, normal, high } = config.shares
    this.#shares = [1, high / 100, normal / 100, low / 100]
    const adaptive = config.mode === "adaptive"
    this.#window = adaptive ? new LatencyWindow(now) : undefined
    this.#probe = adaptive ? new BaselineProbe(config.probe_interval, probes, now, random) : undefined
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
    if (this.#inFlight * 4 >= this.#limit) this.#used = true
    const probe = this.#probe
    if (probe === undefined) return 0 as ConcurrencyPermit
    // A critical request beyond the room of the probe would measure a queue.
    const measures = !probe.probing || this.#inFlight <= this.#probeRoom
    return (measures ? probe.epoch : NEVER) as ConcurrencyPermit
  }

  /** Tells how the request of this permit ended and how long its answer took. */
  record(permit: ConcurrencyPermit, rttMs: number, outcome: ConcurrencyOutcome, now: number): void {
    this.#inFlight--
    const window = this.#window
    const probe = this.#probe
    if (window === undefined || probe === undefined || outcome === "ignored") return
    if (probe.join(now + window.settleMs)) this.#makeProbeRoom()
    const drained = probe.drained(this.#inFlight, this.#probeRoom, now)
    if (drained !== "no") window.restart(now)
    // Critical requests alone fill it: only by refusing some can be told what the service bears.
    if (drained === "late") this.#room[CRITICAL] = this.#probeRoom
    if (probe.draining) return
    if (outcome === "failure") window.failed()
    // What was let in before a probe began, or during one that is over, was served under another load.
    else if (permit === probe.epoch) window.add(rttMs)
    if (window.isFull(now, probe.probing)) this.#move(window, probe, now)
  }

  /** A third of what is in flight; critical requests are let in as ever. */
  #makeProbeRoom(): void {
    this.#probeRoom = Math.max(1, Math.floor(this.#inFlight / PROBE_PART))
    this.#makeRoom(this.#limit)
    for (let priority = 1; priority < this.#room.length; priority++)
      this.#room[priority] = Math.min(this.#room[priority]!, this.#probeRoom)
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
    if (probing) probe.begin(now + window.settleMs)
    // A load that fits the limit is not held back to learn what it shows as it is.
    else if (due) probe.end(medianMs, now, this.#limit)
    if (probing) this.#makeProbeRoom()
    else this.#makeRoom(this.#limit)
  }

  #makeRoom(limit: number): void {
    for (let priority = 0; priority < this.#room.length; priority++)
      this.#room[priority] = Math.max(1, Math.floor(limit * this.#shares[priority]!))
  }
}

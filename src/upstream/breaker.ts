import { SERVICE, type SharedRecord, serviceRecord, type UpstreamMemory } from "./memory.ts"
import type { BreakerConfig } from "./service.ts"
import { SlidingCounter, WINDOW_WORDS } from "./window.ts"

export type BreakerState = "closed" | "open" | "half_open"

/** What is known of a request the breaker let through. `cancelled` counts neither way. */
export type BreakerOutcome = "success" | "failure" | "cancelled"

/** Leave to ask the service: a small number, given back with `record`. */
export type Permit = number & { readonly permit: unique symbol }

/** The circuit is open. */
export interface Refusal {
  /** Milliseconds until a trial may be let through; at least 1. */
  readonly retryAfterMs: number
}

export interface BreakerView {
  readonly state: BreakerState
  /** Requests and failures within the window; 0 unless closed. */
  readonly requests: number
  readonly failures: number
  /** Milliseconds until a trial is let through; 0 unless open. */
  readonly retryAfterMs: number
}

const CLOSED = 0
const OPEN = 1
const HALF_OPEN = 2
const NAMES = ["closed", "open", "half_open"] as const

// The whole state is one word, so that every move is one compare-and-swap:
// bits 0-1 state, 2-11 trials under way, 12-21 trials that succeeded, 22-31 generation.
// A generation comes round after 1024 moves; no request lives that long.
const ONE_TRIAL = 1 << 2
const ONE_SUCCESS = 1 << 12
const TEN_BITS = 0x3ff
const stateOf = (word: number) => word & 3
const trialsOf = (word: number) => (word >>> 2) & TEN_BITS
const successesOf = (word: number) => (word >>> 12) & TEN_BITS
const generationOf = (word: number) => word >>> 22
const wordOf = (state: number, generation: number) => state | (generation << 22)

/** A refused request while a trial is under way may well succeed a moment later. */
const TRIAL_RETRY_AFTER_MS = 1000

/**
 * Circuit breaker of one service (Nygard, "Release It!"), exact over all threads. `acquire` before a request,
 * `record` after it; there are no timers: time moves the state when somebody looks. Results that belong to an
 * older state are ignored.
 */
export class Breaker {
  readonly #config: BreakerConfig
  readonly #record: SharedRecord
  // Counters of the closed state, in two banks: closed generations alternate between odd and even, and the
  // bank of the next one is cleared when this one ends, while nobody counts in it.
  readonly #requests: readonly [SlidingCounter, SlidingCounter]
  readonly #failures: readonly [SlidingCounter, SlidingCounter]

  constructor(memory: UpstreamMemory, slot: number, config: BreakerConfig) {
    this.#config = config
    const record = serviceRecord(memory, slot)
    this.#record = record
    const counter = (i: number) =>
      new SlidingCounter(
        record.words,
        record.word + SERVICE.breakerCounters + i * WINDOW_WORDS,
        config.failure_window,
      )
    this.#requests = [counter(0), counter(1)]
    this.#failures = [counter(2), counter(3)]
  }

  /** Asks for leave. Every permit must come back by `record`, once. */
  acquire(now: number): Permit | Refusal {
    for (;;) {
      const word = this.#current(now)
      const state = stateOf(word)
      if (state === CLOSED) return wordOf(CLOSED, generationOf(word)) as Permit
      if (state === OPEN) {
        const wait = this.#since(word) + this.#config.recovery_timeout - now
        if (wait > 0) return { retryAfterMs: Math.max(1, Math.ceil(wait)) }
        this.#move(word, HALF_OPEN, now)
        continue
      }
      if (trialsOf(word) >= this.#config.half_open_requests) return { retryAfterMs: TRIAL_RETRY_AFTER_MS }
      // The clock of the trials starts with the first of those under way.
      if (trialsOf(word) === 0) this.#setSince(generationOf(word), now)
      if (this.#swap(word, word + ONE_TRIAL)) return wordOf(HALF_OPEN, generationOf(word)) as Permit
    }
  }

  /** Tells how the request of this permit ended. Returns the state the circuit went over to because of it. */
  record(permit: Permit, outcome: BreakerOutcome, now: number): BreakerState | undefined {
    const generation = generationOf(permit)
    for (;;) {
      const word = this.#current(now)
      if (generationOf(word) !== generation) return undefined
      if (stateOf(word) === CLOSED) return this.#count(word, outcome, now) ? "open" : undefined
      if (outcome === "failure") {
        if (this.#move(word, OPEN, now)) return "open"
        continue
      }
      let next = word - ONE_TRIAL
      if (outcome === "success") next += ONE_SUCCESS
      if (successesOf(next) >= this.#config.half_open_requests) {
        if (this.#move(word, CLOSED, now)) return "closed"
      } else if (this.#swap(word, next)) return undefined
    }
  }

  /** Closes the circuit and forgets all failures: for operators who know better. */
  reset(now: number): void {
    while (!this.#move(this.#load(), CLOSED, now));
  }

  /** For people and metrics; changes nothing but what time has already changed. */
  view(now: number): BreakerView {
    const word = this.#current(now)
    const state = stateOf(word)
    const bank = generationOf(word) & 1
    return {
      state: NAMES[state]!,
      requests: state === CLOSED ? this.#requests[bank]!.sum(now) : 0,
      failures: state === CLOSED ? this.#failures[bank]!.sum(now) : 0,
      retryAfterMs:
        state === OPEN ? Math.max(0, Math.ceil(this.#since(word) + this.#config.recovery_timeout - now)) : 0,
    }
  }

  /** Returns whether this result opened the circuit. */
  #count(word: number, outcome: BreakerOutcome, now: number): boolean {
    if (outcome === "cancelled") return false
    const bank = generationOf(word) & 1
    this.#requests[bank]!.add(now)
    if (outcome === "success") return false
    this.#failures[bank]!.add(now)
    return (
      this.#failures[bank]!.sum(now) >= this.#config.failure_threshold &&
      this.#requests[bank]!.sum(now) >= this.#config.min_throughput &&
      this.#move(word, OPEN, now)
    )
  }

  /** The state now: a trial that was not answered in time has opened the circuit when its time ran out. */
  #current(now: number): number {
    for (;;) {
      const word = this.#load()
      if (stateOf(word) !== HALF_OPEN || trialsOf(word) === 0) return word
      const dueAt = this.#since(word) + this.#config.half_open_timeout
      if (now < dueAt) return word
      this.#move(word, OPEN, dueAt)
    }
  }

  /** The one place where the state moves. False: another thread was faster, look again. */
  #move(word: number, state: number, at: number): boolean {
    const from = stateOf(word)
    // Closed generations must alternate between the two banks; only a reset of an open circuit would not.
    const steps = from === OPEN && state === CLOSED ? 2 : 1
    const generation = (generationOf(word) + steps) & TEN_BITS
    if (from === CLOSED) {
      const other = 1 - (generationOf(word) & 1)
      this.#requests[other]!.clear()
      this.#failures[other]!.clear()
    }
    // Written before the swap into a place of the new generation, so that whoever sees the state sees its time.
    this.#setSince(generation, at)
    return this.#swap(word, wordOf(state, generation))
  }

  #load(): number {
    return Atomics.load(this.#record.words, this.#record.word + SERVICE.breaker)
  }

  #swap(from: number, to: number): boolean {
    return (
      Atomics.compareExchange(this.#record.words, this.#record.word + SERVICE.breaker, from, to | 0) === from
    )
  }

  #since(word: number): number {
    return this.#record.times[this.#record.time + SERVICE.breakerSince + (generationOf(word) & 1)]!
  }

  #setSince(generation: number, at: number): void {
    this.#record.times[this.#record.time + SERVICE.breakerSince + (generation & 1)] = at
  }
}

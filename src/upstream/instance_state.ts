import { INSTANCE, instanceRecord, type SharedRecord, type UpstreamMemory } from "./memory.ts"

const UNKNOWN = 0
const HEALTHY = 1
const UNHEALTHY = 2

/**
 * Time constant of the response-time estimate: an observation keeps 37 % of its weight after 10 s. The same
 * decay pulls an estimate without news towards zero, so that a slow instance is tried again.
 */
const DECAY_MS = 10_000

/** What all threads know of one instance. A view of shared memory: any number may exist, in any thread. */
export class InstanceState {
  readonly #record: SharedRecord

  constructor(memory: UpstreamMemory, slot: number) {
    this.#record = instanceRecord(memory, slot)
  }

  /** Requests under way from all workers. */
  get inFlight(): number {
    return Math.max(0, Atomics.load(this.#record.words, this.#record.word + INSTANCE.inFlight))
  }

  begin(worker: number): void {
    const { words, word } = this.#record
    Atomics.add(words, word + INSTANCE.inFlightByWorker + worker, 1)
    Atomics.add(words, word + INSTANCE.inFlight, 1)
  }

  end(worker: number): void {
    const { words, word } = this.#record
    Atomics.sub(words, word + INSTANCE.inFlightByWorker + worker, 1)
    Atomics.sub(words, word + INSTANCE.inFlight, 1)
  }

  /** Whether active checks have not taken it out; true while nothing is known. */
  get healthy(): boolean {
    return Atomics.load(this.#record.words, this.#record.word + INSTANCE.health) !== UNHEALTHY
  }

  /** `undefined`: not checked (yet). Returns whether `healthy` changed. */
  setHealth(healthy: boolean | undefined, now: number): boolean {
    const { words, word, times, time } = this.#record
    const next = healthy === undefined ? UNKNOWN : healthy ? HEALTHY : UNHEALTHY
    const returns = next !== UNHEALTHY && !this.healthy
    if (returns) times[time + INSTANCE.healthySince] = now
    const old = Atomics.exchange(words, word + INSTANCE.health, next)
    return (old === UNHEALTHY) !== (next === UNHEALTHY)
  }

  /** Whether it finishes what it has and gets nothing new. */
  get draining(): boolean {
    return Atomics.load(this.#record.words, this.#record.word + INSTANCE.draining) === 1
  }

  /** Returns whether that is a change. */
  setDraining(draining: boolean): boolean {
    const next = draining ? 1 : 0
    return Atomics.exchange(this.#record.words, this.#record.word + INSTANCE.draining, next) !== next
  }

  /** When it last joined or came back, from health or ejection; in the future while it is ejected. */
  get availableSince(): number {
    const { times, time } = this.#record
    return Math.max(times[time + INSTANCE.healthySince]!, times[time + INSTANCE.ejectedUntil]!)
  }

  /** 0 when it never was. */
  get ejectedUntil(): number {
    return this.#record.times[this.#record.time + INSTANCE.ejectedUntil]!
  }

  /** Moves with every ejection: results of requests begun in an older one say nothing of the present. */
  get ejectionGeneration(): number {
    return Atomics.load(this.#record.words, this.#record.word + INSTANCE.generation)
  }

  /** Recent ejections, each of which makes the next one longer. */
  get ejections(): number {
    return Atomics.load(this.#record.words, this.#record.word + INSTANCE.ejections)
  }

  /** Takes it out until then (ejection.ts decides, under its lock). `ejections`: recent ones, this one included. */
  eject(until: number, ejections: number): void {
    const { words, word, times, time } = this.#record
    times[time + INSTANCE.ejectedUntil] = until
    Atomics.store(words, word + INSTANCE.ejections, ejections)
    Atomics.store(words, word + INSTANCE.failures, 0)
    Atomics.add(words, word + INSTANCE.generation, 1)
  }

  /** Ends an ejection before its time; it still counts as one. Returns whether there was one. */
  endEjection(now: number): boolean {
    if (this.ejectedUntil <= now) return false
    this.eject(now, this.ejections)
    return true
  }

  /** For operators: returns it to service at once and forgets earlier ejections. */
  pardon(now: number): void {
    this.eject(Math.min(now, this.ejectedUntil), 0)
  }

  get consecutiveFailures(): number {
    return Atomics.load(this.#record.words, this.#record.word + INSTANCE.failures)
  }

  /** One more failure in a row; returns how many there are. */
  addFailure(): number {
    return Atomics.add(this.#record.words, this.#record.word + INSTANCE.failures, 1) + 1
  }

  clearFailures(): void {
    const { words, word } = this.#record
    // Read first: the line stays shared between cores while all goes well.
    if (Atomics.load(words, word + INSTANCE.failures) !== 0) Atomics.store(words, word + INSTANCE.failures, 0)
  }

  /**
   * Notes a response time. Sensitive to peaks (Finagle's Peak EWMA): a value above the estimate replaces it at
   * once, one below pulls it down by its weight. Threads may overwrite each other's update; the estimate heals.
   */
  observe(ms: number, now: number): void {
    const { times, time } = this.#record
    const old = times[time + INSTANCE.ewma]!
    const kept = Math.exp(-Math.max(0, now - times[time + INSTANCE.ewmaAt]!) / DECAY_MS)
    times[time + INSTANCE.ewma] = ms > old ? ms : old * kept + ms * (1 - kept)
    times[time + INSTANCE.ewmaAt] = now
  }

  /** Estimated response time in milliseconds, decayed to `now`; 0 when nothing is known. */
  responseTimeMs(now: number): number {
    const { times, time } = this.#record
    const ewma = times[time + INSTANCE.ewma]!
    if (ewma === 0) return 0
    return ewma * Math.exp(-Math.max(0, now - times[time + INSTANCE.ewmaAt]!) / DECAY_MS)
  }
}

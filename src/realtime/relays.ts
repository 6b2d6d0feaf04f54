import type { Clock } from "../lib/clock.ts"

/** A relay as its registry sees it. */
export interface RelayMember {
  /** The gateway is about to stop: tells both ends to go elsewhere. */
  shutdown(): void
  /** Called about once a second: drops what is idle, dead or takes too long to close. */
  sweep(nowMs: number): void
  /** Cuts both ends at once. */
  terminate(): void
}

export interface RelaysOptions {
  /** Relays at a time on this worker, those still connecting included. Default 10,000. */
  readonly max?: number
  readonly now: Clock
}

const DEFAULT_MAX = 10_000
const SWEEP_MS = 1000

/**
 * Every relay of one worker, bounded. One timer serves them all and runs only while there is one; a timer
 * each would cost more than an idle relay does.
 */
export class Relays {
  /** Relays at a time; a lower value ends none. */
  max: number
  readonly #now: Clock
  readonly #members = new Set<RelayMember>()
  #connecting = 0
  #timer: ReturnType<typeof setInterval> | undefined
  #draining = false
  #emptied: (() => void) | undefined

  constructor(options: RelaysOptions) {
    this.max = options.max ?? DEFAULT_MAX
    this.#now = options.now
  }

  /** Relays open or closing; without those still connecting. */
  get size(): number {
    return this.#members.size
  }

  /** True once `shutdown` was called: no new relay is taken. */
  get draining(): boolean {
    return this.#draining
  }

  /** Takes a place for a relay that is about to connect; `false`: none is free. Pair with `release`. */
  reserve(): boolean {
    if (this.#members.size + this.#connecting >= this.max) return false
    this.#connecting++
    return true
  }

  /** Gives the place of a connecting relay back, before `add` when it succeeded. */
  release(): void {
    this.#connecting--
  }

  add(relay: RelayMember): void {
    this.#members.add(relay)
    this.#timer ??= setInterval(() => this.sweep(), SWEEP_MS)
  }

  remove(relay: RelayMember): void {
    if (!this.#members.delete(relay) || this.#members.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#emptied?.()
  }

  /** Resolves when there is none any more; for after `shutdown`. */
  async emptied(): Promise<void> {
    if (this.#members.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#emptied = resolve
    await promise
  }

  /** Cuts every relay. */
  terminate(): void {
    for (const relay of [...this.#members]) relay.terminate()
  }

  /** One round over all relays; called by the registry's own timer, and by tests. */
  sweep(): void {
    const nowMs = this.#now()
    for (const relay of this.#members) relay.sweep(nowMs)
  }

  /** Closes every relay (1012, service restart) and refuses new ones. `size` falls to 0 as they end. */
  shutdown(): void {
    this.#draining = true
    for (const relay of this.#members) relay.shutdown()
  }
}

import type { InstanceState } from "./instance_state.ts"

/** Share of its weight that an instance gets at the start of its slow start. */
const SLOW_START_FLOOR = 0.1

/** An instance as the balancers of one compiled service see it. */
export class Member {
  /** Position among the service's members. */
  readonly index: number
  readonly url: string
  /** From 1; relative to the other members. */
  readonly weight: number
  readonly state: InstanceState
  readonly #slowStartMs: number

  constructor(index: number, url: string, weight: number, state: InstanceState, slowStartMs: number) {
    this.index = index
    this.url = url
    this.weight = weight
    this.state = state
    this.#slowStartMs = slowStartMs
  }

  /** Part of its weight it may have now: 1, or less while it starts slowly. */
  warmth(now: number): number {
    if (this.#slowStartMs === 0) return 1
    const age = now - this.state.availableSince
    // Ejected members are asked only in a panic, when there is nobody to start slowly beside.
    if (age < 0 || age >= this.#slowStartMs) return 1
    return Math.max(SLOW_START_FLOOR, age / this.#slowStartMs)
  }
}

import { touchService } from "./candidates.ts"
import type { Member } from "./member.ts"
import { SERVICE, serviceRecord, type UpstreamMemory } from "./memory.ts"
import type { EjectionConfig } from "./service.ts"

/**
 * Passive health of one service: an instance that fails real traffic several times in a row leaves for a
 * while and returns by itself (nothing needs to happen for that: its time runs out). Counts are shared by all
 * threads.
 */
export class Ejection {
  readonly #memory: UpstreamMemory
  readonly #slot: number
  readonly #worker: number
  readonly #config: EjectionConfig
  readonly #members: readonly Member[]
  /** How many may be ejected at a time. */
  readonly #limit: number

  /** `slot`: of the service. `worker`: number of this thread. */
  constructor(
    memory: UpstreamMemory,
    slot: number,
    worker: number,
    config: EjectionConfig,
    members: readonly Member[],
  ) {
    this.#memory = memory
    this.#slot = slot
    this.#worker = worker
    this.#config = config
    this.#members = members
    const share = Math.floor((members.length * config.max_percent) / 100)
    // The only instance is never ejected: there would be nobody to return to.
    this.#limit = members.length < 2 || config.max_percent === 0 ? 0 : Math.max(1, share)
  }

  /** `generation`: the member's `ejectionGeneration` when the request began. */
  succeeded(member: Member, generation: number): void {
    if (member.state.ejectionGeneration === generation) member.state.clearFailures()
  }

  /** Returns whether this failure ejected the member. */
  failed(member: Member, generation: number, now: number): boolean {
    const { state } = member
    if (this.#limit === 0 || state.ejectionGeneration !== generation || state.ejectedUntil > now) return false
    if (state.addFailure() < this.#config.consecutive_failures) return false
    return this.#eject(member, generation, now)
  }

  #eject(member: Member, generation: number, now: number): boolean {
    const { words, word } = serviceRecord(this.#memory, this.#slot)
    const lock = word + SERVICE.ejectionLock
    // Never waits: the count stays where it is, and the next failure asks again.
    if (Atomics.compareExchange(words, lock, 0, this.#worker + 1) !== 0) return false
    try {
      const { state } = member
      if (state.ejectionGeneration !== generation) return false
      let ejected = 0
      for (const other of this.#members) if (other.state.ejectedUntil > now) ejected++
      if (ejected >= this.#limit) return false
      // Each stretch of `base_time` spent in service makes up for one earlier ejection.
      const madeUp = Math.floor((now - state.ejectedUntil) / Math.max(1, this.#config.base_time))
      const ejections = Math.max(0, state.ejections - madeUp) + 1
      state.eject(now + Math.min(this.#config.base_time * ejections, this.#config.max_time), ejections)
      touchService(this.#memory, this.#slot)
      return true
    } finally {
      Atomics.store(words, lock, 0)
    }
  }
}

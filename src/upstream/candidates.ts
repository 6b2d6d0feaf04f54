import type { Member } from "./member.ts"
import { SERVICE, type SharedRecord, serviceRecord, type UpstreamMemory } from "./memory.ts"

/** Members that may be asked; never empty when given to a balancer. */
export interface Candidates {
  readonly list: readonly Member[]
  /** Running sums of their weights; `undefined` when all weigh the same. */
  readonly cumulative: readonly number[] | undefined
  /** Sum of their weights. */
  readonly totalWeight: number
  has(member: Member): boolean
}

/** A fixed set of candidates. */
export function candidatesOf(list: readonly Member[]): Candidates {
  const cumulative: number[] = []
  let totalWeight = 0
  let even = true
  for (const member of list) {
    totalWeight += member.weight
    cumulative.push(totalWeight)
    if (member.weight !== list[0]!.weight) even = false
  }
  const members = new Set(list)
  return {
    list,
    cumulative: even ? undefined : cumulative,
    totalWeight,
    has: (member) => members.has(member),
  }
}

/** Tells every thread that the health, ejection or draining of an instance of this service has changed. */
export function touchService(memory: UpstreamMemory, slot: number): void {
  const { words, word } = serviceRecord(memory, slot)
  Atomics.add(words, word + SERVICE.version, 1)
}

/**
 * The candidates of one service, computed again only when health, ejections or draining have changed or an
 * ejection has run out: a request costs one atomic read and one comparison.
 */
export class CandidateCache {
  readonly #members: readonly Member[]
  readonly #panicThreshold: number
  readonly #record: SharedRecord
  #version = -1
  #validUntil = 0
  #candidates: Candidates

  /** `panicThreshold`: percent; below it all members are candidates; 0: never. */
  constructor(memory: UpstreamMemory, slot: number, members: readonly Member[], panicThreshold: number) {
    this.#members = members
    this.#panicThreshold = panicThreshold
    this.#record = serviceRecord(memory, slot)
    this.#candidates = candidatesOf(members)
  }

  /** May be empty when nothing is available and there is no panic mode. */
  at(now: number): Candidates {
    // Read before the members are looked at: a change in between makes the next call look again.
    const version = Atomics.load(this.#record.words, this.#record.word + SERVICE.version)
    if (version !== this.#version || now >= this.#validUntil) {
      this.#candidates = this.#compute(now)
      this.#version = version
    }
    return this.#candidates
  }

  /** What is left without those that were tried; all of them when nothing is. */
  without(tried: readonly Member[], now: number): Candidates {
    const all = this.at(now)
    const rest = all.list.filter((member) => !tried.includes(member))
    return rest.length === 0 ? all : candidatesOf(rest)
  }

  #compute(now: number): Candidates {
    let validUntil = Number.POSITIVE_INFINITY
    // Who is draining counts for nothing, in a panic too.
    const members = this.#members.filter(({ state }) => !state.draining)
    const available = members.filter(({ state }) => {
      const { ejectedUntil } = state
      if (ejectedUntil > now) validUntil = Math.min(validUntil, ejectedUntil)
      return state.healthy && ejectedUntil <= now
    })
    this.#validUntil = validUntil
    const panic = available.length * 100 < this.#panicThreshold * members.length
    return candidatesOf(panic ? members : available)
  }
}

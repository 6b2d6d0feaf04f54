import type { Registered } from "./registration.ts"

/** What may happen to an instance of the registry. */
export type RegistryEventType =
  | "registered"
  | "changed"
  | "draining"
  | "undrained"
  | "deregistered"
  | "expired"

export interface RegistryEvent {
  /** Rises by one with each. */
  readonly revision: number
  readonly type: RegistryEventType
  /** As it is from then on; as it was last when it left. */
  readonly instance: Registered
}

/** Events kept for those who come back for what they missed. */
export const MAX_EVENTS = 4096

/**
 * The last events of the registry, numbered. A place in them is told as text, which means nothing to another gateway or
 * to this one after a restart.
 */
export class RegistryEvents {
  readonly #epoch: string
  /** Oldest first, without gaps. */
  readonly #events: RegistryEvent[] = []
  #revision = 0

  /** `epoch`: unlike that of any other run; letters and digits. */
  constructor(epoch: string) {
    this.#epoch = epoch
  }

  add(type: RegistryEventType, instance: Registered): void {
    this.#events.push({ revision: ++this.#revision, type, instance })
    // In one go now and then: moving all up for each would cost more.
    if (this.#events.length >= 2 * MAX_EVENTS) this.#events.splice(0, MAX_EVENTS)
  }

  /** Where the events are now: what `since` takes. */
  get place(): string {
    return this.placeOf(this.#revision)
  }

  placeOf(revision: number): string {
    return `${this.#epoch}-${revision}`
  }

  /** What came after this place; `undefined`: it is not known here, or too old. */
  since(place: string): readonly RegistryEvent[] | undefined {
    const found = /^([0-9a-z]{1,32})-(\d{1,15})$/.exec(place)
    if (found === null || found[1] !== this.#epoch) return undefined
    const revision = Number(found[2])
    const first = this.#revision - this.#events.length
    if (revision > this.#revision || revision < first) return undefined
    return this.#events.slice(revision - first)
  }
}

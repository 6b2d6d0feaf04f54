import type { Clock } from "../lib/clock.ts"
import type { FoundOrigin } from "./discovery/settings.ts"
import {
  clearInstance,
  clearService,
  MAX_INSTANCES,
  MAX_SERVICES,
  renewInstance,
  type UpstreamMemory,
} from "./memory.ts"
import type { ServiceConfig } from "./service.ts"

/** Where each service and instance has its record in shared memory. Plain data, posted with the config. */
export interface Slots {
  readonly services: Readonly<Record<string, number>>
  /** Keyed by `instanceKey(service, url)`. */
  readonly instances: Readonly<Record<string, number>>
}

/** Identity of an instance over reloads: its service's name and its URL. */
export function instanceKey(service: string, url: string): string {
  return `${service}\n${url}`
}

/** URL of an instance as config writes it, long or short. */
export function instanceUrl(instance: ServiceConfig["instances"][number]): string {
  return typeof instance === "string" ? instance : instance.url
}

/** Where an instance is known from; `undefined`: config lists it. */
export function originOf(instance: ServiceConfig["instances"][number]): FoundOrigin | undefined {
  return typeof instance === "string" ? undefined : instance.found
}

/**
 * Gives out records by identity, so that health, breaker and counts survive reloads. For the control thread
 * only. Who comes back gets its own record again while nobody else has it; else a freed record is used as late
 * as possible: requests of the old owner may still be under way.
 */
export class SlotDirectory {
  readonly #memory: UpstreamMemory
  readonly #now: Clock
  readonly #services = new SlotTable("services", MAX_SERVICES)
  readonly #instances = new SlotTable("instances", MAX_INSTANCES)

  constructor(memory: UpstreamMemory, now: Clock) {
    this.#memory = memory
    this.#now = now
  }

  /** Throws when there are more than the memory holds; then nothing has changed. */
  assign(services: Readonly<Record<string, ServiceConfig>>): Slots {
    const names = Object.keys(services)
    const keys = new Set<string>()
    for (const name of names)
      for (const instance of services[name]!.instances) keys.add(instanceKey(name, instanceUrl(instance)))
    this.#services.check(names.length)
    this.#instances.check(keys.size)
    return {
      services: this.#services.assign(new Set(names), {
        clear: (slot) => clearService(this.#memory, slot),
        // The circuit of a service that was away for a moment is where it was.
        renew: () => undefined,
      }),
      instances: this.#instances.assign(keys, {
        clear: (slot) => clearInstance(this.#memory, slot, this.#now()),
        renew: (slot) => renewInstance(this.#memory, slot, this.#now()),
      }),
    }
  }

  /** Takes the last `assign` back: what `slots`, the one before it, had given out is in use again as it was. */
  restore(slots: Slots): void {
    this.#services.restore(slots.services)
    this.#instances.restore(slots.instances)
  }
}

interface Records {
  /** For a new owner. */
  clear(slot: number): void
  /** For the owner it had before. */
  renew(slot: number): void
}

class SlotTable {
  readonly #noun: string
  readonly #capacity: number
  readonly #used = new Map<string, number>()
  /** By who had it last; oldest freed first. */
  readonly #freed = new Map<string, number>()
  #next = 0

  constructor(noun: string, capacity: number) {
    this.#noun = noun
    this.#capacity = capacity
  }

  check(wanted: number): void {
    if (wanted > this.#capacity)
      throw new Error(
        `Assigning shared memory: ${wanted} ${this.#noun} are configured; at most ${this.#capacity} fit.`,
      )
  }

  assign(keys: ReadonlySet<string>, records: Records): Record<string, number> {
    for (const [key, slot] of this.#used) {
      if (keys.has(key)) continue
      this.#used.delete(key)
      this.#freed.set(key, slot)
    }
    const slots: Record<string, number> = Object.create(null)
    for (const key of keys) {
      let slot = this.#used.get(key) ?? this.#comeBack(key, records)
      if (slot === undefined) {
        slot = this.#next < this.#capacity ? this.#next++ : this.#oldestFreed()
        records.clear(slot)
        this.#used.set(key, slot)
      }
      slots[key] = slot
    }
    return slots
  }

  #comeBack(key: string, records: Records): number | undefined {
    const slot = this.#freed.get(key)
    if (slot === undefined) return undefined
    this.#freed.delete(key)
    records.renew(slot)
    this.#used.set(key, slot)
    return slot
  }

  #oldestFreed(): number {
    const [key, slot] = this.#freed.entries().next().value!
    this.#freed.delete(key)
    return slot
  }

  restore(slots: Readonly<Record<string, number>>): void {
    for (const [key, slot] of this.#used) if (slots[key] !== slot) this.#freed.set(key, slot)
    this.#used.clear()
    for (const key in slots) this.#used.set(key, slots[key]!)
    const used = new Set(this.#used.values())
    for (const [key, slot] of this.#freed) if (used.has(slot)) this.#freed.delete(key)
  }
}

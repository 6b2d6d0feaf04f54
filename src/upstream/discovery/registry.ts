import type { Clock } from "../../lib/clock.ts"
import type { Registered } from "./registration.ts"
import { RegistryEvents, type RegistryEventType } from "./registry_events.ts"
import type { DiscoverySource, FoundInstance, FoundService } from "./source.ts"

/** Services, instances of one service, and instances in all that may be registered. */
export const MAX_REGISTERED_SERVICES = 512
export const MAX_INSTANCES_EACH = 512
export const MAX_REGISTERED = 2048

/**
 * Who decides that a TTL has ended. alone: this gateway, by the heartbeats it got. shared: Redis, by those of all
 * gateways. cut_off: Redis, which is away; so only what nobody but this gateway has heard of since it came leaves,
 * as heartbeats of all else may be coming to others.
 */
export type ExpiryRule = "alone" | "shared" | "cut_off"

export interface RegistryDeps {
  readonly now: Clock
  /** Unlike that of any other run; letters and digits. */
  readonly epoch: string
  /** Told of each event, after it is in `events`. */
  readonly onEvent: (type: RegistryEventType, instance: Registered) => void
}

interface Entry {
  readonly instance: Registered
  /** When this gateway last had a heartbeat; -Infinity: never. */
  readonly beatAt: number
  /** When its TTL ends, by the heartbeats that came here. */
  readonly endsAt: number
  /** Whether no other gateway has had a heartbeat of it. */
  readonly alone: boolean
}

export type Put =
  | { readonly kind: "created" | "updated"; readonly instance: Registered }
  | { readonly kind: "full"; readonly message: string }

type Instances = Map<string, Entry>

/**
 * Instances that registered themselves. State alone: it has no timers and no connections; what is told by other
 * gateways comes in by `take` and `drop`.
 */
export class Registry implements DiscoverySource {
  readonly name = "registry"
  readonly events: RegistryEvents
  readonly #deps: RegistryDeps
  readonly #services = new Map<string, Instances>()
  /** Service of each instance, by id. */
  readonly #homes = new Map<string, string>()
  #changed: ((services: readonly FoundService[]) => void) | undefined
  #told: readonly FoundService[] | undefined
  /** Whether `changed` may have to be told. */
  #dirty = false
  #holding = 0

  constructor(deps: RegistryDeps) {
    this.#deps = deps
    this.events = new RegistryEvents(deps.epoch)
  }

  start(changed: (services: readonly FoundService[]) => void): void {
    this.#changed = changed
    this.#dirty = this.size > 0
    this.#tell()
  }

  close(): void {
    this.#changed = undefined
  }

  get size(): number {
    return this.#homes.size
  }

  /** Names of services with instances. */
  services(): Iterable<string> {
    return this.#services.keys()
  }

  /** In the order they came. */
  *instances(): Iterable<Registered> {
    for (const instances of this.#services.values())
      for (const { instance } of instances.values()) yield instance
  }

  instancesOf(service: string): readonly Registered[] {
    return [...(this.#services.get(service)?.values() ?? [])].map(({ instance }) => instance)
  }

  find(service: string, id: string): Registered | undefined {
    return this.#services.get(service)?.get(id)?.instance
  }

  /** By its id alone, which no two services share. */
  findById(id: string): Registered | undefined {
    const service = this.#homes.get(id)
    return service === undefined ? undefined : this.find(service, id)
  }

  /**
   * Takes a registration. The same service and URL again is the same instance with other words; whether it drains
   * stays as it is. A registration is a heartbeat too.
   */
  register(wanted: Registered): Put {
    const known = this.#services.get(wanted.service)?.get(wanted.id)
    if (known === undefined) {
      const message = this.#fullFor(wanted.service)
      if (message !== undefined) return { kind: "full", message }
      this.#set(wanted, this.#beat(wanted), true)
      this.#event("registered", wanted)
      return { kind: "created", instance: wanted }
    }
    const next = { ...wanted, draining: known.instance.draining }
    const same = Bun.deepEquals({ ...next, registeredAt: known.instance.registeredAt }, known.instance)
    const instance = same ? known.instance : next
    this.#set(instance, this.#beat(instance), known.alone)
    if (!same) this.#event("changed", instance)
    return { kind: "updated", instance }
  }

  /** `undefined`: there is no such instance, and it must register anew. */
  heartbeat(service: string, id: string): Registered | undefined {
    const known = this.#services.get(service)?.get(id)
    if (known === undefined) return undefined
    this.#set(known.instance, this.#beat(known.instance), known.alone)
    return known.instance
  }

  /** `undefined`: there is no such instance. */
  deregister(service: string, id: string): Registered | undefined {
    return this.#remove(service, id, "deregistered")
  }

  /** It finishes what it has and gets nothing new; or does again. `undefined`: there is no such instance. */
  drain(service: string, id: string, draining: boolean): Registered | undefined {
    const known = this.#services.get(service)?.get(id)
    if (known === undefined || known.instance.draining === draining) return known?.instance
    const instance = { ...known.instance, draining }
    this.#set(instance, known, known.alone)
    this.#event(draining ? "draining" : "undrained", instance)
    return instance
  }

  /** Lets those go whose TTL has ended, by the rule; tells which. */
  expire(rule: ExpiryRule): readonly Registered[] {
    if (rule === "shared") return []
    const at = this.#deps.now()
    const ended = [...this.#entries()].filter(
      ({ endsAt, alone }) => endsAt <= at && (rule === "alone" || alone),
    )
    this.hold(() => {
      for (const { instance } of ended) this.#remove(instance.service, instance.id, "expired")
    })
    return ended.map(({ instance }) => instance)
  }

  /** What another gateway says of an instance. `alone`: only this gateway has had heartbeats of it. What does not fit is left out. */
  take(instance: Registered, alone: boolean): void {
    const known = this.#services.get(instance.service)?.get(instance.id)
    if (known === undefined) {
      if (this.#fullFor(instance.service) !== undefined) return
      this.#set(instance, NEVER, alone)
      this.#event("registered", instance)
      return
    }
    const before = known.instance
    // Its TTL may have changed; by how much counts from the last heartbeat.
    this.#set(instance, { ...known, endsAt: endOf(instance, known.beatAt) }, alone)
    if (before.draining !== instance.draining)
      this.#event(instance.draining ? "draining" : "undrained", instance)
    else if (!Bun.deepEquals(before, instance)) this.#event("changed", instance)
  }

  /** Another gateway says it is gone. */
  drop(instance: Registered, type: "deregistered" | "expired"): void {
    this.#remove(instance.service, instance.id, type)
  }

  /** Whether this gateway has had a heartbeat of it within its TTL. What needs none lives as long as it is known. */
  isAlive({ service, id }: Registered): boolean {
    const entry = this.#services.get(service)?.get(id)
    return entry !== undefined && entry.beatAt !== NEVER.beatAt && entry.endsAt > this.#deps.now()
  }

  /** Does several things and tells of them once. */
  hold(run: () => void): void {
    this.#holding++
    try {
      run()
    } finally {
      this.#holding--
      this.#tell()
    }
  }

  *#entries(): Iterable<Entry> {
    for (const instances of this.#services.values()) yield* instances.values()
  }

  #beat(instance: Registered): Pick<Entry, "beatAt" | "endsAt"> {
    const beatAt = this.#deps.now()
    return { beatAt, endsAt: endOf(instance, beatAt) }
  }

  #set(instance: Registered, { beatAt, endsAt }: Pick<Entry, "beatAt" | "endsAt">, alone: boolean): void {
    let instances = this.#services.get(instance.service)
    if (instances === undefined) this.#services.set(instance.service, (instances = new Map()))
    this.#homes.set(instance.id, instance.service)
    instances.set(instance.id, { instance, beatAt, endsAt, alone })
  }

  #remove(service: string, id: string, type: "deregistered" | "expired"): Registered | undefined {
    const instances = this.#services.get(service)
    const instance = instances?.get(id)?.instance
    if (instances === undefined || instance === undefined) return undefined
    instances.delete(id)
    if (instances.size === 0) this.#services.delete(service)
    this.#homes.delete(id)
    this.#event(type, instance)
    return instance
  }

  #event(type: RegistryEventType, instance: Registered): void {
    this.events.add(type, instance)
    this.#deps.onEvent(type, instance)
    this.#dirty = true
    this.#tell()
  }

  #tell(): void {
    if (!this.#dirty || this.#holding > 0 || this.#changed === undefined) return
    this.#dirty = false
    const found = this.#found()
    // An event may be about what sources do not tell, such as the version.
    if (this.#told !== undefined && Bun.deepEquals(found, this.#told)) return
    this.#told = found
    this.#changed(found)
  }

  #found(): readonly FoundService[] {
    return [...this.#services].map(([name, instances]) => {
      const all = [...instances.values()].map(({ instance }) => instance)
      const latest = all.reduce((one, other) => (isLater(other, one) ? other : one))
      return { name, instances: all.map(toFound), dependsOn: latest.dependsOn, check: latest.check }
    })
  }

  #fullFor(service: string): string | undefined {
    if (this.size >= MAX_REGISTERED) return `There are ${MAX_REGISTERED} registered instances already.`
    const instances = this.#services.get(service)
    if (instances === undefined)
      return this.#services.size < MAX_REGISTERED_SERVICES
        ? undefined
        : `There are ${MAX_REGISTERED_SERVICES} registered services already.`
    return instances.size < MAX_INSTANCES_EACH
      ? undefined
      : `The service has ${MAX_INSTANCES_EACH} registered instances already.`
  }
}

/** Nothing was heard of it here. */
const NEVER = { beatAt: Number.NEGATIVE_INFINITY, endsAt: Number.POSITIVE_INFINITY }

function endOf({ ttlMs }: Registered, beatAt: number): number {
  return ttlMs === 0 || beatAt === NEVER.beatAt ? Number.POSITIVE_INFINITY : beatAt + ttlMs
}

/** What a service needs and how it is checked is what the instance that came last says, on all gateways alike. */
const isLater = (one: Registered, other: Registered): boolean =>
  one.registeredAt > other.registeredAt || (one.registeredAt === other.registeredAt && one.id > other.id)

const toFound = ({ url, weight, zone, tags, draining }: Registered): FoundInstance => ({
  url,
  weight,
  zone,
  tags,
  draining,
})

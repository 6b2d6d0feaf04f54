import { madeHealth, madeRoute, madeService } from "../config/made.ts"
import type { Config, RouteConfig } from "../config/schema.ts"
import { BoundedMap } from "../lib/bounded_map.ts"
import { parseAddress } from "../upstream/address.ts"
import { AddressRule } from "../upstream/discovery/address_rule.ts"
import { dependsOn } from "../upstream/discovery/graph.ts"
import type { InstanceEntry } from "../upstream/discovery/settings.ts"
import type { Dependency, FoundInstance, FoundService } from "../upstream/discovery/source.ts"
import { MAX_INSTANCES, MAX_SERVICES } from "../upstream/memory.ts"
import { MAX_SERVICE_INSTANCES, type ServiceConfig } from "../upstream/service.ts"
import { instanceKey, instanceUrl } from "../upstream/slots.ts"
import { TakenPaths } from "./taken_paths.ts"

/** All one source has told. */
export interface Told {
  readonly source: string
  /** The one service it is asked about; `undefined`: it may know any. */
  readonly about: string | undefined
  readonly services: readonly FoundService[]
}

/** Something a source has told that is not taken. */
export interface Refused {
  readonly source: string
  readonly service: string
  /** "": it is about the service. */
  readonly instance: string
  readonly reason: string
}

/** The configuration to be in force. */
export interface Effective {
  /** Services and lists that are as they were last time are the very same objects. */
  readonly config: Config
  /** Keys (`instanceKey`) of instances that get nothing new. */
  readonly draining: ReadonlySet<string>
  readonly refused: readonly Refused[]
  /** When it will change by itself, on the scale of lib/clock.ts; Infinity: never. */
  readonly nextAt: number
}

/**
 * How long a service that was known by a source alone keeps its route after the source has forgotten it: clients
 * of one that is started anew hear 503, not 404.
 */
const LINGER_MS = 60_000

const SERVICE_NAME = /^[a-z][a-z0-9_-]{0,62}$/

interface Merged {
  readonly base: ServiceConfig
  readonly text: string
  readonly service: ServiceConfig
}

/** Joins what the file says and what sources have told. */
export class EffectiveConfig {
  #merged = new Map<string, Merged>()
  /** When each service that config does not name was last told of. */
  readonly #made = new Map<string, number>()
  #addresses = new Addresses([])
  #routes: { readonly base: Config; readonly made: string; readonly routes: Config["routes"] } | undefined
  #taken: { readonly base: Config; readonly paths: TakenPaths } | undefined
  readonly #builtins: (config: Config) => readonly string[]

  /** `builtins`: paths the gateway itself answers. */
  constructor(builtins: (config: Config) => readonly string[] = () => []) {
    this.#builtins = builtins
  }

  /** `drained`: keys of instances an operator has taken out. Never throws. */
  merge(base: Config, told: readonly Told[], drained: ReadonlySet<string>, now: number): Effective {
    if (!this.#addresses.areOf(base.discovery.allow)) this.#addresses = new Addresses(base.discovery.allow)
    if (this.#taken?.base !== base) this.#taken = { base, paths: new TakenPaths(base, this.#builtins(base)) }
    const { paths } = this.#taken
    const join = new Join(base, this.#addresses, paths)
    for (const each of told) for (const service of each.services) join.take(each, service)
    const names = this.#lingering(base, join, paths, now)
    const merged = new Map<string, Merged>()
    const services: Record<string, ServiceConfig> = {}
    const found = join.finish(names)
    for (const [name, { from, instances, dependencies, check }] of found) {
      const text = JSON.stringify([instances, dependencies, check])
      const known = this.#merged.get(name)
      const same = known !== undefined && known.base === from && known.text === text
      const one = same ? known : { base: from, text, service: complete(from, instances, dependencies, check) }
      merged.set(name, one)
      services[name] = one.service
    }
    this.#merged = merged
    return {
      config: { ...base, services, routes: this.#routesOf(base, names) },
      draining: new Set([...join.draining, ...drained]),
      refused: join.refused,
      nextAt: Math.min(...[...this.#made.values()].map((at) => (at === now ? Infinity : at + LINGER_MS))),
    }
  }

  /** Names of the services to make, those included that are gone for a short while. */
  #lingering(base: Config, join: Join, paths: TakenPaths, now: number): readonly string[] {
    if (base.discovery.routes === undefined) this.#made.clear()
    for (const name of join.made) this.#made.set(name, now)
    for (const [name, at] of this.#made)
      if (
        now - at >= LINGER_MS ||
        Object.hasOwn(base.services, name) ||
        paths.problem(pathOf(base, name)) !== undefined
      )
        this.#made.delete(name)
    this.#makeRoom(MAX_SERVICES - Object.keys(base.services).length, join.made)
    return [...this.#made.keys()].sort()
  }

  /** Those that left first are not waited for where the room is needed: nothing new could be put in force. */
  #makeRoom(room: number, told: ReadonlySet<string>): void {
    if (this.#made.size <= room) return
    const gone = [...this.#made].filter(([name]) => !told.has(name)).sort(([, a], [, b]) => a - b)
    for (const [name] of gone.slice(0, this.#made.size - room)) this.#made.delete(name)
  }

  #routesOf(base: Config, made: readonly string[]): Config["routes"] {
    if (made.length === 0) return base.routes
    const names = made.join()
    if (this.#routes?.base !== base || this.#routes.made !== names) {
      const routes = made.map((name): RouteConfig => {
        return madeRoute(pathOf(base, name), name)
      })
      this.#routes = { base, made: names, routes: [...base.routes, ...routes] }
    }
    return this.#routes.routes
  }
}

/** Path of the route by rule; there must be a rule. */
const pathOf = ({ discovery }: Config, name: string): string => discovery.routes!.replace("{service}", name)

/** What is known of a found URL: its canonical text, or why it is not taken. */
type KnownAddress = { readonly text: string } | { readonly problem: string }

/** Found URLs that have been looked at: the same come again and again. */
class Addresses {
  readonly #allow: string
  readonly #rule: AddressRule
  readonly #known = new BoundedMap<KnownAddress>(2 * MAX_INSTANCES)

  constructor(allow: readonly string[]) {
    this.#allow = allow.join()
    this.#rule = new AddressRule(allow)
  }

  areOf(allow: readonly string[]): boolean {
    return this.#allow === allow.join()
  }

  of(url: string): KnownAddress {
    let known = this.#known.get(url)
    if (known === undefined) {
      const problem = this.#rule.problem(url)
      known = problem === undefined ? { text: parseAddress(url).text } : { problem }
      this.#known.set(url, known)
    }
    return known
  }
}

interface Joined {
  readonly from: ServiceConfig
  readonly instances: InstanceEntry[]
  readonly dependencies: Dependency[]
  check: FoundService["check"]
}

/** What config says of a service no config names. */
let ofNothing: ServiceConfig | undefined

/** One joining: what has been taken so far. */
class Join {
  readonly #base: Config
  readonly #addresses: Addresses
  readonly #paths: TakenPaths
  readonly #joined = new Map<string, Joined>()
  /** URL in force, by service and canonical text. */
  readonly #seen = new Map<string, string>()
  #instances = 0
  readonly draining = new Set<string>()
  readonly refused: Refused[] = []
  readonly made = new Set<string>()

  constructor(base: Config, addresses: Addresses, paths: TakenPaths) {
    this.#base = base
    this.#addresses = addresses
    this.#paths = paths
    for (const [name, service] of Object.entries(base.services)) {
      this.#joined.set(name, start(service))
      for (const entry of service.instances) {
        const url = instanceUrl(entry)
        this.#seen.set(instanceKey(name, parseAddress(url).text), url)
        this.#instances++
      }
    }
  }

  take({ source, about }: Told, service: FoundService): void {
    const { name } = service
    const refuse = (instance: string, reason: string): void =>
      void this.refused.push({ source, service: name, instance, reason })
    const joined = this.#place(source, about, name, refuse)
    if (joined === undefined) return
    joined.check ??= service.check
    for (const each of service.dependsOn) {
      if (joined.from.depends_on.some((known) => known.service === each.service)) continue
      if (joined.dependencies.some((known) => known.service === each.service)) continue
      joined.dependencies.push(each)
    }
    for (const each of service.instances) this.#takeInstance(source, name, joined, each, refuse)
  }

  /** All services, those that are only `named` too, each without dependencies that would close a circle. */
  finish(named: readonly string[]): ReadonlyMap<string, Joined> {
    for (const name of named)
      if (!this.#joined.has(name)) this.#joined.set(name, start((ofNothing ??= madeService())))
    const graph = new Map<string, Dependency[]>()
    for (const [name, { from }] of this.#joined) graph.set(name, [...from.depends_on])
    for (const [name, { dependencies }] of this.#joined) {
      const taken = dependencies.splice(0)
      for (const each of taken) {
        if (each.service !== name && !dependsOn(graph, each.service, name)) {
          graph.get(name)!.push(each)
          dependencies.push(each)
          continue
        }
        const reason = `depending on ${each.service} would close a circle`
        this.refused.push({ source: "dependencies", service: name, instance: "", reason })
      }
    }
    return this.#joined
  }

  #place(
    source: string,
    about: string | undefined,
    name: string,
    refuse: (instance: string, reason: string) => void,
  ): Joined | undefined {
    const { services, discovery } = this.#base
    if (Object.hasOwn(services, name)) {
      const discover: Readonly<Record<string, unknown>> = services[name]!.discover ?? {}
      // A source may still tell what a config before this one has asked it.
      const asked = about === undefined ? discover.registry === true : discover[source] !== undefined
      return asked && (about ?? name) === name ? this.#joined.get(name) : undefined
    }
    if (about !== undefined || discovery.routes === undefined) return undefined
    if (this.made.has(name)) return this.#joined.get(name)
    if (!SERVICE_NAME.test(name)) {
      refuse("", "a service's name is lower-case letters, digits, - and _, and starts with a letter")
      return undefined
    }
    const taken = this.#paths.problem(pathOf(this.#base, name))
    if (taken !== undefined) {
      refuse("", `it gets no route: ${taken}`)
      return undefined
    }
    if (this.#joined.size >= MAX_SERVICES) {
      refuse("", `there are ${MAX_SERVICES} services already`)
      return undefined
    }
    const joined = start((ofNothing ??= madeService()))
    this.#joined.set(name, joined)
    this.made.add(name)
    return joined
  }

  #takeInstance(
    source: string,
    name: string,
    joined: Joined,
    found: FoundInstance,
    refuse: (instance: string, reason: string) => void,
  ): void {
    const address = this.#addresses.of(found.url)
    if ("problem" in address) {
      refuse(found.url, address.problem)
      return
    }
    const { text } = address
    const known = this.#seen.get(instanceKey(name, text))
    const count = joined.from.instances.length + joined.instances.length
    if (known === undefined && (count >= MAX_SERVICE_INSTANCES || this.#instances >= MAX_INSTANCES)) {
      refuse(found.url, `there are ${count} instances already`)
      return
    }
    // Who says so last is believed: to drain is to be careful.
    if (found.draining) this.draining.add(instanceKey(name, known ?? text))
    if (known !== undefined) return
    this.#seen.set(instanceKey(name, text), text)
    this.#instances++
    const { zone, tags } = found
    joined.instances.push({ url: text, weight: found.weight, found: { source, zone, tags } })
  }
}

const start = (from: ServiceConfig): Joined => ({ from, instances: [], dependencies: [], check: undefined })

function complete(
  from: ServiceConfig,
  instances: readonly InstanceEntry[],
  dependencies: readonly Dependency[],
  check: FoundService["check"],
): ServiceConfig {
  if (instances.length === 0 && dependencies.length === 0 && check === undefined) return from
  const health = from.health ?? (check && { ...madeHealth(check.path), ...timesOf(check.interval) })
  return Object.freeze({
    ...from,
    // In one order, whatever the order in which they were found.
    instances: [...from.instances, ...instances.toSorted((a, b) => (a.url < b.url ? -1 : 1))],
    depends_on: [...from.depends_on, ...dependencies],
    ...(health && { health }),
  })
}

const timesOf = (interval: number) => ({ interval, timeout: Math.min(2000, Math.floor(interval / 2)) })

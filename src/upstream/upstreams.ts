import type { Clock } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { Priority } from "../observe/priority.ts"
import type { AskFailure } from "./ask.ts"
import type { Balancer } from "./balance/balancer.ts"
import { createBalancer } from "./balance/create.ts"
import { Breaker } from "./breaker.ts"
import { CandidateCache } from "./candidates.ts"
import { ConcurrencyLimiter } from "./concurrency.ts"
import { AddressRule } from "./discovery/address_rule.ts"
import { Ejection } from "./ejection.ts"
import { Instance } from "./instance.ts"
import { Member } from "./member.ts"
import { SERVICE, serviceRecord, type UpstreamMemory } from "./memory.ts"
import type { PoolOptions } from "./pool.ts"
import { toPoolOptions } from "./pool_options.ts"
import { type LookUp, lookUpName, type ResolverDeps } from "./resolved_address.ts"
import { compileRetry, RetryBudget, type RetryRules } from "./retry.ts"
import type { ServiceConfig } from "./service.ts"
import { instanceKey, instanceUrl, originOf, type Slots } from "./slots.ts"

/** How one attempt ended, for metrics. */
export type AttemptKind = "success" | "server_error" | AskFailure

/** Something operators want to know, seen by this thread. Also logged. */
export type UpstreamChange =
  | { readonly kind: "ejected"; readonly service: string; readonly instance: string; readonly forMs: number }
  | { readonly kind: "circuit"; readonly service: string; readonly state: "open" | "closed" | "half_open" }

export interface UpstreamDeps {
  readonly now: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Log
  /** Told of every attempt when it ended. Must not throw. */
  readonly onAttempt?: (service: Service, instance: Instance, kind: AttemptKind) => void
  readonly onChange?: (change: UpstreamChange) => void
  /** Told of every request refused as its service has as many as its `concurrency` allows. Must not throw. */
  readonly onShed?: (priority: Priority) => void
  /** Waits between attempts; default: a timer. */
  readonly sleep?: (ms: number) => Promise<void>
  /** Default: the system's resolver. */
  readonly lookUp?: LookUp
}

/** A service compiled for one worker: immutable; what lives is in its instances and in shared memory. */
export interface Service {
  readonly name: string
  readonly config: ServiceConfig
  /** In the order of config; `members[i]` is how balancers see `instances[i]`. */
  readonly instances: readonly Instance[]
  readonly members: readonly Member[]
  readonly candidates: CandidateCache
  /** `undefined`: there is one instance and nothing to choose. */
  readonly balancer: Balancer | undefined
  readonly breaker: Breaker | undefined
  readonly ejection: Ejection
  readonly retry: RetryRules
  readonly budget: RetryBudget
  /** `undefined`: only the pools bound how many requests it is given at a time. */
  readonly concurrency: ConcurrencyLimiter | undefined
  readonly deps: Required<Pick<UpstreamDeps, "now" | "random" | "log" | "sleep">> &
    Pick<UpstreamDeps, "onAttempt" | "onChange" | "onShed">
}

/**
 * How long the connections to an instance stay usable after config has dropped it: requests that hold the
 * older config may ask it until then. Those under way go on to their end in any case.
 */
const RETIRE_AFTER_MS = 60_000

interface Kept {
  readonly instance: Instance
  /** What its pool was made from. */
  readonly made: string
}

/** The instances of one service, by URL. */
type KeptInstances = Map<string, Kept>

interface InstanceParts {
  readonly options: PoolOptions
  /** What its pool is made from. */
  readonly made: string
  /** Whether a source has named it. */
  readonly found: boolean
  readonly slots: Slots
  readonly kept: KeptInstances
}

const retiredKey = (service: string, url: string, made: string): string =>
  `${instanceKey(service, url)}\n${made}`

/** All services of one worker thread. Instances are kept over reloads by identity. */
export class Upstreams {
  readonly #memory: UpstreamMemory
  readonly #worker: number
  readonly #deps: UpstreamDeps
  readonly #serviceDeps: Service["deps"]
  /** By service. */
  #kept = new Map<string, KeptInstances>()
  /** By service: what they have learned stays over reloads that do not change their config. */
  #limiters = new Map<string, { readonly limiter: ConcurrencyLimiter; readonly made: string }>()
  /** By service, URL and what the pool was made from: one that comes back has its connections still. */
  readonly #retired = new Map<string, { readonly kept: Kept; readonly timer: Timer }>()
  /** By name, as they were compiled last. */
  readonly #services = new Map<string, Service>()
  #rule = new AddressRule([])
  /** What the rule was made from. */
  #allow = ""

  constructor(memory: UpstreamMemory, worker: number, deps: UpstreamDeps) {
    this.#memory = memory
    this.#worker = worker
    this.#deps = deps
    this.#serviceDeps = { ...deps, sleep: deps.sleep ?? Bun.sleep }
  }

  /**
   * Compiles the services; those that were there and are not among them are dropped. `allow`: see `AddressRule`,
   * for found instances. Throws on what cannot work (bad address, unreadable file); nothing has changed then.
   */
  apply(
    services: Readonly<Record<string, ServiceConfig>>,
    slots: Slots,
    allow: readonly string[] = [],
  ): ReadonlyMap<string, Service> {
    const before = { rule: this.#rule, allow: this.#allow }
    this.#rule = new AddressRule(allow)
    this.#allow = allow.join()
    let compiled: ReadonlyMap<string, Service>
    try {
      compiled = this.update(services, slots)
    } catch (error) {
      this.#rule = before.rule
      this.#allow = before.allow
      throw error
    }
    for (const [name, old] of this.#kept) {
      if (compiled.has(name)) continue
      this.#kept.delete(name)
      this.#services.delete(name)
      this.#retireAll(name, old)
    }
    for (const name of this.#limiters.keys())
      if (compiled.get(name)?.concurrency === undefined) this.#limiters.delete(name)
    return compiled
  }

  /** Compiles these services and leaves the others as they are. Throws as `apply` does. */
  update(services: Readonly<Record<string, ServiceConfig>>, slots: Slots): ReadonlyMap<string, Service> {
    const kept = new Map<string, KeptInstances>()
    const compiled = new Map<string, Service>()
    for (const [name, config] of Object.entries(services)) {
      const instances: KeptInstances = new Map()
      compiled.set(name, this.#compile(name, config, slots, instances))
      kept.set(name, instances)
    }
    for (const [name, instances] of kept) {
      const old = this.#kept.get(name)
      this.#kept.set(name, instances)
      for (const [url, each] of instances) this.#revived(name, url, each)
      if (old !== undefined) this.#retireAll(name, old)
      this.#services.set(name, compiled.get(name)!)
    }
    return compiled
  }

  /** A service as it is now: it is compiled anew when its instances come and go. */
  service(name: string): Service | undefined {
    return this.#services.get(name)
  }

  /** Limits on the concurrency of services, as they are now. */
  *limits(): Generator<readonly [service: string, limit: number]> {
    for (const [service, { limiter }] of this.#limiters) yield [service, limiter.limit]
  }

  /** Every instance of the services as they are; not those that have left, whose connections are kept for a while. */
  *instances(): Generator<Instance> {
    for (const instances of this.#kept.values()) for (const { instance } of instances.values()) yield instance
  }

  /** Closes what is idle; exchanges under way finish. */
  close(): void {
    for (const { timer, kept } of this.#retired.values()) {
      clearTimeout(timer)
      kept.instance.pool.close()
    }
    for (const instance of this.instances()) instance.pool.close()
    this.#kept.clear()
    this.#retired.clear()
  }

  #compile(name: string, config: ServiceConfig, slots: Slots, kept: KeptInstances): Service {
    const memory = this.#memory
    const slot = slots.services[name]!
    const options = toPoolOptions(name, config)
    const made = JSON.stringify(options)
    const instances: Instance[] = []
    const members: Member[] = []
    for (const [index, entry] of config.instances.entries()) {
      const url = instanceUrl(entry)
      const found = originOf(entry) !== undefined
      const from = `${slots.instances[instanceKey(name, url)]} ${found ? this.#allow : "config"} ${made}`
      const instance = this.#instance(name, url, { options, made: from, found, slots, kept })
      instances.push(instance)
      const weight = typeof entry === "string" ? 1 : entry.weight
      members.push(new Member(index, url, weight, instance.state, config.slow_start))
    }
    return {
      name,
      config,
      instances,
      members,
      candidates: new CandidateCache(memory, slot, members, config.panic_threshold),
      balancer: createBalancer(config, members, this.#deps.random),
      breaker: config.breaker === undefined ? undefined : new Breaker(memory, slot, config.breaker),
      ejection: new Ejection(memory, slot, this.#worker, config.ejection, members),
      retry: compileRetry(config.retry),
      budget: new RetryBudget(memory, slot, config.retry.budget),
      concurrency: this.#limiter(name, slot, config.concurrency),
      deps: this.#serviceDeps,
    }
  }

  #limiter(
    service: string,
    slot: number,
    config: ServiceConfig["concurrency"],
  ): ConcurrencyLimiter | undefined {
    if (config === undefined || config.mode === "off") return undefined
    const made = JSON.stringify([slot, config])
    const known = this.#limiters.get(service)
    if (known?.made === made) return known.limiter
    const { now, random } = this.#deps
    const { words, word } = serviceRecord(this.#memory, slot)
    const probes = { words, at: word + SERVICE.probes }
    const { workers } = this.#memory
    const limiter = new ConcurrencyLimiter(config, { workers, probes, now: now(), random })
    this.#limiters.set(service, { limiter, made })
    return limiter
  }

  #instance(service: string, url: string, parts: InstanceParts): Instance {
    const { options, made, found, slots, kept } = parts
    const known =
      kept.get(url) ??
      this.#kept.get(service)?.get(url) ??
      this.#retired.get(retiredKey(service, url, made))?.kept
    if (known?.made === made) {
      kept.set(url, known)
      return known.instance
    }
    const { now, log, lookUp = lookUpName } = this.#deps
    const rule = this.#rule
    const deps: ResolverDeps = {
      now,
      lookUp,
      onRefused: (addresses) => log.error("instance.address_refused", { service, instance: url, addresses }),
      // What a source says is not the operator's word; see AddressRule.
      ...(found && { refuses: (address: string) => rule.refuses(address) }),
    }
    const slot = slots.instances[instanceKey(service, url)]!
    const instance = new Instance(service, url, this.#memory, slot, this.#worker, options, deps)
    kept.set(url, { instance, made })
    return instance
  }

  #revived(service: string, url: string, { made }: Kept): void {
    const key = retiredKey(service, url, made)
    clearTimeout(this.#retired.get(key)?.timer)
    this.#retired.delete(key)
  }

  /** Those of `old` that are not in use any more. */
  #retireAll(service: string, old: KeptInstances): void {
    const now = this.#kept.get(service)
    for (const [url, kept] of old) {
      if (now?.get(url)?.instance === kept.instance) continue
      const key = retiredKey(service, url, kept.made)
      const timer = setTimeout(() => {
        this.#retired.delete(key)
        kept.instance.pool.close()
      }, RETIRE_AFTER_MS)
      timer.unref()
      this.#retired.set(key, { kept, timer })
    }
  }
}

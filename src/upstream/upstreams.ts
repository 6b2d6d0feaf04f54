import type { Clock } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { Priority } from "../observe/priority.ts"
import type { AskFailure } from "./ask.ts"
import type { Balancer } from "./balance/balancer.ts"
import { createBalancer } from "./balance/create.ts"
import { Breaker } from "./breaker.ts"
import { CandidateCache } from "./candidates.ts"
import { ConcurrencyLimiter } from "./concurrency.ts"
import { Ejection } from "./ejection.ts"
import { Instance } from "./instance.ts"
import { Member } from "./member.ts"
import { SERVICE, serviceRecord, type UpstreamMemory } from "./memory.ts"
import type { PoolOptions } from "./pool.ts"
import { toPoolOptions } from "./pool_options.ts"
import { type LookUp, lookUpName } from "./resolved_address.ts"
import { compileRetry, RetryBudget, type RetryRules } from "./retry.ts"
import type { ServiceConfig } from "./service.ts"
import { instanceKey, instanceUrl, type Slots } from "./slots.ts"

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

/** All services of one worker thread. Instances are kept over reloads by identity. */
export class Upstreams {
  readonly #memory: UpstreamMemory
  readonly #worker: number
  readonly #deps: UpstreamDeps
  readonly #serviceDeps: Service["deps"]
  #kept = new Map<string, Kept>()
  /** By service: what they have learned stays over reloads that do not change their config. */
  #limiters = new Map<string, { readonly limiter: ConcurrencyLimiter; readonly made: string }>()
  readonly #retired = new Map<Instance, Timer>()

  constructor(memory: UpstreamMemory, worker: number, deps: UpstreamDeps) {
    this.#memory = memory
    this.#worker = worker
    this.#deps = deps
    this.#serviceDeps = { ...deps, sleep: deps.sleep ?? Bun.sleep }
  }

  /** Compiles the services. Throws on what cannot work (bad address, unreadable file); nothing has changed then. */
  apply(services: Readonly<Record<string, ServiceConfig>>, slots: Slots): ReadonlyMap<string, Service> {
    const kept = new Map<string, Kept>()
    const compiled = new Map<string, Service>()
    for (const [name, config] of Object.entries(services))
      compiled.set(name, this.#compile(name, config, slots, kept))
    for (const [key, { instance }] of this.#kept)
      if (kept.get(key)?.instance !== instance) this.#retire(instance)
    this.#kept = kept
    for (const name of this.#limiters.keys())
      if (compiled.get(name)?.concurrency === undefined) this.#limiters.delete(name)
    return compiled
  }

  /** Limits on the concurrency of services, as they are now. */
  *limits(): Generator<readonly [service: string, limit: number]> {
    for (const [service, { limiter }] of this.#limiters) yield [service, limiter.limit]
  }

  /** Every instance with connections, also those config has dropped a short while ago. */
  *instances(): Generator<Instance> {
    for (const { instance } of this.#kept.values()) yield instance
    yield* this.#retired.keys()
  }

  /** Closes what is idle; exchanges under way finish. */
  close(): void {
    for (const { instance } of this.#kept.values()) instance.pool.close()
    for (const [instance, timer] of this.#retired) {
      clearTimeout(timer)
      instance.pool.close()
    }
    this.#kept.clear()
    this.#retired.clear()
  }

  #compile(name: string, config: ServiceConfig, slots: Slots, kept: Map<string, Kept>): Service {
    const memory = this.#memory
    const slot = slots.services[name]!
    const options = toPoolOptions(name, config)
    const instances: Instance[] = []
    const members: Member[] = []
    for (const [index, entry] of config.instances.entries()) {
      const url = instanceUrl(entry)
      const instance = this.#instance(name, url, options, slots, kept)
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

  #instance(
    service: string,
    url: string,
    options: PoolOptions,
    slots: Slots,
    kept: Map<string, Kept>,
  ): Instance {
    const key = instanceKey(service, url)
    const slot = slots.instances[key]!
    const made = JSON.stringify([slot, options])
    let found = kept.get(key) ?? this.#kept.get(key)
    if (found === undefined || found.made !== made) {
      const { now, log, lookUp = lookUpName } = this.#deps
      const onRefused = (addresses: readonly string[]): void =>
        log.error("instance.address_refused", { service, instance: url, addresses })
      const deps = { now, lookUp, onRefused }
      const instance = new Instance(service, url, this.#memory, slot, this.#worker, options, deps)
      found = { instance, made }
    }
    kept.set(key, found)
    return found.instance
  }

  #retire(instance: Instance): void {
    const timer = setTimeout(() => {
      this.#retired.delete(instance)
      instance.pool.close()
    }, RETIRE_AFTER_MS)
    timer.unref()
    this.#retired.set(instance, timer)
  }
}

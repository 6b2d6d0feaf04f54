import type { Clock } from "../lib/clock.ts"
import { parseAddress } from "./address.ts"
import { touchService } from "./candidates.ts"
import { AddressRule } from "./discovery/address_rule.ts"
import { HealthCheck, type Schedule } from "./health_check.ts"
import { InstanceState } from "./instance_state.ts"
import type { UpstreamMemory } from "./memory.ts"
import { toPoolOptions } from "./pool_options.ts"
import { keepResolved, type LookUp, lookUpName } from "./resolved_address.ts"
import type { ServiceConfig } from "./service.ts"
import { instanceKey, instanceUrl, originOf, type Slots } from "./slots.ts"

/** An instance has left or come back by its checks. */
export interface HealthChange {
  readonly service: string
  readonly instance: string
  readonly healthy: boolean
  /** What the deciding check found, e.g. "status 503". */
  readonly reason: string
}

export interface HealthDeps {
  readonly now: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onChange: (change: HealthChange) => void
  /** Default: a timer. */
  readonly schedule?: Schedule
  /** Default: the system's resolver. */
  readonly lookUp?: LookUp
}

interface Running {
  readonly check: HealthCheck
  readonly state: InstanceState
  readonly serviceSlot: number
  /** What the check was made from. */
  readonly made: string
}

interface CheckParts {
  readonly config: ServiceConfig
  readonly slots: Slots
  readonly made: string
  /** For an instance a source has named. */
  readonly rule: AddressRule | undefined
}

/** New checks up to this many begin at once. */
const AT_ONCE = 20
/** Each of more adds this to the time in which they begin. */
const SPREAD_MS = 2

/**
 * Active health checks of all services, run by the control thread. What they find is in shared memory, where
 * every worker sees it at once.
 */
export class HealthChecker {
  readonly #memory: UpstreamMemory
  readonly #deps: HealthDeps
  #running = new Map<string, Running>()

  constructor(memory: UpstreamMemory, deps: HealthDeps) {
    this.#memory = memory
    this.#deps = deps
  }

  /**
   * Starts new checks at once, goes on with those that are unchanged and stops the others; an instance that is
   * checked no more counts as healthy. `allow`: see `AddressRule`, for found instances. Throws on what cannot work; nothing has changed then.
   */
  apply(
    services: Readonly<Record<string, ServiceConfig>>,
    slots: Slots,
    allow: readonly string[] = [],
  ): void {
    const rule = new AddressRule(allow)
    const allowed = allow.join()
    const next = new Map<string, Running>()
    const fresh: HealthCheck[] = []
    for (const [name, config] of Object.entries(services)) {
      if (config.health === undefined) continue
      const asConfigured = JSON.stringify([config.health, config.tls])
      for (const entry of config.instances) {
        const url = instanceUrl(entry)
        const key = instanceKey(name, url)
        const found = originOf(entry) !== undefined
        const made = `${slots.instances[key]} ${found ? allowed : "config"} ${asConfigured}`
        let running = this.#running.get(key)
        if (running?.made !== made) {
          running = this.#create(name, url, { config, slots, made, rule: found ? rule : undefined })
          fresh.push(running.check)
        }
        next.set(key, running)
      }
    }
    for (const [key, old] of this.#running) {
      const now = next.get(key)
      if (now === old) continue
      old.check.stop()
      if (now === undefined && slots.instances[key] !== undefined) this.#setHealth(old, undefined)
    }
    this.#running = next
    this.#startAll(fresh)
  }

  close(): void {
    for (const { check } of this.#running.values()) check.stop()
    this.#running.clear()
  }

  /** A few at once; many over time, so that hundreds of new instances are no burst. */
  #startAll(fresh: readonly HealthCheck[]): void {
    const spreadMs = fresh.length <= AT_ONCE ? 0 : fresh.length * SPREAD_MS
    for (const check of fresh) check.start(spreadMs * this.#deps.random())
  }

  #create(service: string, url: string, parts: CheckParts): Running {
    const { config, slots, made, rule } = parts
    const { now, random, schedule, onChange, lookUp } = this.#deps
    const slot = slots.instances[instanceKey(service, url)]!
    const check = new HealthCheck({
      address: keepResolved(parseAddress(url), {
        lookUp: lookUp ?? lookUpName,
        now,
        refuses: rule && ((address) => rule.refuses(address)),
        // The failed checks give the reason.
        onRefused: () => undefined,
      }),
      config: config.health!,
      options: toPoolOptions(service, config),
      now,
      random,
      schedule: schedule ?? timer,
      onVerdict: (healthy, reason, first) => {
        // Whatever made real traffic fail, checks saw it too, and it is over: waiting longer helps nobody. An
        // instance that fails traffic while its checks go on to pass stays ejected.
        if (healthy && first) this.#endEjection(running)
        if (this.#setHealth(running, healthy)) onChange({ service, instance: url, healthy, reason })
      },
    })
    const running: Running = {
      check,
      state: new InstanceState(this.#memory, slot),
      serviceSlot: slots.services[service]!,
      made,
    }
    return running
  }

  #endEjection({ state, serviceSlot }: Running): void {
    if (state.endEjection(this.#deps.now())) touchService(this.#memory, serviceSlot)
  }

  #setHealth({ state, serviceSlot }: Running, healthy: boolean | undefined): boolean {
    const changed = state.setHealth(healthy, this.#deps.now())
    if (changed) touchService(this.#memory, serviceSlot)
    return changed
  }
}

const timer: Schedule = (run, ms) => {
  const handle = setTimeout(run, ms)
  return () => clearTimeout(handle)
}

import type { Clock } from "../lib/clock.ts"
import { parseAddress } from "./address.ts"
import { touchService } from "./candidates.ts"
import { HealthCheck, type Schedule } from "./health_check.ts"
import { InstanceState } from "./instance_state.ts"
import type { UpstreamMemory } from "./memory.ts"
import { toPoolOptions } from "./pool_options.ts"
import { keepResolved, type LookUp, lookUpName } from "./resolved_address.ts"
import type { ServiceConfig } from "./service.ts"
import { instanceKey, instanceUrl, type Slots } from "./slots.ts"

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
   * checked no more counts as healthy. Throws on what cannot work; nothing has changed then.
   */
  apply(services: Readonly<Record<string, ServiceConfig>>, slots: Slots): void {
    const next = new Map<string, Running>()
    const fresh: HealthCheck[] = []
    for (const [name, config] of Object.entries(services)) {
      if (config.health === undefined) continue
      for (const entry of config.instances) {
        const url = instanceUrl(entry)
        const key = instanceKey(name, url)
        const made = JSON.stringify([slots.instances[key], config.health, config.tls])
        let running = this.#running.get(key)
        if (running?.made !== made) {
          running = this.#create(name, url, config, slots, made)
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
    for (const check of fresh) check.start()
  }

  close(): void {
    for (const { check } of this.#running.values()) check.stop()
    this.#running.clear()
  }

  #create(service: string, url: string, config: ServiceConfig, slots: Slots, made: string): Running {
    const { now, random, schedule, onChange, lookUp } = this.#deps
    const slot = slots.instances[instanceKey(service, url)]!
    const check = new HealthCheck({
      address: keepResolved(parseAddress(url), {
        lookUp: lookUp ?? lookUpName,
        now,
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

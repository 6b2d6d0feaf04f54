import { type Problem, problemText } from "../config/problem.ts"
import type { Config } from "../config/schema.ts"
import type { LabelDirectory } from "../observe/labels.ts"
import { touchService } from "../upstream/candidates.ts"
import type { HealthChecker } from "../upstream/health.ts"
import { InstanceState } from "../upstream/instance_state.ts"
import type { UpstreamMemory } from "../upstream/memory.ts"
import type { ServiceConfig } from "../upstream/service.ts"
import { SlotDirectory } from "../upstream/slots.ts"
import { assignInstanceLabels, assignLabels } from "./assign_labels.ts"
import type { ControlOptions } from "./control_options.ts"
import type { ReloadOutcome } from "./control_status.ts"
import type { DiscoveryKeeper } from "./discovery_keeper.ts"
import type { Effective } from "./effective_config.ts"
import type { Generation } from "./protocol.ts"
import { restartNeeded } from "./restart_needed.ts"
import type { Supervisor } from "./supervisor.ts"
import type { TlsKeeper } from "./tls_keeper.ts"

export interface InForceParts {
  readonly options: ControlOptions
  readonly memory: UpstreamMemory
  readonly discovery: DiscoveryKeeper
  readonly tls: TlsKeeper
  readonly health: HealthChecker
  readonly threads: () => Pick<Supervisor, "apply" | "broadcast">
  /** A file is in force that was not before. */
  readonly onFile: (config: Config) => void
}

/**
 * The configuration in force: what the file says and what sources of instances have found. One thing moves it at
 * a time, a reload or a discovery, so neither overwrites the other.
 */
export class InForce {
  readonly #parts: InForceParts
  readonly #slots: SlotDirectory
  readonly #labels: LabelDirectory
  /** What the file says. */
  #file: Config
  #generation: Generation
  /** Keys of instances that get nothing new. */
  #draining: ReadonlySet<string> = new Set()
  #drainingBefore: ReadonlySet<string> = new Set()
  readonly reloads = { ok: 0, rejected: 0 }
  #running: Promise<unknown> = Promise.resolve()
  #waiting: Promise<ReloadOutcome> | undefined
  #closed = false

  /** Throws when the configuration does not fit the memory. */
  constructor(parts: InForceParts, labels: LabelDirectory) {
    this.#parts = parts
    this.#labels = labels
    this.#slots = new SlotDirectory(parts.memory, parts.options.now)
    this.#file = parts.options.config
    const nothing = { config: this.#file, draining: new Set<string>() }
    this.#generation = this.#nextGeneration(1, nothing)
  }

  get generation(): Generation {
    return this.#generation
  }

  /** Starts the sources, and puts in force what they find in so many ms. Before the workers begin. */
  async open(waitMs: number): Promise<void> {
    const { discovery } = this.#parts
    await discovery.open(this.#file, waitMs)
    this.#generation = this.#nextGeneration(1, discovery.effective(this.#file))
    // Before the workers listen: what is down at start should be known as early as can be.
    this.#check()
  }

  /**
   * Reads the configuration again and puts it in force, or keeps the old one and tells why. Reloads happen one
   * after another; all that are asked for while one runs become one more.
   */
  reload(): Promise<ReloadOutcome> {
    this.#waiting ??= this.#running.then(() => {
      this.#waiting = undefined
      const outcome = this.#reloadNow().catch((error: Error) =>
        this.#reject([{ path: "", message: error.message }]),
      )
      this.#running = outcome
      return outcome
    })
    return this.#waiting
  }

  /** Puts in force what sources have found, after what is under way. Never rejects. */
  rediscover(): Promise<void> {
    const done = this.#running
      .then(() => this.#rediscoverNow())
      .catch((error: Error) => {
        this.#parts.options.log.error("discovery.rejected", { reason: error.message })
      })
    this.#running = done
    return done
  }

  close(): void {
    this.#closed = true
  }

  async #reloadNow(): Promise<ReloadOutcome> {
    if (this.#closed) return this.#reject([{ path: "", message: "the gateway is shutting down" }])
    const { options, tls, discovery } = this.#parts
    const loaded = options.load()
    if (!loaded.ok) return this.#reject(loaded.problems)
    const old = this.#generation
    const effective = discovery.effective(loaded.config)
    try {
      await tls.read(loaded.config.server.tls)
      const next = this.#nextGeneration(old.number + 1, effective)
      // Before the workers, which may ask about its issuers at once. It throws for keys that are gone by now.
      options.identity.apply(loaded.config)
      this.#generation = next
    } catch (error) {
      this.#restore(old)
      return this.#reject([{ path: "", message: (error as Error).message }])
    }
    const errors = await this.#applyOr(old)
    if (errors.length > 0) {
      // Last, as it throws when its keys cannot be read any more: everything else is back by then.
      options.identity.apply(this.#file)
      return this.#reject(errors.map((message) => ({ path: "", message })))
    }
    this.#check()
    return this.#accept(loaded.config, loaded.warnings)
  }

  #accept(file: Config, warnings: readonly Problem[]): ReloadOutcome {
    const { options, onFile, discovery, tls } = this.#parts
    const { log } = options
    this.#file = file
    onFile(file)
    discovery.apply(file)
    tls.watch(file.server.tls)
    this.reloads.ok++
    const fixed = restartNeeded(options.config, file)
    if (fixed.length > 0) log.warn("config.restart_needed", { settings: fixed })
    const generation = this.#generation.number
    const told = warnings.length === 0 ? undefined : warnings.map(problemText)
    log.info("config.applied", { generation, warnings: told })
    return { result: "applied", generation, restartNeeded: fixed }
  }

  #reject(problems: readonly Problem[]): ReloadOutcome {
    this.reloads.rejected++
    this.#parts.options.log.error("config.rejected", { problems: problems.map(problemText) })
    return { result: "rejected", problems }
  }

  async #rediscoverNow(): Promise<void> {
    if (this.#closed) return
    const { discovery, threads, options } = this.#parts
    const old = this.#generation
    const effective = discovery.effective(this.#file)
    const { config } = effective
    // New services come with routes: that is a whole generation.
    if (config.routes !== old.config.routes) {
      this.#generation = this.#nextGeneration(old.number + 1, effective)
      const errors = await this.#applyOr(old)
      if (errors.length > 0) throw new Error(errors.join("; "))
      options.log.info("discovery.applied", {
        generation: this.#generation.number,
        services: Object.keys(config.services).length,
      })
    } else {
      const services = changedServices(old.config.services, config.services)
      if (services === undefined) this.#drain(effective.draining, old)
      else {
        const slots = this.#slots.assign(config.services)
        this.#drain(effective.draining, { slots })
        const instance = assignInstanceLabels(this.#labels, config, this.#parts.options.now())
        this.#generation = { ...old, config, slots, labels: { ...old.labels, instance } }
        threads().broadcast({ kind: "services", services, slots, instanceLabels: instance })
      }
    }
    this.#check()
  }

  /** Checks the instances in force, and no others. */
  #check(): void {
    const { config, slots } = this.#generation
    this.#parts.health.apply(config.services, slots, config.discovery.allow)
  }

  /** Tells the workers of the new generation; if one refuses, all go back to the old one. */
  async #applyOr(old: Generation): Promise<readonly string[]> {
    const threads = this.#parts.threads()
    const errors = await threads.apply({ kind: "apply", generation: this.#generation })
    if (errors.length === 0) return errors
    // Only compiling finds these. All go back to the old one and its very records: health checks write there.
    this.#generation = old
    this.#restore(old)
    await threads.apply({ kind: "apply", generation: old })
    return errors
  }

  #restore(old: Generation): void {
    this.#slots.restore(old.slots)
    this.#drain(this.#drainingBefore, old)
  }

  #nextGeneration(number: number, { config, draining }: Pick<Effective, "config" | "draining">): Generation {
    const slots = this.#slots.assign(config.services)
    this.#drain(draining, { slots })
    const { options } = this.#parts
    const labels = assignLabels(this.#labels, config, options.builtinRoutes(config), options.now())
    return { number, config, slots, labels }
  }

  /** Marks who gets nothing new; no worker needs to be told. Records given out anew are not marked yet. */
  #drain(draining: ReadonlySet<string>, { slots }: Pick<Generation, "slots">): void {
    const { memory, options } = this.#parts
    const touched = new Set<string>()
    for (const key of new Set([...draining, ...this.#draining])) {
      const slot = slots.instances[key]
      if (slot === undefined) continue
      const on = draining.has(key)
      if (!new InstanceState(memory, slot).setDraining(on)) continue
      const [service = "", instance = ""] = key.split("\n")
      options.log.info(on ? "instance.draining" : "instance.undrained", { service, instance })
      touched.add(service)
    }
    for (const service of touched) touchService(memory, slots.services[service]!)
    this.#drainingBefore = this.#draining
    this.#draining = draining
  }
}

/** Those that are others than before; `undefined`: none is. Both have the same names where routes are the same. */
function changedServices(
  old: Readonly<Record<string, ServiceConfig>>,
  next: Readonly<Record<string, ServiceConfig>>,
): Readonly<Record<string, ServiceConfig>> | undefined {
  const changed = Object.entries(next).filter(([name, service]) => old[name] !== service)
  return changed.length === 0 ? undefined : Object.fromEntries(changed)
}

import type { Config } from "../config/schema.ts"
import type { Clock } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { GaugeRow } from "../observe/exposition.ts"
import type { Log } from "../observe/log.ts"
import type { DiscoverySource, FoundService } from "../upstream/discovery/source.ts"
import type { ServiceConfig } from "../upstream/service.ts"
import { instanceKey, instanceUrl } from "../upstream/slots.ts"
import { type Effective, EffectiveConfig, type Refused, type Told } from "./effective_config.ts"
import type { After } from "./supervisor.ts"

/** A source one service asks for. */
export interface SourcePlan {
  /** Sources with the same key are the same. */
  readonly key: string
  readonly source: string
  readonly service: string
  readonly create: () => DiscoverySource
}

export interface DiscoveryDeps {
  /** Services that register themselves. */
  readonly registry: DiscoverySource | undefined
  /** The sources a configuration asks for. */
  readonly plan: (config: Config) => readonly SourcePlan[]
  /** Paths the gateway itself answers. Default: none. */
  readonly builtins?: (config: Config) => readonly string[]
  /** Puts what `effective` says now in force; not called again before it is done. Never rejects. */
  readonly onChange: () => Promise<void>
  readonly now: Clock
  readonly after: After
  readonly log: Log
  readonly counts: Counts
}

interface Known {
  readonly source: DiscoverySource
  told: Told
  /** Whether it has said anything yet. */
  heard: boolean
}

/** Changes are put in force at most this often. */
const AT_MOST_EVERY_MS = 100

/** Holds the sources of instances, and what they have told last. */
export class DiscoveryKeeper {
  readonly #deps: DiscoveryDeps
  readonly #known = new Map<string, Known>()
  readonly #effective: EffectiveConfig
  /** Keys of instances an operator has taken out. */
  readonly #drained = new Set<string>()
  #refused = new Set<string>()
  #cancelTimer: (() => void) | undefined
  /** When changes are looked at next; Infinity: when there are some. */
  #dueAt = Number.POSITIVE_INFINITY
  #lastAt = Number.NEGATIVE_INFINITY
  #applying = false
  #open = false
  #closed = false
  #onHeard: () => void = () => undefined

  constructor(deps: DiscoveryDeps) {
    this.#deps = deps
    this.#effective = new EffectiveConfig(deps.builtins)
  }

  /**
   * Starts the sources and waits, so long at most, until each has told something. From then on `onChange` is
   * called; of `begin` on.
   */
  async open(config: Config, waitMs: number): Promise<void> {
    this.apply(config)
    if (!this.#waiting) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#deps.after(waitMs, resolve)
    this.#onHeard = () => {
      if (!this.#waiting) resolve()
    }
    await promise
    cancel()
    this.#onHeard = () => undefined
  }

  /** From now on changes are told. */
  begin(): void {
    this.#open = true
    if (this.#dueAt !== Number.POSITIVE_INFINITY) this.#schedule(this.#dueAt)
  }

  /** Starts, goes on with and ends sources as the file says that is in force now. */
  apply(config: Config): void {
    const { registry, plan } = this.#deps
    const wanted = new Map<string, SourcePlan | undefined>(plan(config).map((each) => [each.key, each]))
    if (registry !== undefined) wanted.set("registry", undefined)
    const old = [...this.#known]
    for (const [key, { source }] of old) {
      if (wanted.has(key)) continue
      source.close()
      this.#known.delete(key)
      this.#changed()
    }
    for (const [key, each] of wanted) {
      if (this.#known.has(key)) continue
      if (each === undefined)
        this.#start(key, registry!, { source: "registry", about: undefined, services: [] })
      else {
        // What was asked otherwise stays until there is something better.
        const before = old.find(([, { told }]) => told.source === each.source && told.about === each.service)
        const services = before === undefined ? [] : before[1].told.services
        this.#start(key, each.create(), { source: each.source, about: each.service, services })
      }
    }
  }

  /** What should be in force, with this file. */
  effective(base: Config): Effective {
    const { now, log } = this.#deps
    const told = [...this.#known.values()].map((each) => each.told)
    const effective = this.#effective.merge(base, told, this.#drained, now())
    const refused = new Set<string>()
    for (const each of effective.refused) {
      const key = JSON.stringify(each)
      if (!this.#refused.has(key)) this.#refuse(each, log)
      refused.add(key)
    }
    this.#refused = refused
    if (effective.nextAt !== Number.POSITIVE_INFINITY) this.#schedule(effective.nextAt)
    return effective
  }

  /**
   * Takes an instance out, or back in, by its service and URL: it finishes what it has and gets nothing new.
   * Holds until it is taken back or the process ends. `false`: there is no such instance.
   */
  drain(services: Readonly<Record<string, ServiceConfig>>, name: string, url: string, on: boolean): boolean {
    const key = instanceKey(name, url)
    const known =
      Object.hasOwn(services, name) && services[name]!.instances.some((each) => instanceUrl(each) === url)
    if (on && !known) return false
    const moved = on ? !this.#drained.has(key) : this.#drained.has(key)
    if (on) this.#drained.add(key)
    else this.#drained.delete(key)
    if (moved) this.#changed()
    return known || moved
  }

  /** Instances each source knows, as rows of the metrics page. */
  rows(): Iterable<GaugeRow> {
    const found = new Map<string, number>()
    for (const { told } of this.#known.values()) {
      const count = told.services.reduce((sum, { instances }) => sum + instances.length, 0)
      found.set(told.source, (found.get(told.source) ?? 0) + count)
    }
    return [...found].map(([source, value]) => ({
      metric: "gatehouse_discovery_instances",
      labels: { source },
      value,
    }))
  }

  close(): void {
    this.#closed = true
    this.#cancelTimer?.()
    for (const { source } of this.#known.values()) source.close()
    this.#known.clear()
  }

  get #waiting(): boolean {
    for (const { heard } of this.#known.values()) if (!heard) return true
    return false
  }

  #start(key: string, source: DiscoverySource, told: Told): void {
    // A registry nobody has registered with says nothing.
    const known: Known = { source, told, heard: told.about === undefined }
    this.#known.set(key, known)
    source.start((services: readonly FoundService[]) => {
      if (this.#closed) return
      known.told = { ...told, services }
      known.heard = true
      this.#deps.counts.add("gatehouse_discovery_updates_total", { source: told.source, result: "ok" })
      this.#onHeard()
      this.#changed()
    })
    // A file that could be read has been by now.
    if (told.source === "file") known.heard = true
  }

  #refuse({ source, service, instance, reason }: Refused, log: Log): void {
    this.#deps.counts.add("gatehouse_discovery_updates_total", { source, result: "refused" })
    log.warn("discovery.refused", { source, service, ...(instance !== "" && { instance }), reason })
  }

  #changed(): void {
    this.#schedule(Math.max(this.#deps.now(), this.#lastAt + AT_MOST_EVERY_MS))
  }

  /** Looks at what there is at this time, or earlier if that was said before. */
  #schedule(at: number): void {
    if (this.#closed) return
    this.#dueAt = Math.min(this.#dueAt, at)
    if (!this.#open || this.#applying) return
    this.#cancelTimer?.()
    this.#cancelTimer = this.#deps.after(
      Math.max(0, this.#dueAt - this.#deps.now()),
      () => void this.#apply(),
    )
  }

  async #apply(): Promise<void> {
    this.#cancelTimer = undefined
    this.#dueAt = Number.POSITIVE_INFINITY
    this.#applying = true
    await this.#deps.onChange()
    this.#applying = false
    this.#lastAt = this.#deps.now()
    if (this.#dueAt !== Number.POSITIVE_INFINITY)
      this.#schedule(Math.max(this.#dueAt, this.#lastAt + AT_MOST_EVERY_MS))
  }
}

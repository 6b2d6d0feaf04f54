import type { Clock } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import { LineBudget } from "../observe/line_budget.ts"
import type { Log } from "../observe/log.ts"
import type { ServiceStatus } from "../upstream/dependency_health.ts"
import { type InstanceView, isAvailable, type ServiceView } from "../upstream/describe.ts"
import type { After } from "./supervisor.ts"

export interface HealthWatchDeps {
  readonly services: () => readonly ServiceView[]
  readonly now: Clock
  readonly after: After
  readonly log: Log
  readonly counts: Counts
}

/** How late a move may be told. */
const LOOK_MS = 1000
const MAX_INSTANCE_LINES = 20
const MAX_NAMED = 4096

interface Seen {
  readonly status: ServiceStatus
  readonly instances: ReadonlyMap<string, InstanceView>
}

/** Tells what has happened to services and their instances, whoever has found out. */
export class HealthWatch {
  readonly #deps: HealthWatchDeps
  readonly #budget: LineBudget
  /** Services with counters of their own; those that come when there are too many share "other". */
  readonly #named = new Set<string>()
  /** `undefined`: it has not looked yet. */
  #seen: ReadonlyMap<string, Seen> | undefined
  #cancel: () => void = () => undefined

  constructor(deps: HealthWatchDeps) {
    this.#deps = deps
    this.#budget = new LineBudget(deps.now, MAX_INSTANCE_LINES)
  }

  /** Looks now and every second; what is there the first time is told only if it is not well. */
  start(): void {
    this.#look()
    this.#cancel = this.#deps.after(LOOK_MS, () => this.start())
  }

  close(): void {
    this.#cancel()
  }

  #look(): void {
    const seen = new Map<string, Seen>()
    for (const view of this.#deps.services()) {
      const before = this.#seen?.get(view.name)
      this.#compareStatus(view, before?.status ?? "healthy")
      const instances = new Map(view.instances.map((each) => [each.url, each]))
      if (this.#seen !== undefined) this.#compareInstances(view.name, before?.instances, instances)
      seen.set(view.name, { status: view.status, instances })
    }
    this.#seen = seen
  }

  #compareStatus({ name, status, chain }: ServiceView, before: ServiceStatus): void {
    if (status === before) return
    const { log } = this.#deps
    const event = status === "healthy" ? "recovered" : status
    this.#count("gatehouse_service_events_total", name, event)
    if (event === "recovered") log.info("service.recovered", { service: name })
    else if (event === "degraded") log.warn("service.degraded", { service: name, chain })
    else log.error("service.down", { service: name, chain })
  }

  #compareInstances(
    service: string,
    before: ReadonlyMap<string, InstanceView> | undefined,
    after: ReadonlyMap<string, InstanceView>,
  ): void {
    for (const [url, now] of after) {
      const then = before?.get(url)
      const was = then !== undefined && isAvailable(then)
      if (isAvailable(now) === was) continue
      if (was) this.#tell("down", service, url, reasonOut(now))
      else this.#tell("up", service, url, then === undefined ? "joined" : reasonBack(then))
    }
    for (const [url, then] of before ?? [])
      if (!after.has(url) && isAvailable(then)) this.#tell("down", service, url, "left")
  }

  #count(metric: string, service: string, event: string): void {
    if (this.#named.size < MAX_NAMED) this.#named.add(service)
    this.#deps.counts.add(metric, { service: this.#named.has(service) ? service : "other", event })
  }

  #tell(event: "up" | "down", service: string, instance: string, why: string): void {
    const { log } = this.#deps
    this.#count("gatehouse_instance_events_total", service, event)
    const room = this.#budget.take()
    if (room === undefined) return
    if (event === "up") log.info("instance.up", { service, instance, why, ...room })
    else log.warn("instance.down", { service, instance, why, ...room })
  }
}

function reasonOut({ draining, healthy }: InstanceView): string {
  if (draining) return "draining"
  return healthy ? "ejected" : "unhealthy"
}

function reasonBack({ draining, healthy }: InstanceView): string {
  if (draining) return "undrained"
  return healthy ? "returned" : "healthy"
}

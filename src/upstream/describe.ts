import { Breaker, type BreakerView } from "./breaker.ts"
import {
  type EffectiveHealth,
  effectiveHealth,
  type HealthGraph,
  type ServiceStatus,
} from "./dependency_health.ts"
import type { Dependency } from "./discovery/source.ts"
import { InstanceState } from "./instance_state.ts"
import type { UpstreamMemory } from "./memory.ts"
import type { ServiceConfig } from "./service.ts"
import { instanceKey, instanceUrl, originOf, type Slots } from "./slots.ts"

export interface InstanceView {
  readonly url: string
  /** "config", or the name of the source that has found it. */
  readonly source: string
  /** "": unknown. */
  readonly zone: string
  readonly tags: readonly string[]
  /** By active checks; true when there are none. */
  readonly healthy: boolean
  /** It finishes what it has and gets nothing new. */
  readonly draining: boolean
  /** Milliseconds until it returns from its ejection; 0: it is not ejected. */
  readonly ejectedForMs: number
  /** Over all workers. */
  readonly inFlight: number
  /** Estimate used by `peak_ewma`; 0: nothing is known. */
  readonly responseTimeMs: number
  readonly consecutiveFailures: number
}

export interface ServiceView {
  readonly name: string
  /** With all it depends on. */
  readonly status: ServiceStatus
  /** Names from the service to the one at fault, itself when that is it; empty while it is healthy. */
  readonly chain: readonly string[]
  /**
   * By itself. degraded: some instances are out, or the circuit is not closed. down: the circuit is open, or no
   * instance is there that may be asked.
   */
  readonly own: ServiceStatus
  readonly dependsOn: readonly Dependency[]
  /** `undefined`: the service has no breaker. */
  readonly breaker: BreakerView | undefined
  readonly instances: readonly InstanceView[]
}

/** Where the services of a configuration are. */
export interface Described {
  readonly memory: UpstreamMemory
  readonly services: Readonly<Record<string, ServiceConfig>>
  readonly slots: Slots
  readonly now: number
}

/** What is known of every service, read from shared memory: for health endpoints and metrics, in any thread. */
export function describeServices(
  memory: UpstreamMemory,
  services: Readonly<Record<string, ServiceConfig>>,
  slots: Slots,
  now: number,
): ServiceView[] {
  const scope = { memory, services, slots, now }
  const alone = new Map(Object.keys(services).map((name) => [name, describeAlone(name, scope)]))
  const graph: HealthGraph = {
    own: (name) => alone.get(name)?.own,
    dependsOn: (name) => services[name]!.depends_on,
  }
  const known = new Map<string, EffectiveHealth>()
  return [...alone.values()].map((view) => ({
    ...view,
    ...effectiveHealth(view.name, graph, known),
    dependsOn: services[view.name]!.depends_on,
  }))
}

/** Health of one service with all it depends on; `undefined`: there is no such service. */
export function describeHealth(name: string, scope: Described): EffectiveHealth | undefined {
  const { services } = scope
  if (!Object.hasOwn(services, name)) return undefined
  return effectiveHealth(name, {
    own: (each) => (Object.hasOwn(services, each) ? describeAlone(each, scope).own : undefined),
    dependsOn: (each) => services[each]!.depends_on,
  })
}

function describeAlone(
  name: string,
  { memory, services, slots, now }: Described,
): Omit<ServiceView, "status" | "chain" | "dependsOn"> {
  const config = services[name]!
  const instances = config.instances.map((entry): InstanceView => {
    const url = instanceUrl(entry)
    const state = new InstanceState(memory, slots.instances[instanceKey(name, url)]!)
    const { source, zone, tags } = originOf(entry) ?? BY_CONFIG
    return {
      url,
      source,
      zone,
      tags,
      healthy: state.healthy,
      draining: state.draining,
      ejectedForMs: Math.max(0, Math.ceil(state.ejectedUntil - now)),
      inFlight: state.inFlight,
      responseTimeMs: state.responseTimeMs(now),
      consecutiveFailures: state.consecutiveFailures,
    }
  })
  const breaker =
    config.breaker === undefined
      ? undefined
      : new Breaker(memory, slots.services[name]!, config.breaker).view(now)
  return { name, own: statusOf(breaker, instances), breaker, instances }
}

const BY_CONFIG = { source: "config", zone: "", tags: [] }

/** Who is draining is neither missed nor counted on. */
function statusOf(breaker: BreakerView | undefined, instances: readonly InstanceView[]): ServiceStatus {
  const staying = instances.filter(({ draining }) => !draining)
  const available = staying.filter(isAvailable).length
  if (breaker?.state === "open" || available === 0) return "down"
  return breaker?.state === "half_open" || available < staying.length ? "degraded" : "healthy"
}

/** Whether it may be asked. */
export function isAvailable({ healthy, ejectedForMs, draining }: InstanceView): boolean {
  return healthy && ejectedForMs === 0 && !draining
}

import { Breaker, type BreakerView } from "./breaker.ts"
import { InstanceState } from "./instance_state.ts"
import type { UpstreamMemory } from "./memory.ts"
import type { ServiceConfig } from "./service.ts"
import { instanceKey, instanceUrl, type Slots } from "./slots.ts"

export interface InstanceView {
  readonly url: string
  /** By active checks; true when there are none. */
  readonly healthy: boolean
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
  /** degraded: some instances are out, or the circuit is not closed. down: the circuit is open or all are out. */
  readonly status: "healthy" | "degraded" | "down"
  /** `undefined`: the service has no breaker. */
  readonly breaker: BreakerView | undefined
  readonly instances: readonly InstanceView[]
}

/** What is known of every service, read from shared memory: for health endpoints and metrics, in any thread. */
export function describeServices(
  memory: UpstreamMemory,
  services: Readonly<Record<string, ServiceConfig>>,
  slots: Slots,
  now: number,
): ServiceView[] {
  return Object.entries(services).map(([name, config]) => {
    const instances = config.instances.map((entry): InstanceView => {
      const url = instanceUrl(entry)
      const state = new InstanceState(memory, slots.instances[instanceKey(name, url)]!)
      return {
        url,
        healthy: state.healthy,
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
    return { name, status: statusOf(breaker, instances), breaker, instances }
  })
}

function statusOf(
  breaker: BreakerView | undefined,
  instances: readonly InstanceView[],
): ServiceView["status"] {
  const available = instances.filter(({ healthy, ejectedForMs }) => healthy && ejectedForMs === 0).length
  if (breaker?.state === "open" || available === 0) return "down"
  return breaker?.state === "half_open" || available < instances.length ? "degraded" : "healthy"
}

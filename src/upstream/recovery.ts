import { Breaker } from "./breaker.ts"
import { touchService } from "./candidates.ts"
import { InstanceState } from "./instance_state.ts"
import type { UpstreamMemory } from "./memory.ts"
import type { ServiceConfig } from "./service.ts"
import { instanceKey, instanceUrl, type Slots } from "./slots.ts"

/** What operators who know better may do to a service, for all workers at once. */
export interface RecoveryScope {
  readonly memory: UpstreamMemory
  readonly services: Readonly<Record<string, ServiceConfig>>
  readonly slots: Slots
  /** Milliseconds on the scale of lib/clock.ts. */
  readonly now: number
}

/** Closes the circuit of a service. `false`: there is no such service, or it has no breaker. */
export function resetBreaker(service: string, { memory, services, slots, now }: RecoveryScope): boolean {
  const breaker = services[service]?.breaker
  if (breaker === undefined) return false
  new Breaker(memory, slots.services[service]!, breaker).reset(now)
  return true
}

/**
 * Ends the ejections of a service's instances, or of the one with this URL. Returns how many were out, or
 * `undefined` when there is no such service or instance.
 */
export function returnInstances(
  service: string,
  url: string | undefined,
  { memory, services, slots, now }: RecoveryScope,
): number | undefined {
  const urls = (services[service]?.instances ?? []).map(instanceUrl)
  const wanted = url === undefined ? urls : urls.filter((each) => each === url)
  if (wanted.length === 0) return undefined
  let returned = 0
  for (const each of wanted) {
    const state = new InstanceState(memory, slots.instances[instanceKey(service, each)]!)
    if (state.ejectedUntil > now) returned++
    state.pardon(now)
  }
  touchService(memory, slots.services[service]!)
  return returned
}

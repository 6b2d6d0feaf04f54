import { Breaker } from "./breaker.ts"
import { touchService } from "./candidates.ts"
import { InstanceState } from "./instance_state.ts"
import type { UpstreamMemory } from "./memory.ts"
import type { ServiceConfig } from "./service.ts"
import { instanceKey, type Slots } from "./slots.ts"

type Services = Readonly<Record<string, ServiceConfig>>

/** Closes the circuit of a service by hand and forgets its failures. False: there is no such circuit. */
export function resetCircuit(
  memory: UpstreamMemory,
  services: Services,
  slots: Slots,
  name: string,
  now: number,
): boolean {
  const slot = slots.services[name]
  const config = slot === undefined ? undefined : services[name]?.breaker
  if (slot === undefined || config === undefined) return false
  new Breaker(memory, slot, config).reset(now)
  return true
}

/**
 * Ends the ejection of an instance by hand; its active checks still decide for themselves. False: there is no
 * such instance.
 */
export function returnInstance(
  memory: UpstreamMemory,
  slots: Slots,
  service: string,
  url: string,
  now: number,
): boolean {
  const slot = slots.instances[instanceKey(service, url)]
  const serviceSlot = slots.services[service]
  if (slot === undefined || serviceSlot === undefined) return false
  new InstanceState(memory, slot).pardon(now)
  touchService(memory, serviceSlot)
  return true
}

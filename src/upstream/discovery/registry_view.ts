import { isoDate } from "../../lib/iso_date.ts"
import type { Registered } from "./registration.ts"
import type { RegistryEvent } from "./registry_events.ts"

/** An instance as the API shows it; times in seconds. */
export interface InstanceEntry {
  readonly id: string
  readonly service_name: string
  readonly url: string
  readonly weight: number
  readonly version: string
  readonly zone: string
  readonly tags: readonly string[]
  readonly depends_on: Registered["dependsOn"]
  readonly check_endpoint: string | null
  readonly check_interval: number | null
  /** `null`: it stays until it is deregistered. */
  readonly ttl: number | null
  readonly draining: boolean
  readonly registered_at: string
}

export function toEntry(instance: Registered): InstanceEntry {
  const { check, ttlMs } = instance
  return {
    id: instance.id,
    service_name: instance.service,
    url: instance.url,
    weight: instance.weight,
    version: instance.version,
    zone: instance.zone,
    tags: instance.tags,
    depends_on: instance.dependsOn,
    check_endpoint: check?.path ?? null,
    check_interval: check === undefined ? null : check.interval / 1000,
    ttl: ttlMs === 0 ? null : ttlMs / 1000,
    draining: instance.draining,
    registered_at: isoDate(instance.registeredAt),
  }
}

/** An event of a stream (HTML, server-sent events), after which a reader has come to `place`. */
export function eventText(type: string, place: string, data: object): string {
  return `event: ${type}\nid: ${place}\ndata: ${JSON.stringify(data)}\n\n`
}

/** All instances at once: what a reader begins with. */
export function snapshotText(place: string, instances: readonly Registered[]): string {
  return eventText("snapshot", place, { instances: instances.map(toEntry) })
}

export function changeText(place: string, { type, instance }: RegistryEvent): string {
  return eventText(type, place, toEntry(instance))
}

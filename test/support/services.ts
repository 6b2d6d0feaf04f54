import { InstanceState } from "../../src/upstream/instance_state.ts"
import { Member } from "../../src/upstream/member.ts"
import { createUpstreamMemory, type UpstreamMemory } from "../../src/upstream/memory.ts"
import type { ServiceConfig } from "../../src/upstream/service.ts"
import { instanceKey, SlotDirectory, type Slots } from "../../src/upstream/slots.ts"
import { exampleConfig } from "./config.ts"

/** A service's config from what a file would hold. */
export function serviceConfig(file: object): ServiceConfig {
  return exampleConfig({ services: { s: file } }).services.s!
}

export interface ServiceMemory {
  memory: UpstreamMemory
  slots: Slots
  /** Slot of the service "s". */
  slot: number
  members: Member[]
}

/** Shared memory for one service "s" with instances of these weights, two workers wide. */
export function serviceMemory(weights: readonly number[], slowStartMs = 0): ServiceMemory {
  const memory = createUpstreamMemory(2)
  const urls = weights.map((_, i) => `http://127.0.0.1:${8001 + i}`)
  const slots = new SlotDirectory(memory, () => 0).assign({ s: serviceConfig({ instances: urls }) })
  const members = weights.map((weight, i) => {
    const state = new InstanceState(memory, slots.instances[instanceKey("s", urls[i]!)]!)
    return new Member(i, urls[i]!, weight, state, slowStartMs)
  })
  return { memory, slots, slot: slots.services.s!, members }
}

/** A repeatable stand-in for chance (mulberry32). */
export function seededRandom(seed = 1): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

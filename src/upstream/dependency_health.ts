import type { Dependency } from "./discovery/source.ts"

/**
 * degraded: it answers, but part of it, or of what it needs, is out. down: it cannot answer, or lacks what it cannot
 * do without.
 */
export type ServiceStatus = "healthy" | "degraded" | "down"

export interface EffectiveHealth {
  readonly status: ServiceStatus
  /** Names from the service to the one at fault, itself when that is it; empty while it is healthy. */
  readonly chain: readonly string[]
}

export interface HealthGraph {
  /** How a service is by itself; `undefined`: nothing is known of it, and it counts for nothing. */
  readonly own: (name: string) => ServiceStatus | undefined
  readonly dependsOn: (name: string) => readonly Dependency[]
}

const HEALTHY: EffectiveHealth = { status: "healthy", chain: [] }
const RANK: Readonly<Record<ServiceStatus, number>> = { healthy: 0, degraded: 1, down: 2 }

/**
 * Health of a service with all it depends on: the worst of itself and its hard dependencies; a soft one that is
 * down degrades. Where a service and what it needs are equally bad, what it needs is named as the cause. `known`:
 * what has been worked out already; it grows. A circle, which config forbids, counts once.
 */
export function effectiveHealth(
  name: string,
  graph: HealthGraph,
  known: Map<string, EffectiveHealth> = new Map(),
): EffectiveHealth {
  const before = known.get(name)
  if (before !== undefined) return before
  const own = graph.own(name)
  if (own === undefined) return HEALTHY
  let worst: EffectiveHealth = own === "healthy" ? HEALTHY : { status: own, chain: [name] }
  // For whoever comes back here.
  known.set(name, worst)
  for (const { service, kind } of graph.dependsOn(name)) {
    const its = effectiveHealth(service, graph, known)
    const status = kind === "hard" ? its.status : its.status === "down" ? "degraded" : "healthy"
    const byItself = worst.chain.length === 1
    if (RANK[status] < RANK[worst.status] || status === "healthy") continue
    if (RANK[status] > RANK[worst.status] || byItself) worst = { status, chain: [name, ...its.chain] }
  }
  known.set(name, worst)
  return worst
}

import type { Dependency } from "./source.ts"

/** What each service depends on, by name. Names that are no key are services nothing is known of. */
export type DependencyGraph = ReadonlyMap<string, readonly Dependency[]>

/** Whether `from` depends on `to`, by whatever way; a service does not on itself. */
export function dependsOn(graph: DependencyGraph, from: string, to: string): boolean {
  const seen = new Set([from])
  const queue = [from]
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    for (const { service } of graph.get(name) ?? []) {
      if (service === to) return true
      if (seen.has(service)) continue
      seen.add(service)
      queue.push(service)
    }
  }
  return false
}

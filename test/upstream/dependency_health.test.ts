import { expect, test } from "bun:test"
import { effectiveHealth, type ServiceStatus } from "../../src/upstream/dependency_health.ts"
import type { Dependency } from "../../src/upstream/discovery/source.ts"

const hard = (service: string): Dependency => ({ service, kind: "hard" })
const soft = (service: string): Dependency => ({ service, kind: "soft" })

const health = (
  name: string,
  own: Record<string, ServiceStatus>,
  dependencies: Record<string, readonly Dependency[]>,
) =>
  effectiveHealth(name, {
    own: (each) => own[each],
    dependsOn: (each) => dependencies[each] ?? [],
  })

test("[T-6.5] [C-8.8] a service is as bad as the worst it cannot do without, however far away, and the chain names the way", () => {
  const graph = { story: [hard("model")], model: [hard("store")] }
  const own = { story: "healthy", model: "healthy", store: "down" } as const
  expect(health("story", own, graph)).toEqual({ status: "down", chain: ["story", "model", "store"] })
  expect(health("store", own, graph)).toEqual({ status: "down", chain: ["store"] })
  expect(health("story", { ...own, store: "degraded" }, graph).status).toBe("degraded")
  expect(health("story", { ...own, store: "healthy" }, graph)).toEqual({ status: "healthy", chain: [] })
})

test("[T-6.5] a soft dependency that is down degrades; one that is degraded does not matter", () => {
  const graph = { story: [soft("cache")] }
  expect(health("story", { story: "healthy", cache: "down" }, graph)).toEqual({
    status: "degraded",
    chain: ["story", "cache"],
  })
  expect(health("story", { story: "healthy", cache: "degraded" }, graph).status).toBe("healthy")
})

test("[T-6.5] where the service and what it needs are equally bad, what it needs is the cause; else the worse", () => {
  const graph = { story: [soft("cache"), hard("store")] }
  const own = { story: "down", cache: "down", store: "down" } as const
  expect(health("story", own, graph).chain).toEqual(["story", "store"])
  expect(health("story", { ...own, store: "degraded" }, graph).chain).toEqual(["story"])
})

test("[T-6.5] a service nothing is known of counts for nothing, and a circle ends", () => {
  expect(health("story", { story: "healthy" }, { story: [hard("elsewhere")] }).status).toBe("healthy")
  const circle = { a: [hard("b")], b: [hard("a")] }
  expect(health("a", { a: "healthy", b: "down" }, circle)).toEqual({ status: "down", chain: ["a", "b"] })
})

import { expect, test } from "bun:test"
import { Breaker } from "../../src/upstream/breaker.ts"
import { CandidateCache, touchService } from "../../src/upstream/candidates.ts"
import { resetBreaker, returnInstances } from "../../src/upstream/recovery.ts"
import { serviceConfig, serviceMemory } from "../support/services.ts"

test("[C-7.7] an operator closes a circuit by hand", () => {
  const { memory, slots, slot } = serviceMemory([1])
  const breaker = { failure_threshold: 1, min_throughput: 1 }
  const services = { s: serviceConfig({ instances: ["http://127.0.0.1:8001"], breaker }) }
  const live = new Breaker(memory, slot, services.s.breaker!)
  const permit = live.acquire(0)
  if (typeof permit === "object") throw new Error("refused")
  live.record(permit, "failure", 0)
  expect(live.view(1).state).toBe("open")
  const scope = { memory, services, slots, now: 1 }
  expect(resetBreaker("other", scope)).toBe(false)
  expect(resetBreaker("s", scope)).toBe(true)
  expect(live.view(1).state).toBe("closed")
})

test("[C-7.7] an operator returns an ejected instance by hand, and every thread sees it", () => {
  const { memory, slots, slot, members } = serviceMemory([1, 1])
  const cache = new CandidateCache(memory, slot, members, 0)
  members[0]!.state.eject(30_000, 3)
  touchService(memory, slot)
  expect(cache.at(1).list.length).toBe(1)
  const services = { s: serviceConfig({ instances: members.map(({ url }) => url) }) }
  const scope = { memory, services, slots, now: 1 }
  expect(returnInstances("s", "http://127.0.0.1:1", scope)).toBeUndefined()
  expect(returnInstances("s", members[0]!.url, scope)).toBe(1)
  expect(returnInstances("s", undefined, scope)).toBe(0)
  expect(cache.at(1).list.length).toBe(2)
  expect(members[0]!.state.ejections).toBe(0)
})

import { expect, test } from "bun:test"
import { Breaker } from "../../src/upstream/breaker.ts"
import { CandidateCache, touchService } from "../../src/upstream/candidates.ts"
import { resetCircuit, returnInstance } from "../../src/upstream/recover.ts"
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
  expect(resetCircuit(memory, services, slots, "other", 1)).toBe(false)
  expect(resetCircuit(memory, services, slots, "s", 1)).toBe(true)
  expect(live.view(1).state).toBe("closed")
})

test("[C-7.7] an operator returns an ejected instance by hand, and every thread sees it", () => {
  const { memory, slots, slot, members } = serviceMemory([1, 1])
  const cache = new CandidateCache(memory, slot, members, 0)
  members[0]!.state.eject(30_000, 3)
  touchService(memory, slot)
  expect(cache.at(1).list.length).toBe(1)
  expect(returnInstance(memory, slots, "s", "http://127.0.0.1:1", 1)).toBe(false)
  expect(returnInstance(memory, slots, "s", members[0]!.url, 1)).toBe(true)
  expect(cache.at(1).list.length).toBe(2)
  expect(members[0]!.state.ejections).toBe(0)
})

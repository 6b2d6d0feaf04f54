import { Breaker } from "../../src/upstream/breaker.ts"
import type { UpstreamMemory } from "../../src/upstream/memory.ts"
import type { BreakerConfig } from "../../src/upstream/service.ts"

declare const self: Worker

interface Task {
  memory: UpstreamMemory
  config: BreakerConfig
  rounds: number
}

/** Fails `rounds` times side by side with another thread, then both ask for the one trial and keep it. */
self.onmessage = ({ data: { memory, config, rounds } }: MessageEvent<Task>) => {
  const breaker = new Breaker(memory, 0, config)
  let failures = 0
  for (let i = 0; i < rounds; i++) {
    const permit = breaker.acquire(1000)
    if (typeof permit === "object") break
    breaker.record(permit, "failure", 1000)
    failures++
  }
  // The other thread's last failures open the circuit; give up when it stays closed.
  const giveUpAt = performance.now() + 5000
  while (breaker.view(1000).state === "closed" && performance.now() < giveUpAt) Atomics.pause()
  let trials = 0
  if (breaker.view(1000).state !== "closed")
    for (let i = 0; i < 1000; i++) if (typeof breaker.acquire(1000) === "number") trials++
  self.postMessage({ failures, trials })
}

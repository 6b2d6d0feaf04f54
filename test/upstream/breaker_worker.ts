import { Breaker } from "../../src/upstream/breaker.ts"
import type { UpstreamMemory } from "../../src/upstream/memory.ts"
import type { BreakerConfig } from "../../src/upstream/service.ts"

declare const self: Worker

export interface BreakerTask {
  memory: UpstreamMemory
  /** Where the two threads wait for each other. */
  gate: Int32Array
  config: BreakerConfig
  /** Failures this thread adds to the circuit of slot 0. */
  failures: number
  /** Open circuits, in slots from 1, of which both threads want the one trial at the same moment. */
  circuits: number
}

export interface BreakerFindings {
  failures: number
  /** By circuit: whether this thread got the trial. */
  trials: boolean[]
}

/** Long enough to meet the other when it runs too. */
const SPINS = 10_000

self.onmessage = ({ data: { memory, gate, config, failures, circuits } }: MessageEvent<BreakerTask>) => {
  let arrivals = 0
  const meet = () => {
    Atomics.add(gate, 0, 1)
    arrivals += 2
    for (let turns = 0, seen = 0; (seen = Atomics.load(gate, 0)) < arrivals; turns++)
      // The other may be waiting for this very core.
      if (turns < SPINS) Atomics.pause()
      else Atomics.wait(gate, 0, seen, 1)
  }
  meet()
  const breaker = new Breaker(memory, 0, config)
  let counted = 0
  for (let i = 0; i < failures; i++) {
    const permit = breaker.acquire(1000)
    if (typeof permit === "object") break
    breaker.record(permit, "failure", 1000)
    counted++
  }
  const trials: boolean[] = []
  for (let slot = 1; slot <= circuits; slot++) {
    const open = new Breaker(memory, slot, config)
    meet()
    trials.push(typeof open.acquire(1000) === "number")
  }
  self.postMessage({ failures: counted, trials } satisfies BreakerFindings)
}

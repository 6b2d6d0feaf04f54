import type { Balancer } from "./balancer.ts"
import { sample, sampleOther } from "./sample.ts"

/**
 * Of two instances drawn by weight, the one with fewer requests under way for its weight (all threads counted).
 * Two draws do nearly as well as looking at all, and threads do not all run to the same one.
 */
export function leastRequests(random: () => number): Balancer {
  return {
    pick(candidates, _exchange, now) {
      const first = sample(candidates, random, now)
      if (candidates.list.length === 1) return first
      // By weight too: a light instance in every second draw would get half of what a heavy one is busy for.
      const second =
        candidates.cumulative === undefined
          ? sampleOther(candidates, first, random, now)
          : sample(candidates, random, now)
      return second.state.inFlight / second.weight < first.state.inFlight / first.weight ? second : first
    },
  }
}

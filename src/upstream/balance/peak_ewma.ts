import type { Member } from "../member.ts"
import type { Balancer } from "./balancer.ts"
import { sample, sampleOther } from "./sample.ts"

/** Cost in milliseconds of an instance that has been asked and has never answered. */
const UNKNOWN_COST_MS = 60_000

/**
 * Of two instances drawn by weight, the one with the lower expected wait: its response-time estimate times the
 * requests under way (Finagle's Peak EWMA; the decay is in instance_state.ts). One of which nothing is known
 * is asked once and then waited for.
 */
export function peakEwma(random: () => number): Balancer {
  return {
    pick(candidates, _exchange, now) {
      const first = sample(candidates, random, now)
      if (candidates.list.length === 1) return first
      const second = sampleOther(candidates, first, random, now)
      return cost(second, now) < cost(first, now) ? second : first
    },
  }
}

function cost(member: Member, now: number): number {
  const estimate = member.state.responseTimeMs(now)
  const { inFlight } = member.state
  if (estimate === 0) return (UNKNOWN_COST_MS * inFlight) / member.weight
  return (estimate * (inFlight + 1)) / member.weight
}

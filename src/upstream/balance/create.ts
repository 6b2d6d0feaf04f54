import type { Member } from "../member.ts"
import type { ServiceConfig } from "../service.ts"
import type { Balancer } from "./balancer.ts"
import { hash } from "./hash.ts"
import { leastRequests } from "./least_requests.ts"
import { peakEwma } from "./peak_ewma.ts"
import { roundRobin } from "./round_robin.ts"

/** The balancer config asks for; `undefined` for a service of one instance, which has nothing to choose. */
export function createBalancer(
  config: Pick<ServiceConfig, "balance" | "hash_by" | "slow_start">,
  members: readonly Member[],
  random: () => number,
): Balancer | undefined {
  if (members.length === 1) return undefined
  switch (config.balance) {
    case "round_robin":
      return roundRobin(members, config.slow_start > 0, random)
    case "least_requests":
      return leastRequests(random)
    case "peak_ewma":
      return peakEwma(random)
    case "hash":
      return hash(members, config.hash_by, random)
  }
}

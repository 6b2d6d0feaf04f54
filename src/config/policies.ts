import { ORDER } from "../policies/order.ts"
import type { Policy, PolicyRoute } from "../policies/policy.ts"
import type { Config, RouteConfig } from "./schema.ts"

/** A policy as one route has it. */
export interface EffectivePolicy {
  readonly policy: Policy
  /** Decoded options, as `policy.compile` takes them. */
  readonly options: unknown
  /** Whether the options come from `defaults`. */
  readonly inherited: boolean
}

type PolicyOptions = Readonly<Record<string, unknown>>

/**
 * The policies of a route in running order: its own, and those of `defaults` it does not drop. A route's own
 * options replace the inherited ones as a whole; nothing is merged into them.
 */
export function effectivePolicies(config: Pick<Config, "defaults">, route: RouteConfig): EffectivePolicy[] {
  const own = route as PolicyOptions
  const defaults = config.defaults as PolicyOptions
  const dropped: readonly string[] = route.without
  const found: EffectivePolicy[] = []
  for (const policy of ORDER as readonly unknown[] as readonly Policy[]) {
    const mine = own[policy.name]
    const options = mine ?? (dropped.includes(policy.name) ? undefined : defaults[policy.name])
    if (options !== undefined) found.push({ policy, options, inherited: mine === undefined })
  }
  return found
}

/** What the policies of a route are told of it. */
export function policyRoute(
  route: RouteConfig,
  policies: readonly EffectivePolicy[],
  label: string,
): PolicyRoute {
  const cors = policies.find(({ policy }) => policy.name === "cors")?.options as
    | { origins: readonly string[] }
    | undefined
  return {
    path: route.path,
    methods: route.methods,
    label,
    service: route.service ?? "",
    origins: cors?.origins ?? [],
  }
}

import { limitsOf } from "../policies/limit_options.ts"
import { classesOf } from "../policies/priority.ts"
import { quotasOf } from "../policies/quota_options.ts"
import type { Decoded } from "./decode.ts"
import { effectivePolicies } from "./policies.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"
import type { RouteConfig } from "./schema.ts"

/** Classes a limit or quota of a route leaves alone: some request must have them, and some must not. */
export function checkExempt(decoded: Decoded, report: Report): void {
  const { config, routeIndex, brokenSections } = decoded
  if (brokenSections.has("defaults")) return
  for (const [i, route] of config.routes.entries()) {
    // Only the route's own: what comes from `defaults` is for many routes, and may suit others.
    const { rate_limit: limits, quota } = route
    if (limits === undefined && quota === undefined) continue
    const policy = effectivePolicies(config, route).find((each) => each.policy.name === "priority")
    const classes = classesOf(policy?.options as RouteConfig["priority"])
    for (const [name, options, list] of [
      ["rate_limit", limits, limits === undefined ? [] : limitsOf(limits)],
      ["quota", quota, quota === undefined ? [] : quotasOf(quota)],
    ] as const)
      for (const each of list) {
        const place = Array.isArray(options) ? [name, (options as readonly unknown[]).indexOf(each)] : [name]
        const at: Path = ["routes", routeIndex[i]!, ...place, "exempt", "priority"]
        checkClasses(each.exempt.priority, classes, at, report)
      }
  }
}

function checkClasses(exempt: readonly string[], there: readonly string[], at: Path, report: Report): void {
  for (const name of exempt)
    if (!there.includes(name))
      report.problem(
        at,
        `no request of this route is ever ${name}: its priority says ${there.join(", ")} only; write for example priority: ${name}, or give the class to a role`,
      )
  if (exempt.length > 0 && there.every((name) => exempt.includes(name)))
    report.problem(
      at,
      `every request of this route is ${there.join(" or ")}, so none is counted; leave it out`,
    )
}

import type { AuthSettings } from "../identity/settings.ts"
import { didYouMean } from "../lib/suggest.ts"
import { type QuotaOptions, quotasOf } from "../policies/quota_options.ts"
import type { Decoded } from "./decode.ts"
import { effectivePolicies } from "./policies.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"
import type { RouteConfig } from "./schema.ts"

const DAY_MS = 86_400_000

/** What quotas and usage need of the rest of the file: a store, callers that are known, and limits for their tiers. */
export function checkQuotaRoutes(decoded: Decoded, report: Report): void {
  const { config, routeIndex, brokenSections } = decoded
  const hasStore = config.store !== undefined || brokenSections.has("store")
  if (config.usage !== undefined) {
    if (!hasStore) report.problem(["usage"], `${NEEDS_STORE}, where it is counted`)
    const { retention } = config.usage
    if (retention < DAY_MS || retention > 3660 * DAY_MS)
      report.problem(["usage", "retention"], "must be at least 1d and at most 3660d")
  }
  const places: (readonly [quota: QuotaOptions, at: Path])[] = []
  const collect = (options: RouteConfig["quota"], at: Path) => {
    if (options === undefined) return
    for (const each of quotasOf(options))
      places.push([each, Array.isArray(options) ? [...at, options.indexOf(each)] : at])
  }
  collect(config.defaults.quota, ["defaults", "quota"])
  for (const [i, route] of config.routes.entries()) {
    collect(route.quota, ["routes", routeIndex[i]!, "quota"])
    checkCaller(decoded, route, routeIndex[i]!, report)
  }
  for (const [quota, at] of places) {
    if (!hasStore) report.problem(at, `${NEEDS_STORE}, where the units are kept`)
    if (config.auth !== undefined) checkTiers(quota, config.auth, at, report)
  }
  checkShared(places, report)
}

const NEEDS_STORE = "needs a store: write for example `store: sqlite:./gatehouse.db`"

/** Units belong to somebody: who calls must be known before. */
function checkCaller({ config, brokenSections }: Decoded, route: RouteConfig, i: number, report: Report) {
  if (brokenSections.has("auth") || brokenSections.has("defaults")) return
  const policies = effectivePolicies(config, route)
  const quota = policies.find(({ policy }) => policy.name === "quota")
  if (quota === undefined) return
  const auth = policies.find(({ policy }) => policy.name === "auth")
  const at: Path = ["routes", i, ...(quota.inherited ? [] : ["quota"])]
  if (auth === undefined)
    report.problem(at, "quota needs a caller who is known, and the route has no auth; add auth: {}")
  else if (!(auth.options as { readonly required: boolean }).required)
    report.problem(at, "quota needs a caller who is known; take `required: false` away from auth")
}

function checkTiers(quota: QuotaOptions, auth: AuthSettings, at: Path, report: Report): void {
  const { limits, exempt } = quota
  const say = (path: Path, name: string) =>
    report.problem(
      [...at, ...path],
      `unknown tier ${JSON.stringify(name)}${didYouMean(name, [...auth.tiers, "default"])}`,
    )
  for (const name of Object.keys(limits))
    if (name !== "default" && !auth.tiers.includes(name)) say(["limits", name], name)
  for (const [i, name] of exempt.tiers.entries())
    if (!auth.tiers.includes(name)) say(["exempt", "tiers", i], name)
  const without = auth.tiers.filter((tier) => !Object.hasOwn(limits, tier) && !exempt.tiers.includes(tier))
  if (without.length > 0 && !Object.hasOwn(limits, "default"))
    report.problem([...at, "limits"], `there is none for ${without.join(", ")}; add it, or default`)
  // Other issuers give roles this file need not know.
  if (auth.issuers.length > 0) return
  const roles = Object.keys(auth.roles)
  for (const [i, role] of exempt.roles.entries())
    if (!roles.includes(role))
      report.problem(
        [...at, "exempt", "roles", i],
        `unknown role ${JSON.stringify(role)}${didYouMean(role, roles)}`,
      )
}

/** One name is one account of units: it cannot mean two things. What a request costs may differ. */
function checkShared(places: readonly (readonly [QuotaOptions, Path])[], report: Report): void {
  const seen = new Map<string, string>()
  for (const [{ name, by, per, timezone, limits }, at] of places) {
    const meaning = JSON.stringify([by, per, timezone, Object.entries(limits).sort()])
    const other = seen.get(name)
    if (other === undefined) seen.set(name, meaning)
    else if (other !== meaning)
      report.problem(at, `another quota named ${name} has another by, per, timezone or limits`)
  }
}

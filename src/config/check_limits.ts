import { didYouMean } from "../lib/suggest.ts"
import { type LimitOptions, limitsOf, nameOf, partsOf } from "../policies/limit_options.ts"
import { toRedisSettings } from "../store/redis_settings.ts"
import type { Decoded } from "./decode.ts"
import { readCertificates, unreadable } from "./pem.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"

/** What limits say of callers: tiers and roles must exist, and one name must not mean two rates. */
export function checkLimits(decoded: Decoded, report: Report): void {
  const { config, routeIndex, brokenSections } = decoded
  const places: (readonly [limit: LimitOptions, at: Path])[] = []
  const collect = (options: Parameters<typeof limitsOf>[0] | undefined, at: Path) => {
    if (options === undefined) return
    const isList = Array.isArray(options)
    for (const [i, limit] of limitsOf(options).entries()) places.push([limit, isList ? [...at, i] : at])
  }
  const { sync_interval } = config.limits
  if (sync_interval < 10 || sync_interval > 5000)
    report.problem(["limits", "sync_interval"], "must be 10ms to 5s")
  const redis = config.redis === undefined ? undefined : toRedisSettings(config.redis)
  if (typeof redis === "string") report.problem(["redis"], redis)
  else if (redis?.ca !== undefined) checkAuthorities(redis.ca, report)
  collect(config.defaults.rate_limit, ["defaults", "rate_limit"])
  for (const [i, route] of config.routes.entries())
    collect(route.rate_limit, ["routes", routeIndex[i]!, "rate_limit"])
  if (!brokenSections.has("auth")) for (const [limit, at] of places) checkCallers(decoded, limit, at, report)
  checkShared(places, report)
  if (config.redis !== undefined || brokenSections.has("redis")) return
  for (const [limit, at] of places)
    if (limit.exact)
      report.warning([...at, "exact"], "has no effect: there is no redis to share the limit by")
}

function checkAuthorities(file: string, report: Report): void {
  try {
    readCertificates(file)
  } catch (error) {
    report.problem(["redis", "ca"], unreadable(error, "PEM certificates"), file)
  }
}

function checkCallers({ config }: Decoded, limit: LimitOptions, at: Path, report: Report): void {
  const { auth } = config
  const lists = [
    ["tiers", Object.keys(limit.tiers), ["tiers"]],
    ["tiers", limit.exempt.tiers, ["exempt", "tiers"]],
    ["roles", Object.keys(limit.roles), ["roles"]],
    ["roles", limit.exempt.roles, ["exempt", "roles"]],
  ] as const
  if (auth === undefined) {
    const asks = lists.some(([, names]) => names.length > 0)
    if (asks || partsOf(limit).some((part) => /^(api_key|tier|claim:.*)$/.test(part)))
      report.warning(at, "tells callers apart that are never known: there is no section auth")
    return
  }
  for (const [kind, names, path] of lists) {
    // Other issuers give roles this file need not know.
    if (kind === "roles" && auth.issuers.length > 0) continue
    const known = kind === "tiers" ? auth.tiers : Object.keys(auth.roles)
    for (const name of names) {
      if (known.includes(name)) continue
      const word = kind === "tiers" ? "tier" : "role"
      report.problem([...at, ...path], `unknown ${word} ${JSON.stringify(name)}${didYouMean(name, known)}`)
    }
  }
}

/** Routes that count together should agree on what they count; a bucket filled at two rates suits nobody. */
function checkShared(places: readonly (readonly [LimitOptions, Path])[], report: Report): void {
  const seen = new Map<string, string>()
  for (const [limit, at] of places) {
    if (limit.scope === "route") continue
    const key = `${limit.scope} ${nameOf(limit)}`
    const { rate, burst, by, tiers, roles } = limit
    const meaning = JSON.stringify([rate, burst, by, tiers, roles])
    const other = seen.get(key)
    if (other === undefined) seen.set(key, meaning)
    else if (other !== meaning)
      report.warning(
        at,
        `another limit named ${nameOf(limit)} with scope ${limit.scope} has another rate or by`,
      )
  }
}

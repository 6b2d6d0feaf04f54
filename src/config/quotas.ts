import { type QuotaOptions, quotasOf } from "../policies/quota_options.ts"
import type { Config } from "./schema.ts"

/** The quotas of a checked config by name, in the order of the file. */
export function definedQuotas({ defaults, routes }: Config): ReadonlyMap<string, QuotaOptions> {
  const found = new Map<string, QuotaOptions>()
  for (const { quota } of [defaults, ...routes])
    for (const each of quota === undefined ? [] : quotasOf(quota))
      if (!found.has(each.name)) found.set(each.name, each)
  return found
}

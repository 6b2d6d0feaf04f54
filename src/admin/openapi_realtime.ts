import type { Config } from "../config/schema.ts"
import { CALLER_FAILURES, operationOf } from "./openapi_identity.ts"
import { realtimeRoutes } from "./realtime/endpoints.ts"
import { REALTIME_REFERENCE } from "./realtime/reference.ts"

type Json = Record<string, unknown>

/**
 * The endpoints of the section `realtime` as OpenAPI paths. `refuse`: a reference to the response of a status.
 * `callers`: the security of endpoints that need a caller.
 */
export function realtimePaths(config: Config, refuse: (status: number) => Json, callers: Json[]): Json {
  const { realtime } = config
  if (realtime === undefined) return {}
  const paths: Record<string, Json> = {}
  // Whoever nobody knows is let in by config only.
  const optional = realtime.anonymous ? [...callers, {}] : callers
  for (const { path, methods, caller } of realtimeRoutes(config))
    for (const method of methods) {
      const operations = (paths[path.replaceAll(/:(\w+)/g, "{$1}")] ??= {})
      operations[method.toLowerCase()] = operationOf(
        REALTIME_REFERENCE[`${method} ${path.slice(realtime.path.length)}`]!,
        {
          method,
          path: `/realtime${path.slice(realtime.path.length)}`,
          tag: "realtime",
          security: caller === true ? callers : optional,
          failures: ["OVERLOADED", ...CALLER_FAILURES],
          refuse,
        },
      )
    }
  return paths
}

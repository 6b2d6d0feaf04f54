import type { BuiltinRoute } from "../../gateway/snapshot.ts"

const endpoint = (path: string, ...methods: BuiltinRoute["methods"][number][]): BuiltinRoute => ({
  path: `/registry${path}`,
  methods,
  caller: true,
})

/** Path of the stream of changes, below a prefix. */
export const WATCH_PATH = "/registry/watch"

/** Endpoints for services that register themselves, below each of `auth.prefixes`. */
export const REGISTRY_ENDPOINTS: readonly BuiltinRoute[] = [
  endpoint("/services", "GET", "POST"),
  endpoint("/services/:name", "GET"),
  endpoint("/services/:name/instances/:id", "GET", "DELETE"),
  endpoint("/services/:name/instances/:id/heartbeat", "PUT"),
  endpoint("/services/:name/instances/:id/drain", "POST", "DELETE"),
  endpoint("/watch", "GET"),
]

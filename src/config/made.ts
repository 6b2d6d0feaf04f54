import type { TSchema } from "typebox"
import { type HealthConfig, HealthSchema, type ServiceConfig, ServiceSchema } from "../upstream/service.ts"
import { decodeUnits } from "./decode_units.ts"
import { fillDefaults } from "./fill_defaults.ts"
import { type RouteConfig, RouteSchema } from "./schema.ts"
import { asSchema } from "./schema_walk.ts"

function decodeWithDefaults(schema: TSchema, value: object): unknown {
  return decodeUnits(asSchema(schema), fillDefaults(asSchema(schema), value))
}

/** A service as a file would have it that says nothing but its name. */
export function madeService(): ServiceConfig {
  return decodeWithDefaults(ServiceSchema, {}) as ServiceConfig
}

/** A route to a service with nothing but its path. */
export function madeRoute(path: string, service: string): RouteConfig {
  return decodeWithDefaults(RouteSchema, { path, service }) as RouteConfig
}

/** Health checks with nothing but their path. */
export function madeHealth(path: string): HealthConfig {
  return decodeWithDefaults(HealthSchema, { path }) as HealthConfig
}

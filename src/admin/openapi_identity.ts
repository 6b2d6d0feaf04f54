import type { Config } from "../config/schema.ts"
import { FAILURES, type FailureCode } from "../policies/failure.ts"
import { identityRoutes } from "./auth/endpoints.ts"
import { type Described, IDENTITY_REFERENCE } from "./auth/reference.ts"
import { REGISTRY_REFERENCE } from "./registry/reference.ts"

type Json = Record<string, unknown>

/** What every endpoint for callers may refuse with. */
const CALLER_FAILURES = ["AUTH_ERROR", "CSRF_FAILED"] as const

/**
 * The endpoints of identity and of the registry as OpenAPI paths, below the first prefix of the config. `refuse`: a reference to the
 * response of a status. `callers`: the security of endpoints that need a caller.
 */
export function identityPaths(config: Config, refuse: (status: number) => Json, callers: Json[]): Json {
  const prefix = config.auth?.prefixes[0] ?? ""
  const paths: Record<string, Json> = {}
  for (const { path, methods, caller } of identityRoutes(config)) {
    const below = path.startsWith("/.well-known/") ? path : path.slice(prefix.length)
    for (const method of methods) {
      const name = `${method} ${below}`
      const described = IDENTITY_REFERENCE[name] ?? REGISTRY_REFERENCE[name]
      if (described === undefined) continue // the same below another prefix
      const operations = (paths[path.replaceAll(/:(\w+)/g, "{$1}")] ??= {})
      operations[method.toLowerCase()] = operationOf(
        described,
        method,
        below,
        caller === true,
        refuse,
        callers,
      )
    }
  }
  return paths
}

function operationOf(
  described: Described,
  method: string,
  path: string,
  caller: boolean,
  refuse: (status: number) => Json,
  callers: Json[],
): Json {
  const { summary, description, request, form, query = [], status = 200, answer, failures } = described
  const codes: FailureCode[] = [
    ...failures,
    "HTTPS_REQUIRED",
    "OVERLOADED",
    ...(caller ? CALLER_FAILURES : []),
  ]
  const statuses = [...new Set(codes.map((code) => FAILURES[code].status))].sort((a, b) => a - b)
  const names = [...path.matchAll(/:(\w+)/g)].map((found) => found[1]!)
  const media = { schema: { type: "object" }, example: request }
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/\W+/g, "_")}`,
    tags: [path.startsWith("/registry/") ? "registry" : "identity"],
    summary,
    ...(description !== undefined && { description }),
    security: caller ? callers : [],
    parameters: [
      ...names.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } })),
      ...query.map((name) => ({ name, in: "query", schema: { type: "string" } })),
    ],
    ...(request !== undefined && {
      requestBody: {
        content: { "application/json": media, ...(form && { "application/x-www-form-urlencoded": media }) },
      },
    }),
    responses: {
      [status]: {
        description: "Done.",
        ...(answer !== undefined && {
          content: { "application/json": { schema: { type: "object" }, example: answer } },
        }),
      },
      ...Object.fromEntries(statuses.map((each) => [each, refuse(each)])),
    },
  }
}

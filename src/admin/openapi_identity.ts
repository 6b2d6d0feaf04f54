import type { Config } from "../config/schema.ts"
import { FAILURES, type FailureCode } from "../policies/failure.ts"
import { identityRoutes } from "./auth/endpoints.ts"
import { type Described, type DescribedParameter, IDENTITY_REFERENCE } from "./auth/reference.ts"
import { REGISTRY_REFERENCE } from "./registry/reference.ts"

type Json = Record<string, unknown>

/** What every endpoint may refuse with, and those for callers. */
const FAILURES_OF_ALL: readonly FailureCode[] = ["HTTPS_REQUIRED", "OVERLOADED"]
export const CALLER_FAILURES: readonly FailureCode[] = ["AUTH_ERROR", "CSRF_FAILED"]

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
      operations[method.toLowerCase()] = operationOf(described, {
        method,
        path: below,
        tag: below.startsWith("/registry/") ? "registry" : "identity",
        security: caller === true ? callers : [],
        failures: caller === true ? [...FAILURES_OF_ALL, ...CALLER_FAILURES] : FAILURES_OF_ALL,
        refuse,
      })
    }
  }
  return paths
}

/** What an operation is beside what is said of it. */
export interface OperationPlace {
  readonly method: string
  /** With parameters as `:name`. */
  readonly path: string
  readonly tag: string
  readonly security: readonly Json[]
  /** What every endpoint of its kind may refuse with. */
  readonly failures: readonly FailureCode[]
  /** A reference to the response of a status. */
  readonly refuse: (status: number) => Json
}

/** An operation of OpenAPI. */
export function operationOf(described: Described, place: OperationPlace): Json {
  const { summary, description, request, form, query = [], headers = [], status = 200, answer } = described
  const { method, path, tag, security, refuse } = place
  const codes = [...described.failures, ...place.failures]
  const statuses = [...new Set(codes.map((code) => FAILURES[code].status))].sort((a, b) => a - b)
  const names = [...path.matchAll(/:(\w+)/g)].map((found) => found[1]!)
  const media = { schema: { type: "object" }, example: request }
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/\W+/g, "_")}`,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    security,
    parameters: [
      ...names.map((name) => ({ name, in: "path", required: true, schema: TEXT })),
      ...query.map((each) =>
        typeof each === "string" ? { name: each, in: "query", schema: TEXT } : parameterOf("query", each),
      ),
      ...headers.map((each) => parameterOf("header", each)),
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
          content: {
            [described.media ?? "application/json"]: {
              schema: typeof answer === "string" ? TEXT : { type: "object" },
              example: answer,
            },
          },
        }),
      },
      ...Object.fromEntries(statuses.map((each) => [each, refuse(each)])),
    },
  }
}

const TEXT: Json = { type: "string" }

const parameterOf = (place: string, { schema = TEXT, ...rest }: DescribedParameter): Json => ({
  ...rest,
  in: place,
  schema,
})

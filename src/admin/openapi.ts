import { swagger } from "@elysiajs/swagger"
import { type AnyElysia, Elysia } from "elysia"
import { type Pattern, parsePattern } from "../config/pattern.ts"
import { effectivePolicies } from "../config/policies.ts"
import type { Config, RouteConfig } from "../config/schema.ts"
import { ANY_CALLER } from "../policies/auth.ts"
import { authInWords } from "../policies/auth_words.ts"
import { FAILURES, type FailureCode } from "../policies/failure.ts"
import { identityPaths } from "./openapi_identity.ts"
import { realtimePaths } from "./openapi_realtime.ts"
import { safetyPaths } from "./openapi_safety.ts"
import { securityOf, securitySchemes } from "./openapi_security.ts"

type Json = Record<string, unknown>
type AuthOptions = NonNullable<RouteConfig["auth"]>

/** Methods documented for a route that serves all. HEAD and OPTIONS come along with the others. */
const ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
const METHODS_WITH_BODY = new Set(["post", "put", "patch"])

/** Statuses every route may refuse with, and those a service and a WebSocket handshake bring along. */
const COMMON_STATUSES = [400, 404, 405, 408, 413, 417, 500]
const SERVICE_STATUSES = [502, 503, 504]
const WEBSOCKET_STATUSES = [401, 403, 426]
/** What a policy adds, by its name. */
const POLICY_STATUSES: Readonly<Record<string, readonly number[]>> = {
  accept: [406],
  auth: [401, 403, 503],
  cors: [403],
  validate: [415],
}

/**
 * The API reference as an OpenAPI 3.1 document, in JSON: the built-in endpoints (`builtin`, an app whose
 * routes carry a `detail`) and every configured route. Costs milliseconds; keep the text per configuration.
 */
export async function openApiText(config: Config, version: string, builtin: AnyElysia): Promise<string> {
  const documentation = {
    openapi: "3.1.0",
    info: {
      title: "Gatehouse",
      version,
      description:
        "What this gateway serves. Every refusal of the gateway itself has the form of `Error`; its `code` is stable.",
    },
    servers: [{ url: "/" }],
    security: [],
    tags: tagsOf(config),
    paths: { ...ownPathsOf(config), ...pathsOf(config) },
    components: {
      schemas: { Error: ERROR_SCHEMA },
      responses: errorResponses(),
      examples: errorExamples(),
      ...(config.auth !== undefined && { securitySchemes: securitySchemes(config.auth) }),
    },
  }
  // The plugin types its documentation as OpenAPI 3.0; it passes 3.1 through as it is.
  const options = { documentation, path: "/ui", specPath: "/spec", excludeStaticFile: false } as object
  const app = new Elysia({ aot: false }).use(builtin).use(swagger(options))
  const response = await app.handle(new Request("http://localhost/spec"))
  return response.text()
}

function ownPathsOf(config: Config): Json {
  const refuse = (status: number): Json => ({ $ref: `#/components/responses/${statusName(status)}` })
  const callers = securityOf(config, ANY_CALLER)
  return {
    ...identityPaths(config, refuse, callers),
    ...realtimePaths(config, refuse, callers),
    ...safetyPaths(config, refuse, callers),
  }
}

const ERROR_SCHEMA = {
  type: "object",
  required: ["error", "request_id"],
  properties: {
    error: {
      type: "object",
      required: ["code", "message", "details"],
      properties: {
        code: { type: "string", enum: Object.keys(FAILURES) },
        message: { type: "string" },
        details: { type: "object" },
      },
    },
    request_id: { type: "string", description: "Also in `X-Request-Id` and in the gateway's log." },
  },
}

function errorExamples(): Json {
  return Object.fromEntries(
    Object.entries(FAILURES).map(([code, { message, doc }]) => [
      code,
      {
        summary: doc,
        value: { error: { code, message, details: {} }, request_id: "0196f6a0-3c1e-7b52-9d41-5d0f2b8a7c11" },
      },
    ]),
  )
}

const statusName = (status: number): string => `Status${status}`

/** One response a status, with every code that has it. */
function errorResponses(): Json {
  const byStatus = new Map<number, FailureCode[]>()
  for (const code of Object.keys(FAILURES) as FailureCode[]) {
    const { status } = FAILURES[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [statusName(status), errorResponse(codes)]),
  )
}

function errorResponse(codes: readonly FailureCode[]): Json {
  return {
    description: codes.map((code) => `\`${code}\`: ${FAILURES[code].doc}`).join("\n\n"),
    content: {
      "application/json": {
        schema: { $ref: "#/components/schemas/Error" },
        examples: Object.fromEntries(codes.map((code) => [code, { $ref: `#/components/examples/${code}` }])),
      },
    },
  }
}

function tagsOf(config: Config): Json[] {
  const services = new Set(config.routes.map((route) => route.service).filter((name) => name !== undefined))
  const tags = [...services].map((name) => ({ name, description: `Routes of the service ${name}.` }))
  return [
    { name: "gateway", description: "Answered by the gateway itself." },
    { name: "identity", description: "Accounts, sign-in and tokens; answered by the gateway itself." },
    ...(config.realtime === undefined
      ? []
      : [{ name: "realtime", description: "Channels; what comes by WebSocket is in docs/asyncapi.yaml." }]),
    ...tags,
  ]
}

/** Paths that differ in parameter names only are one path to OpenAPI: the first one names them. */
function pathsOf(config: Config): Json {
  const paths: Record<string, Json> = {}
  const pathByKey = new Map<string, string>()
  const ids = new Set<string>()
  for (const route of config.routes) {
    const pattern = parsePattern(route.path)
    if (typeof pattern === "string") continue // the config check has refused it already
    const key = pattern.key.replaceAll("*", ":")
    const path = pathByKey.get(key) ?? toOpenApiPath(pattern)
    pathByKey.set(key, path)
    const operations = (paths[path] ??= {})
    for (const method of route.methods.length === 0 ? ALL_METHODS : route.methods) {
      const name = method.toLowerCase()
      const known = operations[name] as Json | undefined
      if (known === undefined) operations[name] = operationOf(config, route, path, name, ids)
      else known.description = `${known.description}\n\n${conditionsOf(route, "Another route")}`
    }
  }
  return paths
}

function toOpenApiPath(pattern: Pattern): string {
  let parameter = 0
  const rest = pattern.parameters.includes("rest") ? "wildcard" : "rest"
  const segments = pattern.segments.map((segment) => {
    if (segment.kind === "literal") return segment.text
    return segment.kind === "wildcard" ? `{${rest}}` : `{${pattern.parameters[parameter++]}}`
  })
  return `/${segments.join("/")}`
}

function operationOf(
  config: Config,
  route: RouteConfig,
  path: string,
  method: string,
  ids: Set<string>,
): Json {
  const policies = new Map(
    effectivePolicies(config, route).map(({ policy, options }) => [policy.name, options]),
  )
  const validate = policies.get("validate") as { query?: Json; headers?: Json; body?: Json } | undefined
  const asked = policies.get("auth") as AuthOptions | undefined
  const description = [
    route.description,
    conditionsOf(route, "This route"),
    asked && `It ${authInWords(asked).join(", ")}.`,
  ]
    .filter(Boolean)
    .join("\n\n")
  const example = route.examples?.request
  const body = METHODS_WITH_BODY.has(method) && {
    requestBody: {
      content: {
        "application/json": { schema: validate?.body ?? {}, ...(example !== undefined && { example }) },
      },
    },
  }
  return {
    operationId: uniqueId(`${method}${path}`, ids),
    tags: [route.service ?? "gateway"],
    summary: route.summary ?? `${method.toUpperCase()} ${path}`,
    description,
    security: securityOf(config, asked),
    parameters: [
      ...pathParameters(route, path),
      ...schemaParameters("query", validate?.query),
      ...schemaParameters("header", validate?.headers),
    ],
    ...body,
    responses: responsesOf(route, policies),
  }
}

function conditionsOf(route: RouteConfig, subject: string): string {
  const conditions = [
    ...(route.hosts.length > 0 ? [`host ${route.hosts.join(" or ")}`] : []),
    ...Object.entries(route.headers).map(([name, value]) => `header ${name}: ${value}`),
  ]
  const served = route.service === undefined ? "is answered by the gateway" : `is served by ${route.service}`
  return `${subject} ${served}${conditions.length > 0 ? ` for ${conditions.join(", ")}` : ""}.`
}

function pathParameters(route: RouteConfig, path: string): Json[] {
  const wildcard = route.path.endsWith("/*")
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]!)
  return names.map((name, i) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
    ...(wildcard &&
      i === names.length - 1 && { description: "The rest of the path; may hold slashes, may be empty." }),
  }))
}

function schemaParameters(place: "query" | "header", schema: Json | undefined): Json[] {
  const properties = (schema?.properties ?? {}) as Record<string, Json>
  const required = (schema?.required ?? []) as string[]
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: property,
  }))
}

function responsesOf(route: RouteConfig, policies: ReadonlyMap<string, unknown>): Json {
  const statuses = new Set(COMMON_STATUSES)
  if (route.service !== undefined) for (const status of SERVICE_STATUSES) statuses.add(status)
  if (route.websocket !== undefined) for (const status of WEBSOCKET_STATUSES) statuses.add(status)
  for (const policy of policies.keys())
    for (const status of POLICY_STATUSES[policy] ?? []) statuses.add(status)
  const responses: Json = {}
  const example = route.examples?.response
  responses[String(route.respond?.status ?? 200)] = {
    description: route.service === undefined ? "Answer of the gateway." : `Answer of ${route.service}.`,
    ...(example !== undefined && { content: { "application/json": { example } } }),
  }
  for (const status of [...statuses].sort((a, b) => a - b))
    responses[status] ??= { $ref: `#/components/responses/${statusName(status)}` }
  return responses
}

function uniqueId(text: string, ids: Set<string>): string {
  const base = text.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_|_$/g, "")
  let id = base
  for (let n = 2; ids.has(id); n++) id = `${base}_${n}`
  ids.add(id)
  return id
}

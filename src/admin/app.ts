import { type AnyElysia, Elysia, ParseError, t } from "elysia"
import type { Problem } from "../config/problem.ts"
import type { Config } from "../config/schema.ts"
import { recordOf } from "../identity/accounts.ts"
import type { AuditRecord } from "../identity/context.ts"
import type { Log } from "../observe/log.ts"
import { StoreError } from "../store/sql.ts"
import { admit, HEADERS, ok, operatorOf, refuse } from "./answer.ts"
import { createHealth, type HealthDeps } from "./health.ts"
import { redactConfig } from "./redact_config.ts"
import { tokenCheck } from "./token.ts"

export type ReloadOutcome =
  | { readonly result: "applied"; readonly generation: number; readonly restartNeeded: readonly string[] }
  | { readonly result: "rejected"; readonly problems: readonly Problem[] }

/** What operators may ask of the gateway. */
export interface AdminDeps extends HealthDeps {
  readonly token: () => string
  readonly config: () => Config
  /** The Prometheus page. */
  readonly metrics: () => Promise<{ text: string; contentType: string }>
  /** Plain data; shown as it is. */
  readonly status: () => object
  readonly reload: () => Promise<ReloadOutcome>
  /** Closes a service's circuit. `false`: there is no such service, or it has no breaker. */
  readonly resetBreaker: (service: string) => boolean
  /** Ends ejections of a service's instances, or of the one with this URL; how many returned, `undefined` for an unknown name. */
  readonly returnInstances: (service: string, url: string | undefined) => number | undefined
  /** Puts what an operator did on record, where there is a store. Never rejects: it is done already. */
  readonly record: (record: AuditRecord) => Promise<void>
  /** More endpoints, behind the same token: Elysia applications with whole paths. */
  readonly groups: readonly AnyElysia[]
  readonly log: Log
}

const noService = (request: Request, name: string): Response =>
  refuse(request, 404, "NOT_FOUND", `There is no service "${name}".`)

/** The JSON of a body, `undefined` for an empty one. */
async function parseBody(request: Request): Promise<unknown> {
  const text = await request.text()
  if (text === "") return undefined
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message quotes the body.
    throw new ParseError()
  }
}

/** What the store cannot do just now is no bug; the log of the store tells why. */
function refuseFault(request: Request, error: unknown, log: Log): Response {
  if (error instanceof StoreError && error.kind !== "failed" && error.kind !== "conflict")
    return refuse(request, 503, "STORE_UNAVAILABLE", "The store cannot be read or written; see the log.")
  log.error("admin.fault", { error })
  return refuse(request, 500, "INTERNAL_ERROR", "The gateway failed to handle the request; see its log.")
}

function adminRoutes(deps: AdminDeps) {
  return (
    // normalize: false, so that unknown fields are refused and not dropped.
    new Elysia({ normalize: false, handler: { standardHostname: false } })
      // Before the routes: a hook holds for what comes after it.
      .onError(({ code, error, request }) => {
        switch (code) {
          case "NOT_FOUND":
            return refuse(request, 404, "NOT_FOUND", "There is nothing here.")
          case "VALIDATION":
            return refuse(
              request,
              422,
              "VALIDATION_FAILED",
              "The body does not fit; see the admin API reference.",
            )
          case "PARSE":
            return refuse(request, 400, "INVALID_REQUEST", "The request is malformed.")
          default:
            return refuseFault(request, error, deps.log)
        }
      })
      .use(createHealth(deps))
      .get("/metrics", async () => {
        const { text, contentType } = await deps.metrics()
        return new Response(text, { headers: { ...HEADERS, "content-type": contentType } })
      })
      .get("/admin/v1/status", () => ok({ version: deps.version, ...deps.status() }))
      .get("/admin/v1/config", () => ok(redactConfig(deps.config()) as object))
      .post("/admin/v1/reload", async ({ request }) => {
        const outcome = await deps.reload()
        const result = outcome.result === "applied" ? "success" : "failure"
        await deps.record(recordOf(operatorOf(request), "config.reload", result, ""))
        if (outcome.result === "applied") {
          return ok({
            result: "applied",
            generation: outcome.generation,
            restart_needed: outcome.restartNeeded,
          })
        }
        const details = { problems: outcome.problems }
        return refuse(
          request,
          422,
          "CONFIG_REJECTED",
          "The configuration has problems; the old one stays.",
          details,
        )
      })
      .post("/admin/v1/services/:name/breaker/reset", async ({ request, params: { name } }) => {
        if (!(name in deps.config().services)) return noService(request, name)
        if (!deps.resetBreaker(name))
          return refuse(request, 409, "NO_BREAKER", `The service "${name}" has no breaker.`)
        await deps.record(recordOf(operatorOf(request), "breaker.reset", "success", name))
        return ok({ service: name, breaker: "closed" })
      })
      .post(
        "/admin/v1/services/:name/instances/return",
        async ({ request, params: { name }, body }) => {
          const returned = deps.returnInstances(name, body?.instance)
          if (returned === undefined) return noService(request, name)
          await deps.record(recordOf(operatorOf(request), "instances.return", "success", name, { returned }))
          return ok({ service: name, returned })
        },
        {
          // Elysia takes a broken body for none where none is allowed; then this would return all instances.
          parse: ({ request }) => parseBody(request),
          body: t.Optional(t.Object({ instance: t.String() }, { additionalProperties: false })),
        },
      )
  )
}

const OPEN_PATHS: ReadonlySet<string> = new Set([
  "/health",
  "/health/live",
  "/health/ready",
  "/health/dependencies",
])

/**
 * The admin API as one function. Every request needs the bearer token before anything else of it is looked
 * at, so an unknown path is 401 too; only the health endpoints are open. `client`: address of the peer. Answers
 * name the request's id in X-Request-Id.
 */
export function createAdmin(deps: AdminDeps): (request: Request, client: string) => Promise<Response> {
  const app = adminRoutes(deps)
  for (const group of deps.groups) app.use(group)
  const allowed = tokenCheck(deps.token)
  const answer = async (request: Request): Promise<Response> => {
    // With a malformed Host the URL is a bare path, and routing would read it shifted.
    const url = URL.parse(request.url)
    if (url === null) return refuse(request, 400, "INVALID_HOST", "The Host header is missing or malformed.")
    if (OPEN_PATHS.has(url.pathname) && request.method === "GET") return app.handle(request)
    if (!allowed(request.headers.get("authorization"))) {
      deps.log.warn("admin.denied", { method: request.method, path: url.pathname })
      return refuse(
        request,
        401,
        "AUTH_ERROR",
        "The admin API needs `Authorization: Bearer` with the admin token.",
      )
    }
    return app.handle(request)
  }
  return async (request, client) => {
    const { requestId } = admit(request, client)
    const response = await answer(request)
    response.headers.set("x-request-id", requestId)
    return response
  }
}

import { Elysia, ParseError, t } from "elysia"
import type { Problem } from "../config/problem.ts"
import type { Config } from "../config/schema.ts"
import { newRequestId } from "../lib/request_id.ts"
import type { Log } from "../observe/log.ts"
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
  readonly log: Log
}

const HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

const ok = (body: object): Response => Response.json(body, { headers: HEADERS })

function refuse(status: number, code: string, message: string, details: object = {}): Response {
  const headers = { ...HEADERS, ...(status === 401 && { "www-authenticate": "Bearer" }) }
  return Response.json({ error: { code, message, details }, request_id: newRequestId() }, { status, headers })
}

const noService = (name: string): Response => refuse(404, "NOT_FOUND", `There is no service "${name}".`)

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

function adminRoutes(deps: AdminDeps) {
  return (
    // normalize: false, so that unknown fields are refused and not dropped.
    new Elysia({ normalize: false, handler: { standardHostname: false } })
      // Before the routes: a hook holds for what comes after it.
      .onError(({ code, error }) => {
        switch (code) {
          case "NOT_FOUND":
            return refuse(404, "NOT_FOUND", "There is nothing here.")
          case "VALIDATION":
            return refuse(422, "VALIDATION_FAILED", "The body does not fit; see the admin API reference.")
          case "PARSE":
            return refuse(400, "INVALID_REQUEST", "The request is malformed.")
          default:
            deps.log.error("admin.fault", { error })
            return refuse(500, "INTERNAL_ERROR", "The gateway failed to handle the request; see its log.")
        }
      })
      .use(createHealth(deps))
      .get("/metrics", async () => {
        const { text, contentType } = await deps.metrics()
        return new Response(text, { headers: { ...HEADERS, "content-type": contentType } })
      })
      .get("/admin/v1/status", () => ok({ version: deps.version, ...deps.status() }))
      .get("/admin/v1/config", () => ok(redactConfig(deps.config()) as object))
      .post("/admin/v1/reload", async () => {
        const outcome = await deps.reload()
        if (outcome.result === "applied") {
          return ok({
            result: "applied",
            generation: outcome.generation,
            restart_needed: outcome.restartNeeded,
          })
        }
        const details = { problems: outcome.problems }
        return refuse(422, "CONFIG_REJECTED", "The configuration has problems; the old one stays.", details)
      })
      .post("/admin/v1/services/:name/breaker/reset", ({ params: { name } }) => {
        if (!(name in deps.config().services)) return noService(name)
        if (deps.resetBreaker(name)) return ok({ service: name, breaker: "closed" })
        return refuse(409, "NO_BREAKER", `The service "${name}" has no breaker.`)
      })
      .post(
        "/admin/v1/services/:name/instances/return",
        ({ params: { name }, body }) => {
          const returned = deps.returnInstances(name, body?.instance)
          return returned === undefined ? noService(name) : ok({ service: name, returned })
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
 * at, so an unknown path is 401 too; only the health endpoints are open.
 */
export function createAdmin(deps: AdminDeps): (request: Request) => Promise<Response> {
  const app = adminRoutes(deps)
  const allowed = tokenCheck(deps.token)
  return async (request) => {
    // With a malformed Host the URL is a bare path, and routing would read it shifted.
    const url = URL.parse(request.url)
    if (url === null) return refuse(400, "INVALID_HOST", "The Host header is missing or malformed.")
    if (OPEN_PATHS.has(url.pathname) && request.method === "GET") return app.handle(request)
    if (!allowed(request.headers.get("authorization"))) {
      deps.log.warn("admin.denied", { method: request.method, path: url.pathname })
      return refuse(401, "AUTH_ERROR", "The admin API needs `Authorization: Bearer` with the admin token.")
    }
    return app.handle(request)
  }
}

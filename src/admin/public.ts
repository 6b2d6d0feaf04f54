import { Elysia } from "elysia"
import type { Config } from "../config/schema.ts"
import type { Builtins } from "../gateway/snapshot.ts"
import { FieldList } from "../http1/field_list.ts"
import type { Answer, Exchange } from "../upstream/exchange.ts"
import { createDocs } from "./docs.ts"
import { createHealth, type HealthDeps } from "./health.ts"

export interface BuiltinDeps extends HealthDeps {
  /** The configuration in force; the API reference is made anew when it is another object. */
  readonly config: () => Config
}

/** Every path answered here: the routing table needs them before there is an app. */
export const BUILTIN_PATHS: readonly string[] = [
  "/health",
  "/health/live",
  "/health/ready",
  "/health/dependencies",
  "/docs",
  "/docs/json",
  "/docs/start.js",
  "/docs/swagger-ui.js",
  "/docs/swagger-ui.css",
]

/** The endpoints the gateway answers itself to anybody: /health… and /docs…. */
export function createBuiltins(deps: BuiltinDeps): Builtins {
  const health = createHealth(deps)
  let documented: Config | undefined
  let document: Promise<string> | undefined
  const openApi = (): Promise<string> => {
    const config = deps.config()
    if (document === undefined || documented !== config) {
      documented = config
      // Loaded when first asked for: its packages would hold up the start of every worker.
      document = import("./openapi.ts").then(({ openApiText }) =>
        openApiText(config, deps.version, createHealth(deps)),
      )
    }
    return document
  }
  const app = new Elysia().use(health).use(createDocs(openApi))
  return {
    paths: BUILTIN_PATHS,
    answer: async (exchange) => toAnswer(await app.handle(toRequest(exchange))),
  }
}

/** Built-in endpoints read nothing but the path: no header or body of the client reaches them. */
function toRequest(exchange: Exchange): Request {
  const method = exchange.method === "HEAD" ? "GET" : exchange.method
  return new Request(`http://localhost${exchange.path}`, { method })
}

async function toAnswer(response: Response): Promise<Answer> {
  const fields = FieldList.of(Object.fromEntries(response.headers))
  return { status: response.status, fields, body: await response.bytes() }
}

import { Elysia } from "elysia"
import type { Config } from "../config/schema.ts"
import { createDocs } from "./docs.ts"
import { createHealth } from "./health.ts"
import type { BuiltinDeps } from "./public.ts"

/** The application behind /health… and /docs…. */
export function createPublicApp(deps: BuiltinDeps): { handle(request: Request): Promise<Response> } {
  let documented: Config | undefined
  let document: Promise<string> | undefined
  const openApi = (): Promise<string> => {
    const config = deps.config()
    if (document === undefined || documented !== config) {
      documented = config
      // Loaded when first asked for: most workers never show the reference.
      document = import("./openapi.ts").then(({ openApiText }) =>
        openApiText(config, deps.version, createHealth(deps)),
      )
    }
    return document
  }
  const app = new Elysia().use(createHealth(deps)).use(createDocs(openApi))
  return { handle: (request) => app.handle(request) }
}

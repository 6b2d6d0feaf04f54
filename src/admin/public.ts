import type { Config } from "../config/schema.ts"
import type { BuiltinRoute, Builtins } from "../gateway/snapshot.ts"
import { FieldList } from "../http1/field_list.ts"
import type { Realtime } from "../realtime/channels/realtime.ts"
import type { Answer, Exchange } from "../upstream/exchange.ts"
import { endpointPath, identityRoutes } from "./auth/endpoints.ts"
import { type Ask, askControlPlane } from "./auth/hand_over.ts"
import type { HealthDeps } from "./health.ts"
import { answerRealtime, isRealtimePath, realtimeRoutes } from "./realtime/endpoints.ts"
import { WATCH_PATH } from "./registry/endpoints.ts"
import { answerSafety, isSafetyPath, safetyRoutes } from "./safety/endpoints.ts"

export interface BuiltinDeps extends HealthDeps {
  /** The configuration in force; the API reference is made anew when it is another object. */
  readonly config: () => Config
  /** Asks the control plane. */
  readonly ask: Ask
  /** Channels of this worker; absent: there are none. */
  readonly realtime?: Realtime
}

/** Paths open to anybody, whatever the config. */
const OPEN_PATHS: readonly string[] = [
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

/** Every endpoint the gateway answers itself: the routing table needs them before there is an app. */
export function builtinRoutes(config: Config): readonly BuiltinRoute[] {
  const open = OPEN_PATHS.map((path) => ({ path, methods: [], caller: false }))
  return [...open, ...identityRoutes(config), ...realtimeRoutes(config), ...safetyRoutes(config)]
}

/** Answers them: /health… and /docs… here, those of identity and the registry in the control plane. */
export function createBuiltins(deps: BuiltinDeps): Builtins {
  // Both loaded when first asked for: Elysia and what they need besides would hold up the start of every worker.
  const loadApp = () => import("./public_app.ts").then(({ createPublicApp }) => createPublicApp(deps))
  const loadWatchers = () => import("./registry/public_watch.ts").then(({ Watchers }) => new Watchers(deps))
  let app: ReturnType<typeof loadApp> | undefined
  let watchers: ReturnType<typeof loadWatchers> | undefined
  const open = new Set(OPEN_PATHS)
  const { realtime } = deps
  return {
    routes: builtinRoutes,
    async answer(exchange) {
      const { auth } = deps.config()
      if (auth !== undefined && endpointPath(exchange.path, auth.prefixes) === WATCH_PATH)
        return (await (watchers ??= loadWatchers())).answer(exchange, auth)
      if (realtime !== undefined && isRealtimePath(exchange.path, realtime))
        return answerRealtime(exchange, realtime)
      if (realtime !== undefined && isSafetyPath(exchange.path, realtime.safety))
        return answerSafety(exchange, realtime.safety)
      if (!open.has(exchange.path)) return askControlPlane(exchange, deps.ask)
      const { handle } = await (app ??= loadApp())
      return { kind: "answer", answer: await toAnswer(await handle(toRequest(exchange))) }
    },
  }
}

/** These endpoints read nothing but the path: no header or body of the client reaches them. */
function toRequest(exchange: Exchange): Request {
  const method = exchange.method === "HEAD" ? "GET" : exchange.method
  return new Request(`http://localhost${exchange.path}`, { method })
}

async function toAnswer(response: Response): Promise<Answer> {
  const fields = FieldList.of(Object.fromEntries(response.headers))
  return { status: response.status, fields, body: await response.bytes() }
}

import { parseInstance } from "./check_services.ts"
import type { Environment } from "./interpolate.ts"
import { configFromTree, type Loaded } from "./load.ts"
import { type Problem, shown } from "./problem.ts"
import { Problems, type Tree } from "./tree.ts"

const SERVICE_URL = /^([A-Z][A-Z0-9_]{0,62})_SERVICE_URL$/

/** Settings of the same family that do nothing in this version: said aloud rather than ignored in silence. */
const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  SECRET_KEY: "tokens are not checked",
  ACCESS_TOKEN_EXPIRE_MINUTES: "tokens are not issued",
  RATE_LIMIT_PER_SECOND: "requests are not limited",
  REDIS_HOST: "Redis is not used",
  REDIS_PORT: "Redis is not used",
}

/** Policies of every route: what anybody expects of a gateway that was told nothing else. */
const DEFAULTS: Tree = { request_id: {}, access_log: {} }

const NOTHING_SET: Problem = {
  path: "",
  message:
    "no config file and no <NAME>_SERVICE_URL: every request is answered with 404; see `gatehouse help serve`",
}

/**
 * A config from the environment alone, for a start without a file. Each `<NAME>_SERVICE_URL`, one URL or
 * several with commas, becomes the service `<name>` (lower case, `_` as `-`), routed at
 * `${API_V1_PREFIX:-/api/v1}/<name>/*`; the service gets the path as the client sent it, prefix included.
 * Every route has the policies `request_id` and `access_log`. `DEBUG=true` sets log.level to debug. With a file none of these is read, unless the file refers to it.
 */
export function configFromEnv(env: Environment = process.env): Loaded {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const prefix = readPrefix(env, problems)
  const services: { [name: string]: Tree } = {}
  const routes: Tree[] = []
  for (const variable of Object.keys(env).sort()) {
    const word = SERVICE_URL.exec(variable)?.[1]
    if (word === undefined) continue
    const name = word.toLowerCase().replaceAll("_", "-")
    const urls = (env[variable] ?? "").split(",").map((url) => url.trim())
    if (urls.every((url) => url === "")) {
      warnings.push({ path: variable, message: "is empty: there will be no such service" })
      continue
    }
    for (const url of urls) {
      const parsed = parseInstance(url)
      if (typeof parsed === "string") problems.push({ path: variable, message: parsed })
    }
    services[name] = { instances: urls }
    routes.push({ path: `${prefix}/${name}/*`, service: name, websocket: "relay" })
  }
  for (const [variable, effect] of Object.entries(WITHOUT_EFFECT)) {
    if (env[variable]) warnings.push({ path: variable, message: `has no effect in this version: ${effect}` })
  }
  const level = readDebug(env, problems) ? "debug" : "info"
  if (problems.length > 0) return { ok: false, problems, warnings }
  const tree = { log: { level }, defaults: DEFAULTS, services, routes }
  const loaded = configFromTree(tree, {}, process.cwd(), new Problems())
  if (routes.length > 0) return { ...loaded, warnings: [...warnings, ...loaded.warnings] }
  return { ...loaded, warnings: [...warnings, NOTHING_SET] }
}

function readPrefix(env: Environment, problems: Problem[]): string {
  const prefix = env.API_V1_PREFIX ?? "/api/v1"
  const plain = prefix.replace(/\/+$/, "")
  if (plain !== "" && !/^(\/[A-Za-z0-9._~-]+)+$/.test(plain)) {
    problems.push({
      path: "API_V1_PREFIX",
      message: "expected a path such as /api/v1",
      value: shown([], prefix),
    })
  }
  return plain
}

function readDebug(env: Environment, problems: Problem[]): boolean {
  const text = (env.DEBUG ?? "").toLowerCase()
  if (["1", "true", "yes", "on"].includes(text)) return true
  if (!["", "0", "false", "no", "off"].includes(text)) {
    problems.push({ path: "DEBUG", message: "expected true or false", value: shown([], env.DEBUG) })
  }
  return false
}

import { importSecret } from "../identity/keys.ts"
import { parseStoreUrl } from "../store/store_url.ts"
import { parseInstance } from "./check_services.ts"
import type { Environment } from "./interpolate.ts"
import { configFromTree, type Loaded } from "./load.ts"
import { type Problem, shown } from "./problem.ts"
import { Problems, type Tree } from "./tree.ts"

const SERVICE_URL = /^([A-Z][A-Z0-9_]{0,62})_SERVICE_URL$/

/** Policies of every route: what anybody expects of a gateway that was told nothing else. */
const DEFAULTS: { readonly [policy: string]: Tree } = { request_id: {}, access_log: {} }

const NOTHING_SET: Problem = {
  path: "",
  message:
    "no config file and no <NAME>_SERVICE_URL: every request is answered with 404; see `gatehouse help serve`",
}

/**
 * A config from the environment alone, for a start without a file. Each `<NAME>_SERVICE_URL`, one URL or
 * several with commas, becomes the service `<name>` (lower case, `_` as `-`), routed at
 * `${API_V1_PREFIX:-/api/v1}/<name>/*`; the service gets the path as the client sent it, prefix included.
 * Every route has the policies `request_id` and `access_log`. With `SECRET_KEY`, which signs and verifies tokens,
 * every route needs a caller. `STORE_URL`, else `DATABASE_URL`, is the store. `DEBUG=true` sets log.level to debug
 * and lets the endpoints of identity answer over plain http. `RATE_LIMIT_PER_SECOND` is what each caller may send
 * a second, on all routes together; twice as many may come at once; several machines share it by the Redis at
 * `REDIS_HOST` and `REDIS_PORT` (6379). With a file none of these is read, unless the
 * file refers to it.
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
  const debug = readDebug(env, problems)
  const auth = readAuth(env, debug, problems, warnings)
  const store = readStore(env, problems)
  const redis = readRedis(env, problems, warnings)
  const limit = readLimit(env, problems)
  if (problems.length > 0) return { ok: false, problems, warnings }
  const tree = {
    log: { level: debug ? "debug" : "info" },
    defaults: { ...DEFAULTS, ...(limit !== undefined && { rate_limit: limit }) },
    services,
    routes,
    ...(auth !== undefined && { auth }),
    ...(store !== undefined && { store }),
    ...(redis !== undefined && { redis }),
  }
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

/** Tokens are checked and issued once there is a secret for them. */
function readAuth(
  env: Environment,
  debug: boolean,
  problems: Problem[],
  warnings: Problem[],
): { [key: string]: Tree } | undefined {
  const { SECRET_KEY: secret, ACCESS_TOKEN_EXPIRE_MINUTES: minutes } = env
  if (!secret) {
    if (minutes) {
      warnings.push({
        path: "ACCESS_TOKEN_EXPIRE_MINUTES",
        message: "has no effect without SECRET_KEY: tokens are neither checked nor issued",
      })
    }
    return undefined
  }
  const imported = importSecret(secret, "HS256", undefined)
  if (!imported.ok) problems.push({ path: "SECRET_KEY", message: imported.message })
  if (minutes && !(/^\d{1,4}$/.test(minutes) && Number(minutes) >= 1 && Number(minutes) <= 1440)) {
    problems.push({
      path: "ACCESS_TOKEN_EXPIRE_MINUTES",
      message: "expected minutes from 1 to 1440",
      value: shown([], minutes),
    })
  }
  return {
    secret: literal(secret),
    https: debug ? "off" : "required",
    ...(minutes && { access_token_ttl: `${minutes}m` }),
  }
}

function readLimit(env: Environment, problems: Problem[]): Tree | undefined {
  const { RATE_LIMIT_PER_SECOND: count } = env
  if (!count) return undefined
  if (!/^[1-9]\d{0,4}$/.test(count)) {
    problems.push({
      path: "RATE_LIMIT_PER_SECOND",
      message: "expected requests a second from 1 to 99999",
      value: shown([], count),
    })
  }
  return { by: "user", rate: `${count}/s`, burst: 2 * Number(count), scope: "global" }
}

function readStore(env: Environment, problems: Problem[]): Tree | undefined {
  const variable = env.STORE_URL ? "STORE_URL" : "DATABASE_URL"
  const url = env[variable]
  if (!url) return undefined
  const parsed = parseStoreUrl(url)
  if (typeof parsed === "string") problems.push({ path: variable, message: parsed })
  return literal(url)
}

function readRedis(env: Environment, problems: Problem[], warnings: Problem[]): Tree | undefined {
  const { REDIS_HOST: host, REDIS_PORT: port } = env
  if (!host) {
    if (port) warnings.push({ path: "REDIS_PORT", message: "has no effect without REDIS_HOST" })
    return undefined
  }
  if (port && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535))
    problems.push({
      path: "REDIS_PORT",
      message: "expected a port from 1 to 65535",
      value: shown([], port),
    })
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host
  if (!/^[A-Za-z0-9._-]+$|^\[[0-9A-Fa-f:.]+\]$/.test(name))
    problems.push({ path: "REDIS_HOST", message: "expected a host name or an address" })
  return `redis://${name}:${port || 6379}`
}

/** The text as a file would hold it: what looks like a placeholder in it is none. */
function literal(text: string): string {
  return text.replace(/\$\{[^{}\n]*\}/g, (found) => `$${found}`)
}

function readDebug(env: Environment, problems: Problem[]): boolean {
  const text = (env.DEBUG ?? "").toLowerCase()
  if (["1", "true", "yes", "on"].includes(text)) return true
  if (!["", "0", "false", "no", "off"].includes(text)) {
    problems.push({ path: "DEBUG", message: "expected true or false", value: shown([], env.DEBUG) })
  }
  return false
}

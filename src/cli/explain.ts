import { builtinRoutes } from "../admin/public.ts"
import { parseHostPattern, parsePattern } from "../config/pattern.ts"
import { type EffectivePolicy, effectivePolicies } from "../config/policies.ts"
import type { Config, RouteConfig } from "../config/schema.ts"
import { asSchema } from "../config/schema_walk.ts"
import { durationText } from "../config/written.ts"
import { compileUpstreamPath, routeLabel } from "../gateway/route.ts"
import { type Matchable, RouteTable } from "../gateway/routes.ts"
import type { BuiltinRoute } from "../gateway/snapshot.ts"
import { FieldList } from "../http1/field_list.ts"
import { canonicalHost, canonicalPath } from "../lib/target.ts"
import { authInWords } from "../policies/auth_words.ts"
import { BreakerSchema, HealthSchema, RetrySchema } from "../upstream/service.ts"
import { CONFIG_FLAG, parseCommand } from "./args.ts"
import { describeFindings, findConfigFile, loadFrom } from "./config_source.ts"
import { inline } from "./inline.ts"
import { EXIT, type Output } from "./output.ts"
import { usageError } from "./usage.ts"

const FLAGS = { ...CONFIG_FLAG, header: { type: "string", short: "H", multiple: true } } as const

/** `gatehouse explain [-c FILE] METHOD URL [-H 'Name: value']`: what would happen to a request. */
export function explain(args: readonly string[], output: Output): number {
  const parsed = parseCommand(args, FLAGS, ["METHOD", "URL"])
  if (!parsed.ok) return usageError("explain", parsed.message, output)
  const question = readQuestion(parsed.positionals, (parsed.values.header ?? []) as readonly string[])
  if (typeof question === "string") return usageError("explain", question, output)
  const file = findConfigFile(parsed.values.config as string | undefined)
  const loaded = loadFrom(file)
  if (!loaded.ok) {
    output.err(describeFindings(loaded, file))
    return EXIT.usage
  }
  output.out(`${describeRequest(loaded.config, question).join("\n")}\n`)
  return EXIT.fine
}

/** A request somebody asks about. */
interface Question {
  readonly method: string
  /** Authority in lower case. */
  readonly host: string
  /** Canonical path. */
  readonly path: string
  readonly ambiguous: boolean
  readonly fields: FieldList
}

function readQuestion(words: readonly string[], headers: readonly string[]): Question | string {
  const [method = "", target = ""] = words
  if (!/^[A-Za-z]+$/.test(method)) return `"${method}" is no method; write GET, POST, …`
  const lines: string[] = []
  for (const header of headers) {
    const colon = header.indexOf(":")
    if (colon < 1) return `-H takes 'Name: value', not "${header}"`
    lines.push(header.slice(0, colon).trim().toLowerCase(), header.slice(colon + 1).trim())
  }
  const fields = new FieldList(lines)
  const split = /^(?:https?:\/\/([^/?#]*))?([^?#]*)/i.exec(target)!
  const host = canonicalHost(fields.get("host") ?? split[1] ?? "localhost")
  if (host === undefined) return "the host is malformed"
  const path = canonicalPath(split[2] === "" && split[1] !== undefined ? "/" : split[2]!)
  if (path === undefined) return `"${target}" is neither an absolute URL nor a path that starts with /`
  return { method: method.toUpperCase(), host, path: path.path, ambiguous: path.ambiguous, fields }
}

interface ConfiguredRoute extends Matchable {
  readonly config: RouteConfig
  readonly index: number
}

/** A path the gateway answers itself, such as /health. */
interface OwnRoute extends Matchable {
  readonly config: undefined
}

/** What would happen to the request, line by line. */
function describeRequest(config: Config, question: Question): string[] {
  const { method, host, path, fields } = question
  const hostname = host.replace(/:\d+$/, "")
  const lines = [`${method} ${host}${path}`]
  const found = new RouteTable<ConfiguredRoute | OwnRoute>([
    ...config.routes.map(matchable),
    ...builtinRoutes(config).map(builtin),
  ]).find(method, hostname, path, fields)
  if (found.kind === "not_found") {
    return [...lines, "  no route matches: 404 NOT_FOUND", ...nearMisses(config, question)]
  }
  if (found.kind === "method_not_allowed") {
    if (method === "OPTIONS")
      return [...lines, `  answered by the gateway: 204 with Allow: ${found.allow.join(", ")}`]
    return [
      ...lines,
      `  the path has routes, but not for ${method}: 405 METHOD_NOT_ALLOWED, Allow: ${found.allow.join(", ")}`,
    ]
  }
  const { route, captures } = found
  if (route.config === undefined) {
    return [...lines, `  answered by the gateway itself: ${route.pattern.text}`]
  }
  lines.push(`  route     routes[${route.index}] ${routeLabel(route.config)}`)
  if (question.ambiguous && !route.config.allow_encoded) {
    return [
      ...lines,
      "  refused   the path is ambiguous (%2F, %5C or ;) and allow_encoded is off: 400 INVALID_PATH",
    ]
  }
  const names = [...route.pattern.parameters, "*"]
  captures.forEach((value, i) => {
    lines.push(`  ${i === 0 ? "captures" : "        "}  $${i + 1} ${names[i]} = ${value}`)
  })
  lines.push(...describePolicies(config, route.config), ...describeTarget(config, route.config))
  if (route.config.service !== undefined) {
    const upstreamPath = compileUpstreamPath(route.config)?.(path, captures) ?? path
    lines.push(`  sent as   ${method} ${upstreamPath}`)
  }
  return lines
}

function builtin({ path, methods }: BuiltinRoute): OwnRoute {
  const pattern = parsePattern(path)
  if (typeof pattern === "string") throw new Error(`explaining routes: ${pattern}`)
  return { config: undefined, pattern, methods: new Set<string>(methods), hosts: [], headers: [] }
}

function matchable(config: RouteConfig, index: number): ConfiguredRoute {
  const pattern = parsePattern(config.path)
  if (typeof pattern === "string") throw new Error(`explaining routes: ${pattern}`)
  const hosts = config.hosts.map(parseHostPattern).filter((host) => typeof host !== "string")
  const headers = Object.entries(config.headers).map(([name, value]) => [name.toLowerCase(), value] as const)
  return { config, index, pattern, methods: new Set<string>(config.methods), hosts, headers }
}

/** Routes that fit by path alone, and what else they ask for. */
function nearMisses(config: Config, question: Question): string[] {
  const { method, path } = question
  return config.routes.flatMap((route, index) => {
    const free: RouteConfig = { ...route, hosts: [], headers: {} }
    const found = new RouteTable([matchable(free, index)]).find(method, "", path, question.fields)
    if (found.kind === "not_found") return []
    const wanted = [
      ...(route.hosts.length > 0 ? [`host ${route.hosts.join(" or ")}`] : []),
      ...Object.entries(route.headers).map(([name, value]) => `header ${name}: ${value}`),
    ]
    return [`  routes[${index}] ${routeLabel(route)} would, with ${wanted.join(" and ")}`]
  })
}

function describePolicies(config: Config, route: RouteConfig): string[] {
  const policies = effectivePolicies(config, route)
  if (policies.length === 0) return ["  policies  none"]
  const lines = policies.map(({ policy, options, inherited }, i) => {
    const from = inherited ? " (from defaults)" : ""
    return `  ${i === 0 ? "policies" : "        "}  ${i + 1}. ${policy.name} ${inline(asSchema(policy.schema), options)}${from}`
  })
  return [...lines, ...describeCaller(config, policies)]
}

/** Who may call, and what the service is told of the caller. */
function describeCaller(config: Config, policies: readonly EffectivePolicy[]): string[] {
  const asked = policies.find(({ policy }) => policy.name === "auth")?.options as
    | NonNullable<RouteConfig["auth"]>
    | undefined
  if (asked === undefined) return ["  caller    anybody: nobody is asked who is calling"]
  const [first, ...more] = authInWords(asked)
  return [
    `  caller    ${first}`,
    ...more.map((words) => `            ${words}`),
    `            forwarded as ${asked.forward ?? config.auth?.forward ?? "headers"}`,
  ]
}

function describeTarget(config: Config, route: RouteConfig): string[] {
  if (route.respond !== undefined) return [`  answer    ${route.respond.status}, made by the gateway`]
  const name = route.service!
  const service = config.services[name]!
  const instances = service.instances.map((each) =>
    typeof each === "string" ? each : `${each.url} (weight ${each.weight})`,
  )
  const { retry, breaker, health, fallback, discover } = service
  if (discover !== undefined)
    instances.push(
      ...(discover.registry ? ["those that are registered"] : []),
      ...(discover.file === undefined ? [] : [`those of ${discover.file}`]),
      ...(discover.dns === undefined ? [] : [`${discover.dns.type} records of ${discover.dns.name}`]),
    )
  const lines = [
    `  service   ${name}${route.websocket ? ", WebSockets relayed" : ""}`,
    `            instances ${instances.join(", ")}`,
    `            balance ${service.balance}, timeout ${durationText(route.timeout ?? service.timeout)}`,
    `            retry ${retry.attempts === 1 ? "off" : inline(asSchema(RetrySchema), retry)}`,
    `            breaker ${breaker ? inline(asSchema(BreakerSchema), breaker) : "off"}`,
    `            health checks ${health ? inline(asSchema(HealthSchema), health) : "off"}`,
  ]
  if (fallback)
    lines.push(
      `            fallback ${"service" in fallback ? `service ${fallback.service}` : `answer ${fallback.status}`}`,
    )
  return lines
}

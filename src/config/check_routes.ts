import { isFieldName } from "../policies/header_rules.ts"
import { checkAnswer, checkServiceName } from "./check_target.ts"
import type { Decoded } from "./decode.ts"
import { type HostPattern, type Pattern, parseHostPattern, parsePattern } from "./pattern.ts"
import { effectivePolicies, policyRoute } from "./policies.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"
import type { RouteConfig } from "./schema.ts"

export function checkRoutes(decoded: Decoded, report: Report): void {
  const { config, routeIndex } = decoded
  const patterns: (Pattern | undefined)[] = []
  for (const [i, route] of config.routes.entries()) {
    const at: Path = ["routes", routeIndex[i]!]
    const pattern = parsePattern(route.path)
    if (typeof pattern === "string") report.problem([...at, "path"], pattern)
    patterns.push(typeof pattern === "string" ? undefined : pattern)
    checkMatch(route, at, report)
    checkTarget(decoded, route, at, report)
    if (typeof pattern !== "string") checkUpstreamPath(route, pattern, at, report)
  }
  checkDuplicates(decoded, patterns, report)
  checkPolicies(decoded, report)
  if (config.routes.length === 0 && !decoded.brokenRoutes) {
    report.warning(["routes"], "no routes: every request is answered with 404")
  }
}

function checkMatch(route: RouteConfig, at: Path, report: Report): void {
  for (const [i, host] of route.hosts.entries()) {
    const parsed: HostPattern | string = parseHostPattern(host)
    if (typeof parsed === "string") report.problem([...at, "hosts", i], parsed)
  }
  const seen = new Set<string>()
  for (const name of Object.keys(route.headers)) {
    const lower = name.toLowerCase()
    if (!isFieldName(name)) report.problem([...at, "headers", name], "no header can have this name")
    else if (seen.has(lower))
      report.problem([...at, "headers", name], "the same header twice; case does not count")
    seen.add(lower)
  }
}

function checkTarget(decoded: Decoded, route: RouteConfig, at: Path, report: Report): void {
  const { service, respond } = route
  if (service === undefined && respond === undefined) {
    report.problem(at, "the route has neither service nor respond; give it one")
  }
  if (service !== undefined && respond !== undefined) {
    report.problem([...at, "respond"], "the route has both service and respond; keep one")
  }
  if (service !== undefined) checkServiceName(decoded, service, [...at, "service"], report)
  if (respond !== undefined) {
    for (const key of ["websocket", "strip_prefix", "rewrite", "timeout"] as const) {
      if (route[key] !== undefined && service === undefined) {
        report.problem([...at, key], `${key} needs a service; this route answers itself with respond`)
      }
    }
    checkAnswer(respond, [...at, "respond"], report)
  }
  if (route.websocket !== undefined && route.methods.length > 0 && !route.methods.includes("GET")) {
    report.problem([...at, "websocket"], "a WebSocket handshake is a GET; add GET to methods")
  }
  if (route.timeout === 0) report.problem([...at, "timeout"], "a timeout of 0 would fail every request")
}

function checkUpstreamPath(route: RouteConfig, pattern: Pattern, at: Path, report: Report): void {
  const { strip_prefix: prefix, rewrite } = route
  if (prefix !== undefined && rewrite !== undefined) {
    report.problem([...at, "rewrite"], "the route has both strip_prefix and rewrite; keep one")
  }
  if (prefix !== undefined) {
    const literal = prefix.length > 1 && prefix.endsWith("/") ? prefix.slice(0, -1) : prefix
    const fits = literal === "/" || route.path === literal || route.path.startsWith(`${literal}/`)
    if (!fits) report.problem([...at, "strip_prefix"], `is no leading part of the path ${route.path}`, prefix)
    else if (/[*:{]/.test(prefix)) {
      report.problem(
        [...at, "strip_prefix"],
        "takes literal segments only; use rewrite for parameters",
        prefix,
      )
    }
  }
  if (rewrite === undefined) return
  const captures = pattern.parameters.length + (pattern.wildcard ? 1 : 0)
  for (const [reference, digits] of rewrite.matchAll(/\$(\d*)/g)) {
    const number = Number(digits)
    if (digits === "" || number < 1 || number > captures) {
      const has =
        captures === 0
          ? "the path captures nothing"
          : `the path captures $1${captures > 1 ? ` to $${captures}` : ""}`
      report.problem([...at, "rewrite"], `${reference} refers to nothing: ${has}`, rewrite)
    }
  }
  if (/[?#]/.test(rewrite))
    report.problem([...at, "rewrite"], "is a path; the query is passed on as it is", rewrite)
}

/** Two routes that the same request matches equally well: one of them would never be used. */
function checkDuplicates(decoded: Decoded, patterns: readonly (Pattern | undefined)[], report: Report): void {
  const { config, routeIndex } = decoded
  const byKey = new Map<string, number[]>()
  for (const [i, route] of config.routes.entries()) {
    const pattern = patterns[i]
    if (pattern === undefined) continue
    const headers = Object.entries(route.headers).map(([name, value]) => [name.toLowerCase(), value])
    headers.sort((a, b) => (a[0]! < b[0]! ? -1 : 1))
    const hosts = route.hosts.length === 0 ? [""] : new Set(route.hosts.map((host) => host.toLowerCase()))
    const clashing = new Set<number>()
    for (const host of hosts) {
      const key = JSON.stringify([pattern.key, host, headers])
      const others = byKey.get(key) ?? []
      for (const other of others) if (methodsOverlap(route, config.routes[other]!)) clashing.add(other)
      others.push(i)
      byKey.set(key, others)
    }
    const [first] = clashing
    if (first !== undefined) {
      report.problem(
        ["routes", routeIndex[i]!, "path"],
        `the same path, methods, hosts and headers as routes[${routeIndex[first]}] (${config.routes[first]!.path})`,
      )
    }
  }
}

/** A route that names its methods goes before one for all, so those two do not clash. */
function methodsOverlap(a: RouteConfig, b: RouteConfig): boolean {
  if (a.methods.length === 0 || b.methods.length === 0) return a.methods.length === b.methods.length
  return a.methods.some((method) => b.methods.includes(method))
}

function checkPolicies(decoded: Decoded, report: Report): void {
  const { config, routeIndex } = decoded
  const said = new Set<string>()
  for (const [i, route] of config.routes.entries()) {
    const at: Path = ["routes", routeIndex[i]!]
    const policies = effectivePolicies(config, route)
    const info = policyRoute(route, policies, route.path)
    for (const { policy, options, inherited } of policies) {
      const place: Path = inherited ? ["defaults", policy.name] : [...at, policy.name]
      for (const message of policy.check?.(options as never, info) ?? []) {
        // An inherited policy is checked for each route, and says the same of most of them.
        const key = `${place.join(".")} ${message}`
        if (!said.has(key)) report.problem(place, message)
        said.add(key)
      }
    }
    for (const [j, name] of route.without.entries()) {
      if (Object.hasOwn(route, name)) {
        report.problem([...at, "without", j], `the route both has ${name} and drops it; keep one`)
      } else if (!Object.hasOwn(config.defaults, name) && !decoded.brokenSections.has("defaults")) {
        report.warning([...at, "without", j], `defaults has no ${name} to drop`)
      }
    }
  }
}

import { parseHostPattern, parsePattern } from "../config/pattern.ts"
import { effectivePolicies, policyRoute } from "../config/policies.ts"
import type { Config, RouteConfig } from "../config/schema.ts"
import { FieldList } from "../http1/field_list.ts"
import type { AuthSettings } from "../identity/settings.ts"
import { UNMATCHED } from "../observe/labels.ts"
import { ANY_CALLER } from "../policies/auth.ts"
import { compileWithhold } from "../policies/auth_forward.ts"
import type { Failure } from "../policies/failure.ts"
import type { Answered, PolicyDeps, PolicySteps } from "../policies/policy.ts"
import type { Answer, Exchange } from "../upstream/exchange.ts"
import type { Service } from "../upstream/upstreams.ts"
import { type CertificateHeader, compileCertificateHeader } from "./client_certificate.ts"
import { TrustedProxies } from "./proxies.ts"
import {
  compileUpstreamPath,
  type Fallback,
  type Route,
  routeLabel,
  type Step,
  type Target,
} from "./route.ts"
import { RouteTable } from "./routes.ts"

/** All that config decides, compiled. A worker holds one and swaps it by one assignment. */
export interface Snapshot {
  readonly config: Config
  /** Where routes have their services from, by name: for a service that is compiled anew. */
  readonly places: ServicePlaces
  readonly table: RouteTable<Route>
  /** Runs the default policies on requests that no route matches, so that they are logged and answered alike. */
  readonly unmatched: Route
  readonly proxies: TrustedProxies
  /** How trusted proxies pass certificates of clients on; `undefined`: they do not. */
  readonly certificateHeader: CertificateHeader | undefined
}

/** Targets and fallbacks of routes, by the name of the service. */
export type ServicePlaces = ReadonlyMap<string, readonly { service: Service }[]>

/** Puts services in the place of those of the same name: the next request to them goes there. */
export function replaceServices({ places }: Snapshot, services: ReadonlyMap<string, Service>): void {
  for (const [name, service] of services) for (const place of places.get(name) ?? []) place.service = service
}

function placesOf(routes: readonly Route[]): ServicePlaces {
  const places = new Map<string, { service: Service }[]>()
  for (const { target } of routes) {
    if (target.kind !== "service") continue
    for (const place of [target, target.fallback]) {
      if (place?.kind !== "service") continue
      const { name } = place.service
      const known = places.get(name)
      if (known === undefined) places.set(name, [place])
      else known.push(place)
    }
  }
  return places
}

/** A path the gateway answers itself. */
export interface BuiltinRoute {
  /** Path pattern, as in config. */
  readonly path: string
  /** Upper-case methods; empty: all. GET brings HEAD along. */
  readonly methods: readonly RouteConfig["methods"][number][]
  /** Whether the caller must prove who it is; "optional": it may. */
  readonly caller: boolean | "optional"
}

/** The endpoints the gateway answers itself: Elysia applications, behind one function. */
export interface Builtins {
  routes(config: Config): readonly BuiltinRoute[]
  /** `undefined`: `exchange.socket` is set. */
  answer(exchange: Exchange): Promise<Answered | Failure | undefined>
}

export interface SnapshotParts {
  readonly services: ReadonlyMap<string, Service>
  /** Metric id of a route's label. */
  readonly routeId: (label: string) => number
  readonly builtins: Builtins
  readonly policyDeps: PolicyDeps
}

/** Policies of `defaults` that built-in endpoints have too; the others could lock a load balancer out. */
const BUILTIN_POLICIES: ReadonlySet<string> = new Set([
  "request_id",
  "trace",
  "access_log",
  "cors",
  "compress",
])

/** Compiles a checked config. Throws `Error` for what only compiling finds; nothing live is touched then. */
export function compileSnapshot(config: Config, parts: SnapshotParts): Snapshot {
  const configured = config.routes.map((route) =>
    compileRoute(config, route, configTarget(config, route, parts), parts),
  )
  const answer = (exchange: Exchange) => parts.builtins.answer(exchange)
  const builtin = parts.builtins
    .routes(config)
    .map((route) => compileRoute(config, bareRoute(route, config), { kind: "builtin", answer }, parts))
  return {
    config,
    places: placesOf(configured),
    // Sorting is stable and configured routes come first: a route of config wins over a built-in of the same path.
    table: new RouteTable([...configured, ...builtin]),
    unmatched: {
      ...compileRoute(config, bareRoute(UNMATCHED_ROUTE, config), { kind: "none" }, parts, "unmatched"),
      id: UNMATCHED,
    },
    proxies: new TrustedProxies(config.server.trusted_proxies),
    certificateHeader: compileCertificateHeader(config.server, parts.policyDeps.wallClock),
  }
}

const UNMATCHED_ROUTE: BuiltinRoute = { path: "/*", methods: [], caller: false }

function bareRoute({ path, methods, caller }: BuiltinRoute, config: Config): RouteConfig {
  const dropped = Object.keys(config.defaults).filter((name) => !BUILTIN_POLICIES.has(name))
  return {
    path,
    methods,
    hosts: [],
    headers: {},
    allow_encoded: false,
    without: dropped,
    ...(caller === true && { auth: ANY_CALLER }),
    ...(caller === "optional" && config.auth !== undefined && { auth: { ...ANY_CALLER, required: false } }),
  } as unknown as RouteConfig
}

function compileRoute(
  config: Config,
  route: RouteConfig,
  target: Target,
  parts: SnapshotParts,
  label = routeLabel(route),
): Route {
  const pattern = parsePattern(route.path)
  if (typeof pattern === "string") throw new Error(`compiling routes: ${pattern}`)
  const policies = effectivePolicies(config, route)
  const info = policyRoute(route, policies, label)
  const steps: CompiledPolicy[] = policies.map(({ policy, options }) => ({
    policy: policy.name,
    failsClosed: policy.failsClosed,
    always: policy.always ?? false,
    steps: policy.compile(options as never, parts.policyDeps, info),
  }))
  const { auth } = config
  if (auth !== undefined && info.service !== "" && !policies.some(({ policy }) => policy.name === "auth"))
    steps.push(withholding(auth))
  return {
    id: parts.routeId(label),
    label,
    service: route.service ?? "",
    pattern,
    methods: new Set<string>(route.methods),
    hosts: route.hosts.map((host) => {
      const parsed = parseHostPattern(host)
      if (typeof parsed === "string") throw new Error(`compiling routes: ${parsed}`)
      return parsed
    }),
    headers: Object.entries(route.headers).map(([name, value]) => [name.toLowerCase(), value] as const),
    target,
    requestSteps: pick(steps, "request"),
    responseSteps: pick(steps, "response").reverse(),
    doneSteps: pick(steps, "done"),
    timeoutMs: route.timeout ?? (target.kind === "service" ? target.service.config.timeout : 0),
    // A route's own `body_limit` rules alone, also when it allows more.
    maxBodyBytes: steps.some(({ policy }) => policy === "body_limit")
      ? Number.POSITIVE_INFINITY
      : config.server.max_body,
    allowEncoded: route.allow_encoded,
    websocket: route.websocket === "relay",
    upstreamPath: compileUpstreamPath(route),
  }
}

/** Asks nobody who is calling, and still keeps the gateway's own credentials from the service. */
function withholding(settings: AuthSettings): CompiledPolicy {
  const withhold = compileWithhold(settings)
  const request = (exchange: Exchange) => {
    withhold(exchange)
    return undefined
  }
  return { policy: "auth", failsClosed: true, always: false, steps: { request } }
}

interface CompiledPolicy {
  readonly policy: string
  readonly failsClosed: boolean
  readonly always: boolean
  readonly steps: PolicySteps
}

/** The steps of one kind that are there; a policy without one costs nothing. */
function pick<Name extends "request" | "response" | "done">(
  policies: readonly CompiledPolicy[],
  name: Name,
): Step<Name>[] {
  return policies.flatMap(({ policy, failsClosed, always, steps }) => {
    const run = steps[name]
    return run === undefined ? [] : [{ policy, failsClosed, always, run: run as Step<Name>["run"] }]
  })
}

function configTarget(config: Config, route: RouteConfig, parts: SnapshotParts): Target {
  if (route.respond !== undefined) return { kind: "respond", answer: staticAnswer(route.respond) }
  const service = serviceNamed(route.service ?? "", parts)
  return { kind: "service", service, fallback: compileFallback(config, service.name, parts) }
}

function compileFallback(config: Config, name: string, parts: SnapshotParts): Fallback | undefined {
  const fallback = config.services[name]?.fallback
  if (fallback === undefined) return undefined
  if ("service" in fallback) return { kind: "service", service: serviceNamed(fallback.service, parts) }
  return { kind: "respond", answer: staticAnswer(fallback) }
}

function serviceNamed(name: string, parts: SnapshotParts): Service {
  const service = parts.services.get(name)
  if (service === undefined) throw new Error(`compiling routes: there is no service "${name}"`)
  return service
}

function staticAnswer(from: { status: number; headers: Record<string, string>; body: string }): Answer {
  return { status: from.status, fields: FieldList.of(from.headers), body: Buffer.from(from.body) }
}

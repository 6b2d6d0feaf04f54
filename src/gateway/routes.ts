import { Memoirist } from "memoirist"
import type { HostPattern, Pattern } from "../config/pattern.ts"
import type { Fields } from "../http1/fields.ts"
import { compareSpecificity, matchPattern, overlap } from "./match.ts"

/** What the table needs to know of a route. */
export interface Matchable {
  readonly pattern: Pattern
  /** Methods served; empty: all of `METHODS`. */
  readonly methods: ReadonlySet<string>
  readonly hosts: readonly HostPattern[]
  /** Header names in lower case with the value each must have. */
  readonly headers: readonly (readonly [string, string])[]
}

export type Found<R> =
  | { readonly kind: "route"; readonly route: R; readonly captures: readonly string[] }
  | { readonly kind: "method_not_allowed"; readonly allow: readonly string[] }
  | { readonly kind: "not_found" }

export const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

interface Entry<R> {
  readonly pattern: Pattern
  readonly routes: R[]
  /** The first of them, where it takes requests of all hosts, headers and methods: that is not looked up each time. */
  open: R | undefined
  /** Nothing is captured. */
  readonly bare: boolean
  /** Less specific entries that can match the same paths; found when first needed. */
  fallbacks: readonly Entry<R>[] | undefined
}

const ANY = "ALL"
const NOT_FOUND = { kind: "not_found" } as const

/**
 * The routing table, on Elysia's router. The most specific route wins, whatever the order in config:
 * path pattern first (see `compareSpecificity`), then host (exact, wildcard, any), then the number of
 * required headers. A route whose host, headers or method does not fit steps aside for the next one.
 */
export class RouteTable<R extends Matchable> {
  readonly #router = new Memoirist<Entry<R>>()
  /** By specificity; the slow path walks it when the best pattern's routes do not fit. */
  readonly #entries: readonly Entry<R>[]

  constructor(routes: readonly R[]) {
    const byKey = new Map<string, Entry<R>>()
    for (const route of routes) {
      const entry = byKey.get(route.pattern.key) ?? {
        pattern: route.pattern,
        routes: [],
        open: undefined,
        bare: route.pattern.parameters.length === 0 && !route.pattern.wildcard,
        fallbacks: undefined,
      }
      entry.routes.push(route)
      byKey.set(route.pattern.key, entry)
    }
    const byPath = new Map<string, Entry<R>>()
    for (const entry of byKey.values()) {
      entry.routes.sort(compareRoutes)
      const first = entry.routes[0]!
      if (first.hosts.length + first.headers.length + first.methods.size === 0) entry.open = first
      byPath.set(routerPath(entry.pattern), entry)
    }
    // The router does not know `/a/*` as `/a`; a route that is `/a` itself comes first there.
    for (const entry of byKey.values()) {
      const bare = routerPath(entry.pattern).slice(0, -2)
      if (entry.pattern.wildcard && bare !== "" && !byPath.has(bare)) byPath.set(bare, entry)
    }
    for (const [path, entry] of byPath) {
      // ignoreHistory: the router would otherwise search all its routes for each one added.
      this.#router.add(ANY, path, entry, { ignoreHistory: true })
    }
    this.#entries = [...byKey.values()].sort((a, b) => compareSpecificity(a.pattern, b.pattern))
  }

  /** Finds the route of a request. `host` without port; `path` canonical. */
  find(method: string, host: string, path: string, fields: Fields): Found<R> {
    const best = this.#router.find(ANY, path)
    if (best === null) return NOT_FOUND
    const { open, routes } = best.store
    if (open !== undefined && METHODS.includes(method)) return found(best.store, open, path)
    for (const route of routes) {
      if (fits(route, host, fields) && allows(route, method)) return found(best.store, route, path)
    }
    return this.#findFurther(best.store, method, host, path, fields)
  }

  #findFurther(best: Entry<R>, method: string, host: string, path: string, fields: Fields): Found<R> {
    const allow = new Set<string>()
    best.fallbacks ??= this.#entries.filter(
      (each) =>
        each !== best &&
        compareSpecificity(best.pattern, each.pattern) <= 0 &&
        overlap(best.pattern, each.pattern),
    )
    for (const entry of [best, ...best.fallbacks]) {
      if (matchPattern(entry.pattern, path) === undefined) continue
      for (const route of entry.routes) {
        if (!fits(route, host, fields)) continue
        if (allows(route, method)) return found(entry, route, path)
        for (const each of route.methods.size === 0 ? METHODS : route.methods) allow.add(each)
      }
    }
    if (allow.size === 0) return NOT_FOUND
    if (allow.has("GET")) allow.add("HEAD")
    allow.add("OPTIONS")
    return { kind: "method_not_allowed", allow: METHODS.filter((each) => allow.has(each)) }
  }
}

const NO_CAPTURES: readonly string[] = Object.freeze([])

function found<R extends Matchable>({ bare, pattern }: Entry<R>, route: R, path: string): Found<R> {
  return { kind: "route", route, captures: bare ? NO_CAPTURES : matchPattern(pattern, path)! }
}

function fits(route: Matchable, host: string, fields: Fields): boolean {
  if (route.hosts.length > 0 && !route.hosts.some((each) => hostMatches(each, host))) return false
  for (const [name, value] of route.headers) {
    if (fields.get(name) !== value) return false
  }
  return true
}

function allows(route: Matchable, method: string): boolean {
  if (route.methods.size === 0) return METHODS.includes(method)
  return route.methods.has(method) || (method === "HEAD" && route.methods.has("GET"))
}

function hostMatches(pattern: HostPattern, host: string): boolean {
  if (!pattern.wildcard) return pattern.name === host
  return (
    host.endsWith(pattern.name) && host.indexOf(".") === host.length - pattern.name.length && host[0] !== "."
  )
}

/** The router takes one parameter name per position, so positions are the names. */
function routerPath(pattern: Pattern): string {
  let position = 0
  return pattern.key.replaceAll(":", () => `:p${position++}`)
}

function hostRank(route: Matchable): number {
  if (route.hosts.length === 0) return 2
  return route.hosts.some((host) => host.wildcard) ? 1 : 0
}

/** Within one pattern: exact host, wildcard host, any; then more headers; then named methods before all. */
function compareRoutes(a: Matchable, b: Matchable): number {
  return (
    hostRank(a) - hostRank(b) ||
    b.headers.length - a.headers.length ||
    Number(a.methods.size === 0) - Number(b.methods.size === 0)
  )
}

import type { HostPattern, Pattern } from "../config/pattern.ts"
import type { RouteConfig } from "../config/schema.ts"
import type { Failure } from "../policies/failure.ts"
import type { Answered, PolicySteps } from "../policies/policy.ts"
import type { Answer, Exchange, RouteInfo } from "../upstream/exchange.ts"
import type { Service } from "../upstream/upstreams.ts"
import type { Matchable } from "./routes.ts"

/** A service, as it is now: it is compiled anew when its instances come and go. */
export interface ServiceTarget {
  readonly kind: "service"
  service: Service
  readonly fallback: Fallback | undefined
}

/** Where an exchange goes that no policy has answered. */
export type Target =
  | ServiceTarget
  | { readonly kind: "respond"; readonly answer: Answer }
  | {
      readonly kind: "builtin"
      readonly answer: (exchange: Exchange) => Promise<Answered | Failure | undefined>
    }
  /** No route: the table found nothing. */
  | { readonly kind: "none" }

/** What answers when the service cannot. */
export type Fallback =
  | { readonly kind: "service"; service: Service }
  | { readonly kind: "respond"; readonly answer: Answer }

/** A policy's step on a route, with what a fault of it means. */
export interface Step<Name extends "request" | "response" | "done"> {
  readonly policy: string
  readonly failsClosed: boolean
  /** Runs also when the request is refused already. */
  readonly always: boolean
  readonly run: NonNullable<PolicySteps[Name]>
}

/** A route compiled from config: immutable, everything per-request code needs. */
export interface Route extends RouteInfo, Matchable {
  readonly pattern: Pattern
  readonly methods: ReadonlySet<string>
  readonly hosts: readonly HostPattern[]
  readonly target: Target
  /** In running order. */
  readonly requestSteps: readonly Step<"request">[]
  /** In running order, which is the reverse of config order. */
  readonly responseSteps: readonly Step<"response">[]
  readonly doneSteps: readonly Step<"done">[]
  /** Longest wait for the head of the answer, in ms. */
  readonly timeoutMs: number
  /** Largest request body in bytes. */
  readonly maxBodyBytes: number
  readonly allowEncoded: boolean
  readonly websocket: boolean
  /** Path for the service, from the canonical path and what the pattern captured. */
  readonly upstreamPath: ((path: string, captures: readonly string[]) => string) | undefined
}

/** The name of a route in logs and metrics: what config says, never what a client sent. */
export function routeLabel(config: Pick<RouteConfig, "path" | "methods" | "hosts">): string {
  const methods = config.methods.length === 0 ? "" : `${config.methods.join(",")} `
  return `${methods}${config.hosts.join(",")}${config.path}`
}

/** Compiles `strip_prefix` or `rewrite`; `undefined` when the path is forwarded as it is. */
export function compileUpstreamPath(
  config: Pick<RouteConfig, "strip_prefix" | "rewrite">,
): Route["upstreamPath"] {
  const { strip_prefix: prefix, rewrite } = config
  if (prefix !== undefined) {
    const cut = prefix.endsWith("/") ? prefix.length - 1 : prefix.length
    return (path) => (path.length === cut ? "/" : path.slice(cut))
  }
  if (rewrite === undefined) return undefined
  const parts = rewrite.split(/\$(\d{1,2})/)
  return (_path, captures) => {
    let path = ""
    for (let i = 0; i < parts.length; i++)
      path += i % 2 === 0 ? parts[i]! : (captures[Number(parts[i]) - 1] ?? "")
    return path
  }
}

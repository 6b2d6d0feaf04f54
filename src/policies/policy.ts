import type { StaticDecode, TSchema } from "typebox"
import type { Identity } from "../identity/authenticated.ts"
import type { Clock } from "../lib/clock.ts"
import type { Lines } from "../observe/line_buffer.ts"
import type { Log } from "../observe/log.ts"
import type { Answer, Exchange } from "../upstream/exchange.ts"
import type { Failure } from "./failure.ts"
import type { Limits } from "./limits.ts"
import type { Quotas } from "./quotas.ts"

/** What a request step decides: go on, refuse, or answer in place of the target. */
export type Verdict = undefined | Failure | Answered
export interface Answered {
  readonly kind: "answer"
  readonly answer: Answer
}

/** What a policy may use while it compiles. Time and randomness come in here, so tests never sleep. */
export interface PolicyDeps {
  readonly now: Clock
  /** Wall clock in milliseconds since the epoch, for what people read. */
  readonly wallClock: () => number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Log
  readonly identity: Identity
  readonly limits: Limits
  readonly quotas: Quotas
  /** Where access log lines go: one JSON object each. */
  readonly accessLog: Lines
}

/** What config says of the route a policy is compiled for. */
export interface PolicyRoute {
  /** Template of the route, e.g. "/api/v1/context/*". */
  readonly path: string
  /** Upper-case methods; empty: all. */
  readonly methods: readonly string[]
  readonly label: string
  /** Name of its service; "" when the gateway answers itself. */
  readonly service: string
  /** Origins its `cors` allows; empty without. */
  readonly origins: readonly string[]
}

/**
 * The running form of a policy on one route. Steps are called with the exchange only; none is required.
 * A step that returns a promise is awaited, so return one only when something really is awaited.
 */
export interface PolicySteps {
  /** Before the target, in the order of policies/order.ts. */
  request?(this: void, exchange: Exchange): Verdict | Promise<Verdict>
  /** After an answer exists (also the gateway's own refusals), in reverse order; edits `exchange`. */
  response?(this: void, exchange: Exchange): void | Promise<void>
  /** Accounting, once, when the last byte was sent or the client has left. Must not throw or wait. */
  done?(this: void, exchange: Exchange): void
}

export interface Policy<Name extends string = string, Schema extends TSchema = TSchema> {
  /** The config key, the file and the export: one word. */
  readonly name: Name
  /** One sentence for the reference. */
  readonly doc: string
  /**
   * What a fault of the policy itself means. `true`: the request is refused (500). `false`: it is logged
   * and the request goes on.
   */
  readonly failsClosed: boolean
  /** `true`: its request step also runs on requests that are refused already. For policies that only identify. */
  readonly always?: boolean
  /** Options as config writes them; defaults and a description for each. */
  readonly schema: Schema
  /** Cross-checks the schema cannot express: one message a problem, naming the key and what would do. */
  check?(options: StaticDecode<Schema>, route: PolicyRoute): readonly string[]
  /** Runs once a route when config loads. Everything that can be computed beforehand is computed here. */
  compile(options: StaticDecode<Schema>, deps: PolicyDeps, route: PolicyRoute): PolicySteps
}

/** Types a policy by its own schema. */
export function definePolicy<const Name extends string, Schema extends TSchema>(
  policy: Policy<Name, Schema>,
): Policy<Name, Schema> {
  return policy
}

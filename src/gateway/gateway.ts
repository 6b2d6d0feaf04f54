import type { Config } from "../config/schema.ts"
import type { Clock } from "../lib/clock.ts"
import type { Accounting } from "../observe/account.ts"
import { fail } from "../policies/failure.ts"
import type { PolicyDeps } from "../policies/policy.ts"
import { type Arrival, Exchange } from "../upstream/exchange.ts"
import type { Slots } from "../upstream/slots.ts"
import type { Upstreams } from "../upstream/upstreams.ts"
import type { ClientGuard } from "./client_guard.ts"
import { DROPPED_FROM_REQUEST, DROPPED_FROM_RESPONSE } from "./dropped.ts"
import { handle, withoutPort } from "./handle.ts"
import { renderFailure } from "./render.ts"
import type { Runtime } from "./runtime.ts"
import { type Builtins, compileSnapshot, replaceServices, type Snapshot } from "./snapshot.ts"
import { account } from "./steps.ts"

export interface GatewayDeps extends Runtime {
  /** Tells when a request is over. Exact: what the gateway itself took is measured by it. */
  readonly now: Clock
  /** Counts what callers use, for bills. */
  readonly usage: { add(exchange: Exchange): void }
  readonly upstreams: Upstreams
  readonly builtins: Builtins
  readonly accounting: Accounting
  readonly policyDeps: PolicyDeps
}

/** The HTTP data plane of one worker: the newest snapshot, and what a door needs to run exchanges through it. */
export class Gateway {
  readonly #deps: GatewayDeps
  #snapshot: Snapshot | undefined
  /** True from the shutdown signal on: answers carry `Connection: close`. */
  draining = false

  constructor(deps: GatewayDeps) {
    this.#deps = deps
  }

  /** Whether a config has been applied. */
  get ready(): boolean {
    return this.#snapshot !== undefined
  }

  /** Who must not come in: doors ask it about peers. */
  get guard(): ClientGuard {
    return this.#deps.guard
  }

  /** The config requests are answered with; `undefined` before the first. */
  get config(): Config | undefined {
    return this.#snapshot?.config
  }

  /**
   * Compiles a checked config and swaps to it; requests under way finish with the old one. Throws `Error`
   * on what only compiling finds; then the old snapshot stays.
   */
  apply(config: Config, slots: Slots, routeId: (label: string) => number): void {
    const { upstreams, builtins, policyDeps } = this.#deps
    const services = upstreams.apply(config.services, slots, config.discovery.allow)
    this.#snapshot = compileSnapshot(config, { services, routeId, builtins, policyDeps })
    this.#deps.guard.apply(config)
  }

  /** Takes services whose instances have come or gone; `config` is as before but for them. Throws as `apply` does. */
  update(config: Config, services: Config["services"], slots: Slots): void {
    const snapshot = this.#snapshot
    if (snapshot === undefined) return
    replaceServices(snapshot, this.#deps.upstreams.update(services, slots))
    this.#snapshot = { ...snapshot, config }
  }

  /** Whether what arrives goes to a route that passes WebSockets on to a service. */
  relays({ fault, method, host, path, fields }: Arrival): boolean {
    if (this.#snapshot === undefined || fault !== "" || method !== "GET") return false
    const found = this.#snapshot.table.find(method, withoutPort(host), path, fields)
    return found.kind === "route" && found.route.websocket && found.route.target.kind === "service"
  }

  /** Cuts the WebSockets that are relayed. */
  cutRelays(): void {
    this.#deps.relays.terminate()
  }

  /** An exchange for a request that has arrived. */
  begin(arrival: Arrival): Exchange {
    const exchange = new Exchange(arrival, DROPPED_FROM_REQUEST, DROPPED_FROM_RESPONSE)
    this.#deps.accounting.begin()
    return exchange
  }

  /** Runs an exchange; afterwards it has an answer. Never rejects. Before the first config, everything is 503. */
  handle(exchange: Exchange): Promise<void> {
    if (this.#snapshot === undefined) {
      this.fail(exchange)
      return Promise.resolve()
    }
    return handle(this.#snapshot, exchange, this.#deps)
  }

  /** Gives an exchange the answer of a fault in the gateway itself. */
  fail(exchange: Exchange): void {
    const failure = fail(this.#snapshot === undefined ? "SERVICE_UNAVAILABLE" : "INTERNAL_ERROR")
    exchange.failure = failure.code
    exchange.responseEdits.reset()
    exchange.answer = renderFailure(exchange, failure)
  }

  /** Accounting, once, when the last byte was sent or the client has left. */
  finish(exchange: Exchange): void {
    exchange.endedAt = this.#deps.now()
    account(exchange, this.#deps)
    this.#deps.guard.leave(exchange)
    this.#deps.usage.add(exchange)
    this.#deps.accounting.end(exchange, exchange.endedAt)
  }
}

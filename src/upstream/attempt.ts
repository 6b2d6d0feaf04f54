import type { Body } from "../http1/body.ts"
import type { Fields } from "../http1/fields.ts"
import type { Asked, Asking, UpstreamRequest } from "./ask.ts"
import type { Permit } from "./breaker.ts"
import type { Exchange } from "./exchange.ts"
import type { Instance } from "./instance.ts"
import type { Member } from "./member.ts"
import { writeRequestHead } from "./request_head.ts"
import { type Blame, blame, isServerFailure, type UploadState } from "./retry.ts"
import type { AttemptKind, Service } from "./upstreams.ts"
import { WatchedBody } from "./watched_body.ts"

/** Asks an instance otherwise than by its pool: for a WebSocket. */
export interface Asker {
  /** The result of an answer comes after `attempt.finished`. */
  ask(attempt: Attempt): Asking
}

/** One request to one instance: what the pool asks of it, and what its end tells breaker, ejection and balancer. */
export class Attempt implements UpstreamRequest {
  readonly method: string
  readonly body: Body
  readonly idleTimeoutMs: number
  readonly instance: Instance
  upgrades = false
  readonly #exchange: Exchange
  readonly #service: Service
  readonly #member: Member
  readonly #permit: Permit | undefined
  readonly #startedAt: number
  readonly #deadlineAt: number
  readonly #timeoutMs: number
  readonly #generation: number
  #ended = false
  #serverFailed = false
  /** The answer is good so far, but its body is still coming in. */
  #streams = false

  /** `deadlineAt`: for the answer's head, from the request's start; moved on by `timeoutMs` while a body flows. */
  constructor(
    exchange: Exchange,
    service: Service,
    member: Member,
    permit: Permit | undefined,
    startedAt: number,
    deadlineAt: number,
    timeoutMs: number,
  ) {
    this.method = exchange.method
    this.body = exchange.body
    this.idleTimeoutMs = service.config.idle_timeout
    this.instance = service.instances[member.index]!
    this.#exchange = exchange
    this.#service = service
    this.#member = member
    this.#permit = permit
    this.#startedAt = startedAt
    this.#deadlineAt = deadlineAt
    this.#timeoutMs = timeoutMs
    this.#generation = member.state.ejectionGeneration
  }

  get deadlineAt(): number {
    const { body } = this
    // A slow upload is no slow answer: the wait for the head counts from the last byte of the request.
    if (!(body instanceof WatchedBody)) return this.#deadlineAt
    // Nor is a client that pauses: the door and `idle_timeout` bound that.
    if (body.state === "waiting_for_client") return Number.POSITIVE_INFINITY
    return Math.max(this.#deadlineAt, body.movedAt + this.#timeoutMs)
  }

  get upload(): UploadState {
    return this.body instanceof WatchedBody ? this.body.state : "none"
  }

  /** Counts it as in flight and hands it to the pool, or to who asks instead. */
  start(asker: Asker | undefined): Asking {
    this.instance.begin()
    return asker === undefined ? this.instance.pool.ask(this) : asker.ask(this)
  }

  writeHead(out: Buffer, at: number): number {
    return writeRequestHead(this.#exchange, this.#service.config.host, out, at)
  }

  lasts(): void {
    this.#exchange.arrival.watch?.()
  }

  hinted(fields: Fields): void {
    this.#exchange.arrival.hint?.(fields)
  }

  /**
   * The one place where the outcome of an attempt reaches breaker, ejection, response times and metrics. `at`:
   * the time now.
   */
  settle(asked: Asked, at: number): Blame {
    const service = this.#service
    const whose = blame(asked, this.upload)
    this.#record(
      whose === "instance" ? "failure" : whose === "nobody" ? this.#quality(asked) : "cancelled",
      at,
    )
    if (whose === "instance") {
      this.#serverFailed = true
      this.#failed(at)
      // A quick failure must not make an instance look fast.
      if (at - this.#startedAt > this.#member.state.responseTimeMs(at)) this.#observe(at)
    } else if (asked.kind === "response") {
      this.#observe(at)
      this.#streams = asked.body !== undefined && !(asked.body instanceof Uint8Array)
      if (!this.#streams) service.ejection.succeeded(this.#member, this.#generation)
    }
    if (asked.kind === "failed") this.#end()
    service.deps.onAttempt?.(service, this.instance, kindOf(asked))
    return whose
  }

  /** The request could not even be written: nothing is learned about anybody. */
  abandon(): void {
    this.#record("cancelled", this.#service.deps.now())
    this.#end()
  }

  finished(outcome: "complete" | "aborted" | "cancelled"): void {
    this.#end()
    if (outcome === "aborted" && !this.#serverFailed) this.#failed(this.#service.deps.now())
    else if (outcome === "complete" && this.#streams)
      this.#service.ejection.succeeded(this.#member, this.#generation)
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.instance.end()
  }

  #observe(at: number): void {
    this.#member.state.observe(Math.max(0, at - this.#startedAt), at)
  }

  /** A kept connection that died tells neither good nor bad of the service. */
  #quality(asked: Asked): "success" | "cancelled" {
    return asked.kind === "response" ? "success" : "cancelled"
  }

  #record(outcome: "success" | "failure" | "cancelled", at: number): void {
    if (this.#permit === undefined) return
    const { name, breaker, deps } = this.#service
    const state = breaker!.record(this.#permit, outcome, at)
    if (state === undefined) return
    deps.log.warn(state === "open" ? "circuit.opened" : "circuit.closed", { service: name })
    deps.onChange?.({ kind: "circuit", service: name, state })
  }

  #failed(at: number): void {
    const { name, ejection, deps } = this.#service
    if (!ejection.failed(this.#member, this.#generation, at)) return
    const { url, state } = this.#member
    const forMs = Math.round(state.ejectedUntil - at)
    deps.log.warn("instance.ejected", { service: name, instance: url, for_ms: forMs })
    deps.onChange?.({ kind: "ejected", service: name, instance: url, forMs })
  }
}

function kindOf(asked: Asked): AttemptKind {
  if (asked.kind === "failed") return asked.reason
  return isServerFailure(asked.status) ? "server_error" : "success"
}

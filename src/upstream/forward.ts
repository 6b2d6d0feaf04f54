import type { Clock } from "../lib/clock.ts"
import type { Asked, AskedFailure } from "./ask.ts"
import { type Asker, Attempt } from "./attempt.ts"
import type { Permit, Refusal } from "./breaker.ts"
import type { Answer, Exchange } from "./exchange.ts"
import type { Member } from "./member.ts"
import { backoffMs, MOST_MOVES, retryKind } from "./retry.ts"
import type { Service } from "./upstreams.ts"
import { WatchedBody } from "./watched_body.ts"

/** No instance gave an answer. */
export interface UpstreamFailure {
  readonly kind:
    | "unreachable"
    | "reset"
    | "timeout"
    | "protocol"
    | "no_instance"
    | "overloaded"
    /** The service has as many requests as its `concurrency` allows; it was not asked. */
    | "limited"
    | "circuit_open"
    | "client_gone"
    /** The client's upload stood still for too long. */
    | "client_slow"
  /** When it may be worth to try again; `undefined`: nothing is known. */
  readonly retryAfterMs: number | undefined
  /** For the log only. */
  readonly cause: string
}

export type Forwarded = { readonly kind: "answer"; readonly answer: Answer } | UpstreamFailure

/**
 * Asks a service for the answer to an exchange: chooses an instance, asks it, and asks again where that is
 * safe and affordable. `timeoutMs`: longest wait from the start, retries included, to the answer's head;
 * while a body is being sent it counts from its last byte, and stands still while the client is waited for. An
 * answer's body may still be coming in; whoever does not want it must cancel it. `asker`: who asks the instances;
 * `undefined`: their pools.
 */
export async function forward(
  exchange: Exchange,
  service: Service,
  timeoutMs: number,
  asker?: Asker,
): Promise<Forwarded> {
  const { breaker, budget, retry, deps } = service
  const startedAt = deps.now()
  const deadlineAt = startedAt + timeoutMs

  // 1. A streamed body is watched: how far it came decides blame and retry.
  if (!watchBody(exchange, deps.now)) return failure("reset", "the request body was already sent elsewhere")
  if (exchange.gone) return CLIENT_GONE

  // 2. The circuit must let it through.
  let permit = breaker?.acquire(startedAt)
  if (typeof permit === "object") return circuitOpen(permit)
  budget.requested(startedAt)

  let tried: Member[] | undefined
  let freed = false
  let moves = 0
  let at = startedAt
  for (let number = 1; ; ) {
    // 3. Choose an instance and ask it. A client that leaves stops this at once.
    const member = choose(exchange, service, tried, at)
    if (member === undefined) {
      giveBack(service, permit)
      return failure("no_instance", "no instance is available")
    }
    const tryUntil =
      retry.perTryTimeoutMs === undefined ? deadlineAt : Math.min(deadlineAt, at + retry.perTryTimeoutMs)
    const attempt = new Attempt(exchange, service, member, permit, at, tryUntil, tryUntil - at)
    exchange.instance = member.url
    let asked: Asked
    try {
      const ask = attempt.start(asker)
      exchange.pending = ask
      asked = await ask.result
    } catch (error) {
      attempt.abandon()
      throw error
    }

    // 4. Learn from how it went.
    at = deps.now()
    const blame = attempt.settle(asked, at)
    if (asked.kind === "response" && blame === "nobody") return ended(exchange, asked, startedAt, at)
    if (asked.kind === "failed" && asked.reason === "timeout" && blame === "client") {
      exchange.upstreamMs += at - startedAt
      return failure("client_slow", asked.cause)
    }

    // 5. Decide whether to ask again: safe, worth it, in time, affordable, and the circuit still closed.
    const mayMove = moves < MOST_MOVES && (tried?.length ?? 0) + 1 < service.candidates.at(at).list.length
    const kind = exchange.gone
      ? "no"
      : retryKind(asked, exchange.method, attempt.upload, retry, number, freed, mayMove)
    if (kind === "no") return ended(exchange, asked, startedAt, at)
    const waitMs = kind === "paid" ? backoffMs(retry, number, deps.random) : 0
    if (at + waitMs >= deadlineAt || (kind === "paid" && !budget.take(at)))
      return ended(exchange, asked, startedAt, at)
    permit = breaker?.acquire(at)
    if (typeof permit === "object") return ended(exchange, asked, startedAt, at)

    // 6. Once more, on another instance if there is one.
    discard(asked)
    tried ??= []
    tried.push(member)
    exchange.retries++
    if (kind === "free") freed = true
    else if (kind === "moved") moves++
    else {
      number++
      await deps.sleep(waitMs)
      at = deps.now()
    }
    if (exchange.gone) {
      giveBack(service, permit)
      return CLIENT_GONE
    }
  }
}

/** False when the body was (partly) sent before and cannot be sent again. */
function watchBody(exchange: Exchange, now: Clock): boolean {
  const { body } = exchange
  if (body === undefined || body instanceof Uint8Array) return true
  if (body instanceof WatchedBody) return body.state === "unread"
  exchange.body = new WatchedBody(body, now)
  return true
}

/** The member to ask next; `undefined`: none is available. */
function choose(
  exchange: Exchange,
  service: Service,
  tried: readonly Member[] | undefined,
  now: number,
): Member | undefined {
  const candidates = tried === undefined ? service.candidates.at(now) : service.candidates.without(tried, now)
  if (candidates.list.length === 0) return undefined
  return service.balancer === undefined
    ? candidates.list[0]
    : service.balancer.pick(candidates, exchange, now)
}

function giveBack({ breaker, deps }: Service, permit: Permit | undefined): void {
  if (permit !== undefined) breaker!.record(permit, "cancelled", deps.now())
}

/** An answer nobody will read must not hold its connection. */
function discard(asked: Asked): void {
  if (asked.kind === "response" && asked.body !== undefined && !(asked.body instanceof Uint8Array))
    asked.body.cancel()
}

function ended(exchange: Exchange, asked: Asked, startedAt: number, at: number): Forwarded {
  exchange.upstreamMs += at - startedAt
  if (asked.kind === "response") for (const name of asked.fields.nominated) exchange.responseEdits.drop(name)
  return asked.kind === "response" ? { kind: "answer", answer: asked } : toFailure(asked)
}

const CLIENT_GONE: UpstreamFailure = Object.freeze({
  kind: "client_gone",
  retryAfterMs: undefined,
  cause: "the client has left",
})

/** A full pool empties as fast as the instance answers. */
const OVERLOADED_RETRY_AFTER_MS = 1000

function toFailure({ reason, cause }: AskedFailure): UpstreamFailure {
  switch (reason) {
    case "connect":
    case "connect_timeout":
      return failure("unreachable", cause)
    case "pool_full":
    case "pool_timeout":
      return failure("overloaded", cause, OVERLOADED_RETRY_AFTER_MS)
    case "cancelled":
      return failure("client_gone", cause)
    case "reset":
    case "timeout":
    case "protocol":
      return failure(reason, cause)
  }
}

function circuitOpen({ retryAfterMs }: Refusal): UpstreamFailure {
  return failure("circuit_open", "the circuit is open", retryAfterMs)
}

function failure(kind: UpstreamFailure["kind"], cause: string, retryAfterMs?: number): UpstreamFailure {
  return { kind, retryAfterMs, cause }
}

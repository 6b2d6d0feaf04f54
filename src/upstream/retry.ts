import type { Asked } from "./ask.ts"
import { SERVICE, serviceRecord, type UpstreamMemory } from "./memory.ts"
import type { RetryConfig } from "./service.ts"
import type { WatchedBody } from "./watched_body.ts"
import { SlidingCounter } from "./window.ts"

/**
 * Who is to blame for how an attempt ended. Only `instance` counts against the instance and the circuit.
 * `nobody`: it answered, or a kept connection was closed just when it was used again. `client`: it left, or
 * sent its body too slowly. `gateway`: its own bounds were reached.
 */
export type Blame = "nobody" | "instance" | "client" | "gateway"

/** How far a streamed request body has come. `none`: there is no stream; what there is can be sent again. */
export type UploadState = "none" | WatchedBody["state"]

/** Statuses that say the instance failed. 501, 505 and others may be the client's doing. */
export function isServerFailure(status: number): boolean {
  return status === 500 || (status >= 502 && status <= 504)
}

/** The one place where blame is decided. */
export function blame(asked: Asked, upload: UploadState): Blame {
  if (asked.kind === "response") return isServerFailure(asked.status) ? "instance" : "nobody"
  if (upload === "broken") return "client"
  switch (asked.reason) {
    case "cancelled":
      return "client"
    case "pool_full":
    case "pool_timeout":
      return "gateway"
    case "timeout":
      // An upload that trickles must not take an instance or a circuit down.
      return upload === "waiting_for_client" ? "client" : "instance"
    case "reset":
      return asked.stale ? "nobody" : "instance"
    case "connect":
    case "connect_timeout":
    case "protocol":
      return "instance"
  }
}

/** Methods that may be sent twice (RFC 9110 section 9.2.2). */
export function isIdempotent(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "PUT":
    case "DELETE":
    case "OPTIONS":
    case "TRACE":
      return true
    default:
      return false
  }
}

/** What a service's config says of retries, ready for use. */
export interface RetryRules {
  /** Attempts in all. */
  readonly attempts: number
  readonly backoffMs: number
  readonly maxBackoffMs: number
  /** `undefined`: only the deadline of the request bounds an attempt. */
  readonly perTryTimeoutMs: number | undefined
  /** Words of `retry.on`. */
  readonly on: ReadonlySet<string>
}

export function compileRetry(config: RetryConfig): RetryRules {
  return {
    attempts: config.attempts,
    backoffMs: config.backoff,
    maxBackoffMs: config.max_backoff,
    perTryTimeoutMs: config.per_try_timeout,
    on: new Set(config.on),
  }
}

/**
 * - `no`: what there is goes to the client.
 * - `free`: a kept connection died as it was used again. Such a request is sent once more at once, outside of
 *   count and budget: it is the price of keeping connections, not a sign of trouble.
 * - `paid`: counted, waited for and taken from the budget.
 * - `moved`: all attempts are spent, the last on an instance that refused the connection, and there is another that
 *   was not asked: nothing was sent and nobody has worked, so it is asked at once, outside of count and budget.
 */
export type RetryKind = "no" | "free" | "paid" | "moved"

/** A request is moved at most so often: where this many in a row refuse connections, all may. */
export const MOST_MOVES = 3

/**
 * The one place where it is decided whether a request may be sent again. `attempt`: number of the one that
 * ended so, from 1. `freed`: whether a free retry was already had. `mayMove`: whether there is an instance that has
 * not been asked, and moves are left.
 */
export function retryKind(
  asked: Asked,
  method: string,
  upload: UploadState,
  rules: RetryRules,
  attempt: number,
  freed: boolean,
  mayMove = false,
): RetryKind {
  // Bytes that have left the client's stream are not there a second time.
  if (upload !== "none" && upload !== "unread") return "no"
  const sent = asked.kind === "response" || asked.sent
  if (sent && (upload === "unread" || !isIdempotent(method))) return "no"
  if (asked.kind === "failed" && asked.stale && !freed) return "free"
  if (rules.attempts === 1 || !rules.on.has(cause(asked))) return "no"
  if (attempt < rules.attempts) return "paid"
  return mayMove && !sent && asked.kind === "failed" && asked.reason === "connect" ? "moved" : "no"
}

/** The word `retry.on` has or might have for it. */
function cause(asked: Asked): string {
  if (asked.kind === "response") return String(asked.status)
  switch (asked.reason) {
    case "connect":
    case "connect_timeout":
    case "pool_full":
    case "pool_timeout":
      return "connect"
    case "reset":
    case "timeout":
    case "protocol":
    case "cancelled":
      return asked.reason
  }
}

/** Wait before the attempt after `attempt` (from 1): uniform in [0, min(max, backoff × 2^(attempt − 1))). */
export function backoffMs(rules: RetryRules, attempt: number, random: () => number): number {
  return random() * Math.min(rules.maxBackoffMs, rules.backoffMs * 2 ** (attempt - 1))
}

/** Span over which retries are set against requests. */
const BUDGET_SPAN_MS = 10_000
/** Retries within the span that are always allowed, so that a quiet service can retry at all. */
export const BUDGET_MINIMUM = 10

/**
 * Keeps retries to a share of a service's requests, all threads counted, so that a failing service is not
 * asked harder than a healthy one. Threads deciding at the same moment may overshoot by one each.
 */
export class RetryBudget {
  readonly #share: number
  readonly #requests: SlidingCounter
  readonly #retries: SlidingCounter

  /** `share`: in [0, 1]; 0 allows no retry at all. */
  constructor(memory: UpstreamMemory, slot: number, share: number) {
    const record = serviceRecord(memory, slot)
    this.#share = share
    this.#requests = new SlidingCounter(record.words, record.word + SERVICE.budgetRequests, BUDGET_SPAN_MS)
    this.#retries = new SlidingCounter(record.words, record.word + SERVICE.budgetRetries, BUDGET_SPAN_MS)
  }

  /** Counts a request (not its retries). */
  requested(now: number): void {
    this.#requests.add(now)
  }

  /** Takes one retry; false when the budget is spent. */
  take(now: number): boolean {
    if (this.#share === 0) return false
    const allowed = Math.max(BUDGET_MINIMUM, this.#share * this.#requests.sum(now))
    if (this.#retries.sum(now) >= allowed) return false
    this.#retries.add(now)
    return true
  }
}

import type { ConcurrencyLimiter, ConcurrencyOutcome } from "./concurrency.ts"
import type { Exchange } from "./exchange.ts"
import { type Forwarded, forward, type UpstreamFailure } from "./forward.ts"
import { isServerFailure } from "./retry.ts"
import type { Service } from "./upstreams.ts"

/** Room comes back as fast as the service answers. */
const RETRY_AFTER_MS = 1000

const AT_LIMIT: UpstreamFailure = Object.freeze({
  kind: "limited",
  retryAfterMs: RETRY_AFTER_MS,
  cause: "the concurrency limit of the service is reached",
})

/** `forward`, within the service's `concurrency`: one permit for all attempts, to the head of the answer. */
export async function forwardLimited(
  exchange: Exchange,
  service: Service,
  timeoutMs: number,
  limiter: ConcurrencyLimiter,
): Promise<Forwarded> {
  const { now, onShed } = service.deps
  const permit = limiter.acquire(exchange.priority)
  if (permit === undefined) {
    onShed?.(exchange.priority)
    return AT_LIMIT
  }
  const startedAt = now()
  const retriesBefore = exchange.retries
  let outcome: ConcurrencyOutcome = "ignored"
  try {
    const forwarded = await forward(exchange, service, timeoutMs)
    outcome = judge(forwarded, exchange, retriesBefore)
    return forwarded
  } finally {
    const at = now()
    limiter.record(permit, at - startedAt, outcome, at)
  }
}

/** What the end of a request tells of the service. */
function judge(forwarded: Forwarded, exchange: Exchange, retriesBefore: number): ConcurrencyOutcome {
  switch (forwarded.kind) {
    case "answer":
      if (isServerFailure(forwarded.answer.status)) return "failure"
      // Retries and uploads take time that is not the service's.
      return exchange.retries === retriesBefore && isWhole(exchange) ? "success" : "ignored"
    case "unreachable":
    case "reset":
    case "timeout":
    case "protocol":
    case "overloaded":
      return "failure"
    case "no_instance":
    case "circuit_open":
    case "limited":
    case "client_gone":
    case "client_slow":
      return "ignored"
  }
}

function isWhole({ body }: Exchange): boolean {
  return body === undefined || body instanceof Uint8Array
}

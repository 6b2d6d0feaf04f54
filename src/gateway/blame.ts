import { type Failure, fail } from "../policies/failure.ts"
import type { UpstreamFailure } from "../upstream/forward.ts"

/** Seconds a client is told to wait when nothing more exact is known. */
const RETRY_AFTER_S = 1

/**
 * What a client hears when no upstream attempt gave an answer. The cause goes to the log only. `chain`: names from
 * the service to the one it depends on that is at fault.
 */
export function toFailure(failure: UpstreamFailure, chain?: readonly string[]): Failure {
  const { cause } = failure
  const details = chain === undefined ? {} : { details: { chain } }
  const retryAfterS = failure.retryAfterMs === undefined ? RETRY_AFTER_S : failure.retryAfterMs / 1000
  switch (failure.kind) {
    case "unreachable":
    case "reset":
    case "protocol":
    case "client_gone":
      return fail("BAD_GATEWAY", { cause })
    case "timeout":
      return fail("GATEWAY_TIMEOUT", { cause })
    case "client_slow":
      return fail("REQUEST_TIMEOUT", { cause })
    case "no_instance":
      return fail("SERVICE_UNAVAILABLE", { cause, retryAfterS, ...details })
    case "overloaded":
      return fail("OVERLOADED", { cause, retryAfterS })
    case "limited":
      // Counted, and not told of one by one: under load there are thousands.
      return fail("OVERLOADED", { retryAfterS })
    case "circuit_open":
      return fail("CIRCUIT_OPEN", { cause, retryAfterS, ...details })
  }
}

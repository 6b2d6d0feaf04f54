import type { Failure } from "../policies/failure.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { renderFailure } from "./render.ts"
import type { Runtime } from "./runtime.ts"

/** Answers with a failure, and logs what really happened where that says more. */
export function refuse(exchange: Exchange, failure: Failure, runtime: Runtime): void {
  exchange.failure = failure.code
  if (failure.cause !== undefined) {
    runtime.log.warn("request.failed", {
      code: failure.code,
      cause: failure.cause,
      request_id: exchange.id,
      route: exchange.route?.label,
      service: exchange.route?.service,
      instance: exchange.instance,
    })
  }
  exchange.answer = renderFailure(exchange, failure)
}

/** An answer that will not be sent: its upstream connection must not wait for a reader. */
export function discardAnswer(exchange: Exchange): void {
  const body = exchange.answer?.body
  if (body !== undefined && !(body instanceof Uint8Array)) body.cancel()
  exchange.answer = undefined
}

import { type Failure, fail } from "../policies/failure.ts"
import type { Verdict } from "../policies/policy.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { discardAnswer, refuse } from "./refuse.ts"
import type { Route, Step } from "./route.ts"
import type { Runtime } from "./runtime.ts"

/**
 * Runs the request steps from number `from` on. `verdict`: what was decided before; then only steps that
 * merely identify the request run. A promise only once a step has returned one.
 */
export function runRequestSteps(
  exchange: Exchange,
  route: Route,
  verdict: Verdict,
  runtime: Runtime,
  from: number,
): Verdict | Promise<Verdict> {
  const steps = route.requestSteps
  for (let i = from; i < steps.length; i++) {
    const step = steps[i]!
    if (verdict !== undefined && !step.always) continue
    try {
      const result = step.run(exchange)
      if (result instanceof Promise) {
        const decided = result.catch((error: unknown) => requestFault(exchange, step, error, runtime))
        return decided.then((found) => runRequestSteps(exchange, route, verdict ?? found, runtime, i + 1))
      }
      verdict ??= result
    } catch (error) {
      verdict ??= requestFault(exchange, step, error, runtime)
    }
  }
  return verdict
}

function requestFault(exchange: Exchange, step: Step<"request">, error: unknown, runtime: Runtime): Verdict {
  logFault(exchange, step.policy, "request", error, runtime)
  return step.failsClosed ? policyFailure(step.policy) : undefined
}

/** Runs the response steps from number `from` on; a promise only once a step has returned one. */
export function runResponseSteps(
  exchange: Exchange,
  route: Route,
  runtime: Runtime,
  from: number,
): undefined | Promise<void> {
  const steps = route.responseSteps
  for (let i = from; i < steps.length; i++) {
    const step = steps[i]!
    try {
      const result = step.run(exchange)
      if (result instanceof Promise) {
        return result
          .catch((error: unknown) => responseFault(exchange, step, error, runtime))
          .then(() => runResponseSteps(exchange, route, runtime, i + 1))
      }
    } catch (error) {
      responseFault(exchange, step, error, runtime)
    }
  }
  return undefined
}

/** The steps that follow see the refusal; what the earlier ones said was about another answer. */
function responseFault(exchange: Exchange, step: Step<"response">, error: unknown, runtime: Runtime): void {
  logFault(exchange, step.policy, "response", error, runtime)
  if (!step.failsClosed) return
  discardAnswer(exchange)
  exchange.socket?.refused()
  exchange.socket = undefined
  exchange.responseEdits.reset()
  refuse(exchange, policyFailure(step.policy), runtime)
}

function policyFailure(policy: string): Failure {
  return fail("INTERNAL_ERROR", { cause: `policy ${policy} failed` })
}

function logFault(exchange: Exchange, policy: string, step: string, error: unknown, runtime: Runtime): void {
  runtime.log.error("policy.fault", { policy, step, request_id: exchange.id, error })
}

/** The last step, once, when the last byte has gone or the client has left. */
export function account(exchange: Exchange, runtime: Runtime): void {
  const route = exchange.route as Route | undefined
  if (route === undefined) return
  for (const step of route.doneSteps) {
    try {
      step.run(exchange)
    } catch (error) {
      logFault(exchange, step.policy, "done", error, runtime)
    }
  }
}

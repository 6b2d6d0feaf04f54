import { bodyLength } from "../http1/body.ts"
import { FieldList } from "../http1/field_list.ts"
import { limitBody } from "../policies/body_limit.ts"
import { type Failure, fail } from "../policies/failure.ts"
import type { Verdict } from "../policies/policy.ts"
import type { Answer, Exchange } from "../upstream/exchange.ts"
import { settleCertificate } from "./client_certificate.ts"
import { dropNominated } from "./dropped.ts"
import { settleClient } from "./proxies.ts"
import { discardAnswer, refuse } from "./refuse.ts"
import type { Route, Target } from "./route.ts"
import { METHODS } from "./routes.ts"
import type { Runtime } from "./runtime.ts"
import type { Snapshot } from "./snapshot.ts"
import { runRequestSteps, runResponseSteps } from "./steps.ts"
import { askTarget, fallBack, SMALL_BODY_BYTES, tooLarge } from "./target.ts"

/**
 * The life of one request. When it resolves, `exchange.answer` is set (or the client has left): the door
 * sends it and then calls `account`.
 */
export async function handle(snapshot: Snapshot, exchange: Exchange, runtime: Runtime): Promise<void> {
  // 1. Who asks: the client behind trusted proxies.
  dropNominated(exchange)
  exchange.trusted = settleClient(exchange, snapshot.proxies)
  settleCertificate(exchange, exchange.trusted, snapshot.certificateHeader)
  const barred = runtime.guard.admit(exchange)

  // 2. Which route. `exchange.route` is set whatever happens, so that accounting has its policies.
  const {
    route,
    target,
    refusal: early,
  } = barred === undefined ? findRoute(snapshot, exchange) : unmatched(snapshot, barred)
  exchange.route = route
  let verdict = early ?? checkProtocol(exchange, route)

  // 3. Request steps, until one decides.
  if (route.requestSteps.length > 0) {
    const decided = runRequestSteps(exchange, route, verdict, runtime, 0)
    verdict = decided instanceof Promise ? await decided : decided
  }

  // 4. More than this worker can do: what matters less goes first. What the gateway answers itself stays.
  if (verdict === undefined && exchange.priority >= runtime.shedding.from && target.kind === "service")
    if (runtime.shedding.refuses(exchange.priority)) verdict = SHED

  // 5. The target answers, or says why not.
  let refusal: Failure | undefined
  if (verdict === undefined) {
    try {
      const asked = askTarget(exchange, target, route, runtime)
      let outcome = asked instanceof Promise ? await asked : asked
      if (outcome !== undefined && outcome.kind !== "answer" && outcome.kind !== "failure") {
        outcome = await fallBack(exchange, target, outcome, route, runtime)
      }
      if (outcome?.kind === "answer") exchange.answer = outcome.answer
      else refusal = outcome
    } catch (error) {
      runtime.log.error("request.fault", { request_id: exchange.id, route: route.label, error })
      discardAnswer(exchange)
      refusal = fail("INTERNAL_ERROR")
    }
  } else if (verdict.kind === "answer") {
    exchange.answer = verdict.answer
  } else {
    refusal = verdict
  }

  // A client that has left gets no answer, and its leaving is nobody's failure.
  if (exchange.gone) {
    discardAnswer(exchange)
    return
  }

  // 6. A refusal becomes an answer in one place.
  if (refusal !== undefined) refuse(exchange, refusal, runtime)

  // 7. Response steps, also on refusals.
  if (route.responseSteps.length > 0) {
    const ran = runResponseSteps(exchange, route, runtime, 0)
    if (ran !== undefined) await ran
  }
}

/** Load goes by the second; without a cause, as thousands of these must not be thousands of lines in the log. */
const SHED = fail("OVERLOADED", { retryAfterS: 2 })

interface FoundRoute {
  readonly route: Route
  readonly target: Target
  readonly refusal: Verdict
}

const NO_TUNNELS = fail("METHOD_NOT_ALLOWED", { headers: { allow: METHODS.join(", ") } })

function findRoute(snapshot: Snapshot, exchange: Exchange): FoundRoute {
  const { table, unmatched } = snapshot
  const { fault } = exchange.arrival
  if (fault !== "") {
    // CONNECT names an authority where others name a path: the method is what is wrong with it.
    const refusal = exchange.method === "CONNECT" ? NO_TUNNELS : fail(fault)
    return { route: unmatched, target: unmatched.target, refusal }
  }
  const { fields } = exchange.arrival
  const host = withoutPort(exchange.host)
  const found = table.find(exchange.method, host, exchange.path, fields)
  if (found.kind === "route") {
    const { route, captures } = found
    exchange.captures = captures
    exchange.captureNames = route.pattern.parameters
    if (route.upstreamPath !== undefined) exchange.upstreamPath = route.upstreamPath(exchange.path, captures)
    return { route, target: route.target, refusal: undefined }
  }
  if (found.kind === "method_not_allowed") {
    const allow = found.allow.join(", ")
    if (exchange.method !== "OPTIONS") {
      return {
        route: unmatched,
        target: unmatched.target,
        refusal: fail("METHOD_NOT_ALLOWED", { headers: { allow } }),
      }
    }
    // OPTIONS that no route serves: the gateway answers. A preflight runs the policies of the route it asks about.
    const wanted = fields.get("access-control-request-method")
    const asked = wanted === undefined ? undefined : table.find(wanted, host, exchange.path, fields)
    const answer: Answer = { status: 204, fields: new FieldList(["allow", allow]), body: undefined }
    return {
      route: asked?.kind === "route" ? asked.route : unmatched,
      target: { kind: "respond", answer },
      refusal: asked?.kind === "route" ? undefined : { kind: "answer", answer },
    }
  }
  return { route: unmatched, target: unmatched.target, refusal: fail("NOT_FOUND") }
}

/** What holds for every request, whatever the route asks for. */
function checkProtocol(exchange: Exchange, route: Route): Verdict {
  if (exchange.arrival.ambiguousPath && !route.allowEncoded) return fail("INVALID_PATH")
  const expect = exchange.header("expect")
  if (expect !== undefined && expect.toLowerCase() !== "100-continue") return fail("EXPECTATION_FAILED")
  if (exchange.body === undefined) return undefined
  const length = bodyLength(exchange.body)
  if (length === undefined || length > SMALL_BODY_BYTES || length > route.maxBodyBytes) {
    if (length !== undefined && length > route.maxBodyBytes) return tooLarge(route.maxBodyBytes)
    exchange.body = limitBody(exchange.body, route.maxBodyBytes, () => {
      exchange.uploadFault = "PAYLOAD_TOO_LARGE"
    })
  }
  return undefined
}

const unmatched = ({ unmatched: route }: Snapshot, refusal: Verdict): FoundRoute => ({
  route,
  target: route.target,
  refusal,
})

export function withoutPort(host: string): string {
  const colon = host.lastIndexOf(":")
  return colon === -1 || host.endsWith("]") ? host : host.slice(0, colon)
}

import { type BodySource, bodyLength } from "../http1/body.ts"
import { FieldList } from "../http1/field_list.ts"
import type { Log } from "../observe/log.ts"
import { limitBody } from "../policies/body_limit.ts"
import { type Failure, fail } from "../policies/failure.ts"
import type { Verdict } from "../policies/policy.ts"
import type { Answer, Exchange } from "../upstream/exchange.ts"
import { forward } from "../upstream/forward.ts"
import { toFailure } from "./blame.ts"
import { dropNominated } from "./dropped.ts"
import { settleClient } from "./proxies.ts"
import { renderFailure } from "./render.ts"
import type { Fallback, Route, Target } from "./route.ts"
import { METHODS } from "./routes.ts"
import type { Snapshot } from "./snapshot.ts"
import { openSocket, type SocketRuntime } from "./socket.ts"

/** What running a request needs besides the snapshot. */
export interface Runtime extends SocketRuntime {
  readonly log: Log
}

/** A request body up to this many bytes is taken whole before it is sent on, so that it can be sent again. */
const SMALL_BODY_BYTES = 65_536

/**
 * The life of one request. When it resolves, `exchange.answer` is set (or the client has left): the door
 * sends it and then calls `account`.
 */
export async function handle(snapshot: Snapshot, exchange: Exchange, runtime: Runtime): Promise<void> {
  // 1. Who asks: the client behind trusted proxies.
  dropNominated(exchange)
  settleClient(exchange, snapshot.proxies)

  // 2. Which route. `exchange.route` is set whatever happens, so that accounting has its policies.
  let refusal: Failure | undefined
  const found = findRoute(snapshot, exchange)
  const route = found.route
  exchange.route = route
  let verdict: Verdict = found.refusal

  try {
    // 3. Request steps, until one decides. What only identifies the request runs on refused ones too.
    if (verdict === undefined) verdict = checkProtocol(exchange, route)
    for (const step of route.requestSteps) {
      if (verdict !== undefined && !step.always) continue
      try {
        const result = step.run(exchange)
        const decided: Verdict = result instanceof Promise ? await result : result
        if (verdict === undefined) verdict = decided
      } catch (error) {
        runtime.log.error("policy.fault", {
          policy: step.policy,
          step: "request",
          request_id: exchange.id,
          error,
        })
        if (step.failsClosed && verdict === undefined)
          verdict = fail("INTERNAL_ERROR", { cause: `policy ${step.policy} failed` })
      }
    }

    // 4. The target answers.
    if (verdict === undefined) {
      const asked = askTarget(exchange, found.target, route.timeoutMs, runtime)
      refusal = asked instanceof Promise ? await asked : asked
    } else if (verdict.kind === "answer") {
      exchange.answer = verdict.answer
    } else {
      refusal = verdict
    }
  } catch (error) {
    runtime.log.error("request.fault", { request_id: exchange.id, route: route.label, error })
    discardAnswer(exchange)
    refusal = fail("INTERNAL_ERROR")
  }

  // A client that has left gets no answer, and its leaving is nobody's failure.
  if (exchange.gone) {
    discardAnswer(exchange)
    return
  }

  // 5. A refusal becomes an answer in one place.
  if (refusal !== undefined) refuse(exchange, refusal, runtime)

  // 6. Response steps, also on refusals.
  for (const step of route.responseSteps) {
    try {
      const result = step.run(exchange)
      if (result instanceof Promise) await result
    } catch (error) {
      runtime.log.error("policy.fault", {
        policy: step.policy,
        step: "response",
        request_id: exchange.id,
        error,
      })
      if (step.failsClosed) {
        // The steps that follow see the refusal; what the earlier ones said was about another answer.
        discardAnswer(exchange)
        exchange.responseEdits.reset()
        refuse(exchange, fail("INTERNAL_ERROR", { cause: `policy ${step.policy} failed` }), runtime)
      }
    }
  }
}

/** The last step, once, when the last byte has gone or the client has left. */
export function account(exchange: Exchange, runtime: Runtime): void {
  const route = exchange.route as Route | undefined
  if (route === undefined) return
  for (const step of route.doneSteps) {
    try {
      step.run(exchange)
    } catch (error) {
      runtime.log.error("policy.fault", { policy: step.policy, step: "done", request_id: exchange.id, error })
    }
  }
}

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

const tooLarge = (limit: number): Failure => fail("PAYLOAD_TOO_LARGE", { details: { limit } })

/** Sets `exchange.answer`, or returns why there is none; a promise only where something is waited for. */
function askTarget(
  exchange: Exchange,
  target: Target,
  timeoutMs: number,
  runtime: Runtime,
): Failure | undefined | Promise<Failure | undefined> {
  switch (target.kind) {
    case "respond":
      exchange.answer = target.answer
      return undefined
    case "builtin":
      return askBuiltin(exchange, target)
    case "none":
      return fail("NOT_FOUND")
    case "service":
      if ((exchange.route as Route).websocket && exchange.header("upgrade") !== undefined) {
        return askSocket(exchange, target, timeoutMs, runtime)
      }
      return askService(exchange, target.service, target.fallback, timeoutMs)
  }
}

async function askBuiltin(
  exchange: Exchange,
  target: Extract<Target, { kind: "builtin" }>,
): Promise<undefined> {
  exchange.answer = await target.answer(exchange)
}

type ServiceTarget = Extract<Target, { kind: "service" }>

/** A route with `websocket: relay` answers ordinary requests too. */
async function askSocket(
  exchange: Exchange,
  { service, fallback }: ServiceTarget,
  timeoutMs: number,
  runtime: Runtime,
): Promise<Failure | undefined> {
  const opened = await openSocket(exchange, service, timeoutMs, runtime)
  return opened === "http" ? askService(exchange, service, fallback, timeoutMs) : opened
}

async function askService(
  exchange: Exchange,
  service: ServiceTarget["service"],
  fallback: Fallback | undefined,
  timeoutMs: number,
): Promise<Failure | undefined> {
  const { body } = exchange
  if (body !== undefined && !(body instanceof Uint8Array)) {
    const whole = await takeSmallBody(body)
    if (exchange.uploadFault !== "") return uploadFailure(exchange)
    if (whole === "broken") return CUT_SHORT
    if (whole !== undefined) exchange.body = whole
  }
  const forwarded = await forward(exchange, service, timeoutMs)
  if (forwarded.kind === "answer") {
    exchange.answer = forwarded.answer
    return undefined
  }
  if (exchange.uploadFault !== "") return uploadFailure(exchange)
  if (fallback !== undefined && forwarded.kind !== "client_gone") {
    if (fallback.kind === "service") return askService(exchange, fallback.service, undefined, timeoutMs)
    exchange.failure = toFailure(forwarded).code
    exchange.answer = fallback.answer
    return undefined
  }
  return toFailure(forwarded)
}

const CUT_SHORT = fail("INVALID_REQUEST", { message: "The request body was cut short." })

/** A short body in one piece; `undefined` when it is long or of unknown length. */
async function takeSmallBody(body: BodySource): Promise<Uint8Array | undefined | "broken"> {
  if (body.bytes === undefined || body.length === undefined || body.length > SMALL_BODY_BYTES)
    return undefined
  return body.bytes().catch(() => "broken" as const)
}

function uploadFailure(exchange: Exchange): Failure {
  if (exchange.uploadFault === "REQUEST_TIMEOUT") return fail("REQUEST_TIMEOUT")
  return tooLarge((exchange.route as Route).maxBodyBytes)
}

function refuse(exchange: Exchange, failure: Failure, runtime: Runtime): void {
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
function discardAnswer(exchange: Exchange): void {
  const body = exchange.answer?.body
  if (body !== undefined && !(body instanceof Uint8Array)) body.cancel()
  exchange.answer = undefined
}

function withoutPort(host: string): string {
  const colon = host.lastIndexOf(":")
  return colon === -1 || host.endsWith("]") ? host : host.slice(0, colon)
}

import type { BodySource } from "../http1/body.ts"
import { limitOf } from "../policies/body_limit.ts"
import { CUT_SHORT, type Failure, fail } from "../policies/failure.ts"
import type { Answered } from "../policies/policy.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { type Forwarded, forward, type UpstreamFailure } from "../upstream/forward.ts"
import { forwardLimited } from "../upstream/limited.ts"
import { WatchedBody } from "../upstream/watched_body.ts"
import { toFailure } from "./blame.ts"
import type { Route, ServiceTarget, Target } from "./route.ts"
import type { Runtime } from "./runtime.ts"
import { openSocket } from "./socket.ts"

/** A request body up to this many bytes is taken whole before it is sent on, so that it can be sent again. */
export const SMALL_BODY_BYTES = 65_536

export const tooLarge = (limit: number): Failure => fail("PAYLOAD_TOO_LARGE", { details: { limit } })

/** What came of asking a target. `undefined`: `exchange.socket` is set. */
export type Outcome = Forwarded | Failure | undefined

/** Asks the target; a promise only where something is waited for. */
export function askTarget(
  exchange: Exchange,
  target: Target,
  route: Route,
  runtime: Runtime,
): Outcome | Promise<Outcome> {
  switch (target.kind) {
    case "respond":
      return { kind: "answer", answer: target.answer }
    case "builtin":
      return target.answer(exchange)
    case "none":
      return fail("NOT_FOUND")
    case "service":
      return askService(exchange, target.service, route, runtime)
  }
}

/** Asks a service for what the request wants: a WebSocket or an answer. */
function askService(
  exchange: Exchange,
  service: ServiceTarget["service"],
  route: Route,
  runtime: Runtime,
): Promise<Outcome> {
  const { timeoutMs } = route
  return route.websocket && exchange.header("upgrade") !== undefined
    ? askSocket(exchange, service, timeoutMs, runtime)
    : askAnswer(exchange, service, timeoutMs)
}

/** A route with `websocket: relay` answers ordinary requests too. */
async function askSocket(
  exchange: Exchange,
  service: ServiceTarget["service"],
  timeoutMs: number,
  runtime: Runtime,
): Promise<Outcome> {
  const opened = await openSocket(exchange, service, timeoutMs, runtime)
  return opened === "http" ? askAnswer(exchange, service, timeoutMs) : opened
}

/** Without a body to take, the caller waits for the service itself: each promise in between has its price. */
function askAnswer(
  exchange: Exchange,
  service: ServiceTarget["service"],
  timeoutMs: number,
): Promise<Forwarded | Failure> {
  const { body } = exchange
  if (body === undefined || body instanceof Uint8Array) return askPool(exchange, service, timeoutMs)
  return askWithBody(exchange, body, service, timeoutMs)
}

async function askWithBody(
  exchange: Exchange,
  body: BodySource,
  service: ServiceTarget["service"],
  timeoutMs: number,
): Promise<Forwarded | Failure> {
  const whole = await takeSmallBody(body)
  if (exchange.uploadFault !== "") return uploadFailure(exchange)
  if (whole === "broken") return CUT_SHORT
  if (whole !== undefined) exchange.body = whole
  return askPool(exchange, service, timeoutMs)
}

function askPool(
  exchange: Exchange,
  service: ServiceTarget["service"],
  timeoutMs: number,
): Promise<Forwarded> {
  const { concurrency } = service
  return concurrency === undefined
    ? forward(exchange, service, timeoutMs)
    : forwardLimited(exchange, service, timeoutMs, concurrency)
}

/**
 * The service gave no answer: the fallback does, if there is one and the client is not to blame. `undefined`:
 * `exchange.socket` is set.
 */
export async function fallBack(
  exchange: Exchange,
  target: Target,
  failure: UpstreamFailure,
  route: Route,
  runtime: Runtime,
): Promise<Answered | Failure | undefined> {
  if (failure.kind === "client_slow") exchange.uploadFault = "REQUEST_TIMEOUT"
  if (exchange.uploadFault !== "") return uploadFailure(exchange)
  const fallback = target.kind === "service" ? target.fallback : undefined
  if (fallback === undefined || failure.kind === "client_gone")
    return toFailure(failure, runtime.chainOf(route.service))
  if (fallback.kind === "respond") {
    exchange.failure = toFailure(failure).code
    return { kind: "answer", answer: fallback.answer }
  }
  const second = await askService(exchange, fallback.service, route, runtime)
  if (second === undefined || second.kind === "answer" || second.kind === "failure") return second
  return fallBack(exchange, NO_FURTHER, second, route, runtime)
}

const NO_FURTHER: Target = { kind: "none" }

/** A short body in one piece; `undefined` when it is long or of unknown length. */
async function takeSmallBody(body: BodySource): Promise<Uint8Array | undefined | "broken"> {
  if (body.bytes === undefined || body.length === undefined || body.length > SMALL_BODY_BYTES)
    return undefined
  return body.bytes().catch(() => "broken" as const)
}

function uploadFailure(exchange: Exchange): Failure {
  const { body, uploadFault } = exchange
  if (uploadFault === "REQUEST_TIMEOUT" || uploadFault === "INVALID_REQUEST") return fail(uploadFault)
  const limit = limitOf(body instanceof WatchedBody ? body.source : body)
  return tooLarge(limit ?? (exchange.route as Route).maxBodyBytes)
}

import type { BodySource } from "../http1/body.ts"
import { limitOf } from "../policies/body_limit.ts"
import { type Failure, fail } from "../policies/failure.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { forward, type UpstreamFailure } from "../upstream/forward.ts"
import { WatchedBody } from "../upstream/watched_body.ts"
import { toFailure } from "./blame.ts"
import type { Fallback, Route, Target } from "./route.ts"
import type { Runtime } from "./runtime.ts"
import { openSocket } from "./socket.ts"

/** A request body up to this many bytes is taken whole before it is sent on, so that it can be sent again. */
export const SMALL_BODY_BYTES = 65_536

export const tooLarge = (limit: number): Failure => fail("PAYLOAD_TOO_LARGE", { details: { limit } })

/** Sets `exchange.answer`, or returns why there is none; a promise only where something is waited for. */
export function askTarget(
  exchange: Exchange,
  target: Target,
  route: Route,
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
      if (route.websocket && exchange.header("upgrade") !== undefined) {
        return askSocket(exchange, target, route.timeoutMs, runtime)
      }
      return askService(exchange, target.service, target.fallback, route.timeoutMs)
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
  if (forwarded.kind !== "answer") return fallBack(exchange, fallback, forwarded, timeoutMs)
  exchange.answer = forwarded.answer
  return undefined
}

/** The service gave no answer: the fallback does, if there is one and the client is not to blame. */
function fallBack(
  exchange: Exchange,
  fallback: Fallback | undefined,
  failure: UpstreamFailure,
  timeoutMs: number,
): Failure | undefined | Promise<Failure | undefined> {
  if (failure.kind === "client_slow") exchange.uploadFault = "REQUEST_TIMEOUT"
  if (exchange.uploadFault !== "") return uploadFailure(exchange)
  if (fallback === undefined || failure.kind === "client_gone") return toFailure(failure)
  if (fallback.kind === "service") return askService(exchange, fallback.service, undefined, timeoutMs)
  exchange.failure = toFailure(failure).code
  exchange.answer = fallback.answer
  return undefined
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
  const { body } = exchange
  const limit = limitOf(body instanceof WatchedBody ? body.source : body)
  return tooLarge(limit ?? (exchange.route as Route).maxBodyBytes)
}

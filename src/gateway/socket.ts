import { type Failure, fail } from "../policies/failure.ts"
import type { RelayRefused } from "../realtime/connect.ts"
import { checkHandshake } from "../realtime/handshake.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { type Forwarded, forward } from "../upstream/forward.ts"
import type { Service } from "../upstream/upstreams.ts"
import { FrameAsker } from "./frame_asker.ts"
import { HandshakeAsker } from "./handshake_asker.ts"
import type { Runtime } from "./runtime.ts"

const RETRY_AFTER_S = 1

/**
 * Answers a WebSocket handshake on a route with `websocket: relay`: opens the service's end first, so that its refusal
 * is still an HTTP answer, then sets `exchange.socket` for the door to complete and returns `undefined`; where the door
 * gives the client's connection away, `exchange.answer` is the service's 101. Instances are chosen, blamed and tried
 * again as for any other GET. Returns why there is no socket, or "http" when the request does not ask for one.
 */
export async function openSocket(
  exchange: Exchange,
  service: Service,
  timeoutMs: number,
  runtime: Runtime,
): Promise<Exclude<Forwarded, { kind: "answer" }> | Failure | undefined | "http"> {
  const handshake = checkHandshake(exchange.arrival.fields, exchange.method, exchange.arrival.protocol)
  if (handshake.kind === "http") return "http"
  if (handshake.kind === "failure") return handshake

  const { givesSocket } = exchange.arrival
  const Asker = givesSocket ? FrameAsker : HandshakeAsker
  const asker = new Asker(exchange, service, handshake.protocols, runtime)
  const forwarded = await forward(exchange, service, timeoutMs, asker)
  const { last } = asker
  if (forwarded.kind !== "answer" && forwarded.kind !== "client_gone") return forwarded
  if (last?.kind !== "opened") {
    const failure = last === undefined ? undefined : refusal(last)
    return failure ?? (forwarded.kind === "answer" ? fail("BAD_GATEWAY") : forwarded)
  }

  const { relay } = last
  if (exchange.gone) {
    relay.abandon()
    return fail("BAD_GATEWAY")
  }
  if (givesSocket && forwarded.kind === "answer") exchange.answer = forwarded.answer
  const protocol = "headers" in last ? last.headers["sec-websocket-protocol"] : ""
  exchange.socket = { handler: relay, protocol, refused: () => relay.abandon() }
  return undefined
}

/** What the client hears of a refusal that is no failure of an instance to answer; `undefined`: it is one. */
function refusal({ outcome, status, cause }: RelayRefused): Failure | undefined {
  switch (outcome) {
    case "full":
      return fail("OVERLOADED", { cause, retryAfterS: RETRY_AFTER_S })
    case "draining":
      return fail("SHUTTING_DOWN", { cause, retryAfterS: RETRY_AFTER_S })
    case "status":
      if (status === 401) return fail("HANDSHAKE_UNAUTHENTICATED", { cause })
      if (status === 403) return fail("HANDSHAKE_FORBIDDEN", { cause })
      if (status === 404) return fail("NOT_FOUND", { cause })
      return fail("BAD_GATEWAY", { cause })
    case "unsendable":
      return fail("BAD_GATEWAY", { cause })
    case "cancelled":
    case "timeout":
    case "unreachable":
    case "reset":
    case "invalid":
      return undefined
  }
}

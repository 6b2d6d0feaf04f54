import { type Failure, fail } from "../policies/failure.ts"
import { type RelayRefused, refused } from "../realtime/connect.ts"
import { checkHandshake } from "../realtime/handshake.ts"
import { openRelay, type RelayCounters, type RelayOpened } from "../realtime/relay.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { choose } from "../upstream/forward.ts"
import type { Instance } from "../upstream/instance.ts"
import { connectAuthority } from "../upstream/resolved_address.ts"
import type { Service } from "../upstream/upstreams.ts"
import type { Runtime } from "./runtime.ts"

const RETRY_AFTER_S = 1

/**
 * Answers a WebSocket handshake on a route with `websocket: relay`: opens the service's end first, so that
 * its refusal is still an HTTP answer, then sets `exchange.socket` for the door to complete. Returns why
 * there is no socket, or "http" when the request does not ask for one.
 */
export async function openSocket(
  exchange: Exchange,
  service: Service,
  timeoutMs: number,
  runtime: Runtime,
): Promise<Failure | undefined | "http"> {
  const handshake = checkHandshake(exchange.arrival.fields, exchange.method, exchange.arrival.protocol)
  if (handshake.kind === "http") return "http"
  if (handshake.kind === "failure") return handshake

  const { breaker, deps } = service
  const startedAt = deps.now()
  const permit = breaker?.acquire(startedAt)
  if (typeof permit === "object") return fail("CIRCUIT_OPEN", { retryAfterS: permit.retryAfterMs / 1000 })
  const member = choose(exchange, service, undefined, startedAt)
  if (member === undefined) {
    if (permit !== undefined) breaker!.record(permit, "cancelled", startedAt)
    return fail("SERVICE_UNAVAILABLE", { retryAfterS: RETRY_AFTER_S, cause: "no instance is available" })
  }
  const instance = service.instances[member.index]!
  exchange.instance = instance.url

  const opened = await openAt(instance, exchange, service, handshake.protocols, timeoutMs, runtime)
  exchange.upstreamMs = deps.now() - startedAt
  if (permit !== undefined)
    breaker!.record(permit, exchange.gone ? "cancelled" : breakerOutcome(opened), deps.now())
  if (opened.kind === "refused") return refusal(opened)

  const { relay } = opened
  if (exchange.gone) {
    relay.abandon()
    return fail("BAD_GATEWAY")
  }
  exchange.socket = {
    handler: relay,
    protocol: opened.headers["sec-websocket-protocol"],
    refused: () => relay.abandon(),
  }
  return undefined
}

/** Opens the service's end of the relay. An instance whose name has no address to use is unreachable. */
async function openAt(
  instance: Instance,
  exchange: Exchange,
  service: Service,
  protocols: readonly string[],
  timeoutMs: number,
  runtime: Runtime,
): Promise<RelayOpened | RelayRefused> {
  const leaving = new AbortController()
  exchange.arrival.watch?.()
  exchange.pending = { cancel: () => leaving.abort() }
  const authority = await findAuthority(instance, timeoutMs)
  if (typeof authority === "object") return authority
  if (exchange.gone) return refused("unreachable", 502, "the client left before the handshake")
  const target = {
    url: relayUrl(instance, authority, exchange),
    headers: relayHeaders(exchange, service),
    protocols,
    tls: instance.pool.tls,
    signal: leaving.signal,
  }
  const limits = { ...runtime.relayLimits, connectTimeoutMs: timeoutMs }
  const counters = relayCounters(instance, runtime)
  return openRelay(target, limits, { relays: runtime.relays, counters, now: service.deps.now })
}

/** The runtime's client would look a name up itself, and go wherever its name server says. */
async function findAuthority({ pool }: Instance, timeoutMs: number): Promise<string | RelayRefused> {
  const { promise: late, resolve } = Promise.withResolvers<RelayRefused>()
  const timer = setTimeout(resolve, timeoutMs, refused("timeout", 504, `no address within ${timeoutMs} ms`))
  try {
    return await Promise.race([connectAuthority(pool.address), late])
  } catch (error) {
    return refused("unreachable", 502, error instanceof Error ? error.message : String(error))
  } finally {
    clearTimeout(timer)
  }
}

function relayUrl(instance: Instance, authority: string, exchange: Exchange): string {
  const { target, tls } = instance.pool.address
  const path = exchange.query === "" ? exchange.upstreamPath : `${exchange.upstreamPath}?${exchange.query}`
  if ("unix" in target) return `ws+unix://${target.unix}:${path}`
  return `${tls ? "wss" : "ws"}://${authority}${path}`
}

/** The client's fields after the edits, as an ordinary request would carry them. */
function relayHeaders(exchange: Exchange, service: Service): Record<string, string> {
  const { requestEdits } = exchange
  const headers: Record<string, string> = { host: service.config.host ?? exchange.host }
  for (const lines of [exchange.arrival.fields.flat().filter(kept(requestEdits)), requestEdits.added]) {
    for (let i = 0; i < lines.length; i += 2) {
      const name = lines[i]!
      headers[name] = headers[name] === undefined ? lines[i + 1]! : `${headers[name]}, ${lines[i + 1]}`
    }
  }
  return headers
}

/** Keeps both halves of a line or neither. */
function kept(dropped: {
  has(name: string): boolean
}): (value: string, i: number, all: readonly string[]) => boolean {
  return (_value, i, all) => !dropped.has(all[i - (i % 2)]!)
}

/** An open relay is a request in flight to its instance, for balancing and for draining it. */
function relayCounters(instance: Instance, runtime: Runtime): RelayCounters {
  return {
    opened() {
      instance.begin()
      runtime.onRelay(1)
    },
    closed() {
      instance.end()
      runtime.onRelay(-1)
    },
    received: (bytes) => runtime.onRelayed("from_client", bytes),
    sent: (bytes) => runtime.onRelayed("to_client", bytes),
  }
}

function breakerOutcome(opened: { kind: "opened" } | RelayRefused): "success" | "failure" | "cancelled" {
  if (opened.kind === "opened") return "success"
  switch (opened.outcome) {
    case "status":
      return (opened.upstreamStatus ?? 500) >= 500 ? "failure" : "success"
    case "unreachable":
    case "invalid":
    case "timeout":
      return "failure"
    case "full":
    case "draining":
      return "cancelled"
  }
}

function refusal({ outcome, status, cause }: RelayRefused): Failure {
  switch (outcome) {
    case "timeout":
      return fail("GATEWAY_TIMEOUT", { cause })
    case "full":
      return fail("OVERLOADED", { cause, retryAfterS: RETRY_AFTER_S })
    case "draining":
      return fail("SHUTTING_DOWN", { cause, retryAfterS: RETRY_AFTER_S })
    case "status":
      if (status === 401) return fail("HANDSHAKE_UNAUTHENTICATED", { cause })
      if (status === 403) return fail("HANDSHAKE_FORBIDDEN", { cause })
      if (status === 404) return fail("NOT_FOUND", { cause })
      return fail("BAD_GATEWAY", { cause })
    case "unreachable":
    case "invalid":
      return fail("BAD_GATEWAY", { cause })
  }
}

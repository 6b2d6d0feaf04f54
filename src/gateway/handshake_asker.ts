import { NO_SECTION } from "../http1/section.ts"
import { type RelayRefused, refused } from "../realtime/connect.ts"
import { openRelay, type RelayOpened } from "../realtime/relay.ts"
import type { Asked, AskFailure, Asking } from "../upstream/ask.ts"
import type { Asker, Attempt } from "../upstream/attempt.ts"
import type { Exchange } from "../upstream/exchange.ts"
import type { Instance } from "../upstream/instance.ts"
import { connectAuthority } from "../upstream/resolved_address.ts"
import type { Service } from "../upstream/upstreams.ts"
import { InstanceRelay } from "./instance_relay.ts"
import type { Runtime } from "./runtime.ts"

/** Asks instances for the service's end of a relay: a handshake each, whose answer is a status like any other. */
export class HandshakeAsker implements Asker {
  readonly #exchange: Exchange
  readonly #service: Service
  readonly #protocols: readonly string[]
  readonly #runtime: Runtime
  #last: RelayOpened | RelayRefused | undefined

  constructor(exchange: Exchange, service: Service, protocols: readonly string[], runtime: Runtime) {
    this.#exchange = exchange
    this.#service = service
    this.#protocols = protocols
    this.#runtime = runtime
  }

  /** What came of the last handshake; `undefined`: no instance was asked. */
  get last(): RelayOpened | RelayRefused | undefined {
    return this.#last
  }

  ask(attempt: Attempt): Asking {
    const leaving = new AbortController()
    this.#exchange.arrival.watch?.()
    return { result: this.#ask(attempt, leaving.signal), cancel: () => leaving.abort() }
  }

  async #ask(attempt: Attempt, leaving: AbortSignal): Promise<Asked> {
    const opened = await this.#open(attempt.instance, attempt.deadlineAt, leaving)
    this.#last = opened
    if (opened.kind === "opened") return answered(attempt, 101)
    if (opened.upstreamStatus !== undefined) return answered(attempt, opened.upstreamStatus)
    const reason = toReason(opened)
    return { kind: "failed", reason, sent: reason !== "connect", stale: false, cause: opened.cause }
  }

  /** An instance whose name has no address to use is unreachable. */
  async #open(
    instance: Instance,
    deadlineAt: number,
    leaving: AbortSignal,
  ): Promise<RelayOpened | RelayRefused> {
    const { now } = this.#service.deps
    const timeoutMs = deadlineAt - now()
    const authority = await findAuthority(instance, timeoutMs)
    if (typeof authority === "object") return authority
    if (leaving.aborted) return refused("cancelled", 502, "the client left before the handshake")
    const target = {
      url: relayUrl(instance, authority, this.#exchange),
      headers: relayHeaders(this.#exchange, this.#service),
      protocols: this.#protocols,
      tls: instance.pool.tls,
      signal: leaving,
    }
    const { relays, relayLimits } = this.#runtime
    const deps = { relays, counters: new InstanceRelay(instance, this.#runtime), now }
    return openRelay(target, Math.max(1, deadlineAt - now()), relayLimits, deps)
  }
}

/** A handshake is over with its answer's head; an open relay is counted on its own. */
function answered(attempt: Attempt, status: number): Asked {
  attempt.finished("complete")
  return { kind: "response", status, fields: NO_SECTION, body: undefined }
}

function toReason({ outcome }: RelayRefused): AskFailure {
  switch (outcome) {
    case "timeout":
    case "reset":
      return outcome
    case "unreachable":
      return "connect"
    case "invalid":
    case "status":
      return "protocol"
    case "unsendable":
    case "cancelled":
    case "full":
    case "draining":
      return "cancelled"
  }
}

/** The runtime's client would look a name up itself, and go wherever its name server says. */
async function findAuthority({ pool }: Instance, timeoutMs: number): Promise<string | RelayRefused> {
  const { promise: late, resolve } = Promise.withResolvers<RelayRefused>()
  const timer = setTimeout(resolve, timeoutMs, refused("timeout", 504, "no address in time"))
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

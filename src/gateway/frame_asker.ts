import { type RelayRefused, refused, refusedWith } from "../realtime/connect.ts"
import { FrameRelay } from "../realtime/frame_relay.ts"
import { problemOfAnswer } from "../realtime/handshake.ts"
import type { Asked, AskedFailure, AskedResponse, AskFailure, Asking } from "../upstream/ask.ts"
import type { Asker, Attempt } from "../upstream/attempt.ts"
import type { Exchange } from "../upstream/exchange.ts"
import type { Service } from "../upstream/upstreams.ts"
import { InstanceRelay } from "./instance_relay.ts"
import type { Runtime } from "./runtime.ts"

export interface FramesOpened {
  readonly kind: "opened"
  /** When the client's handshake is not completed after all, call its `abandon`. */
  readonly relay: FrameRelay
}

/**
 * Asks the pools of instances for a connection that speaks WebSocket: the client's own handshake is passed on, its key
 * with it, and the service's answer is one for the client. For doors that give the client's connection away.
 */
export class FrameAsker implements Asker {
  readonly #exchange: Exchange
  readonly #service: Service
  readonly #protocols: readonly string[]
  readonly #runtime: Runtime
  #last: FramesOpened | RelayRefused | undefined

  constructor(exchange: Exchange, service: Service, protocols: readonly string[], runtime: Runtime) {
    this.#exchange = exchange
    this.#service = service
    this.#protocols = protocols
    this.#runtime = runtime
    const { requestEdits } = exchange
    requestEdits.drop("sec-websocket-extensions")
    requestEdits.set("connection", "Upgrade")
    requestEdits.set("upgrade", "websocket")
  }

  /** What came of the last handshake; `undefined`: no instance answered one. */
  get last(): FramesOpened | RelayRefused | undefined {
    return this.#last
  }

  ask(attempt: Attempt): Asking {
    const { relays } = this.#runtime
    this.#last = undefined
    if (relays.draining) return notAsked(this.#refuse(DRAINING))
    if (!relays.reserve()) return notAsked(this.#refuse(FULL))
    attempt.upgrades = true
    const asking = attempt.instance.pool.ask(attempt)
    return { result: this.#judge(attempt, asking), cancel: () => asking.cancel() }
  }

  async #judge(attempt: Attempt, asking: Asking): Promise<Asked> {
    const { relays, relayLimits } = this.#runtime
    let asked: Asked
    try {
      asked = await asking.result
    } finally {
      relays.release()
    }
    if (asked.kind === "failed") return asked
    const { switched } = asked
    if (switched === undefined) return this.#refusedBy(asked)
    const key = this.#exchange.header("sec-websocket-key")!
    const problem = problemOfAnswer(asked.fields, key, this.#protocols)
    if (problem !== "" || relays.draining) switched.terminate()
    if (problem !== "") return failed("protocol", problem)
    if (relays.draining) return this.#refuse(DRAINING)
    const counters = new InstanceRelay(attempt.instance, this.#runtime)
    const relay = new FrameRelay(switched, relayLimits, { relays, counters, now: this.#service.deps.now })
    this.#last = { kind: "opened", relay }
    return asked
  }

  /** Nobody will read what the service says of it. */
  #refusedBy(asked: AskedResponse): Asked {
    const { status, fields, body } = asked
    if (body !== undefined && !(body instanceof Uint8Array)) body.cancel()
    this.#last = refusedWith(status, `the service answered the handshake with ${status}`)
    return { kind: "response", status, fields, body: undefined }
  }

  #refuse(refusal: RelayRefused): AskedFailure {
    this.#last = refusal
    return failed("cancelled", refusal.cause)
  }
}

const DRAINING = refused("draining", 503, "the gateway is shutting down")
const FULL = refused("full", 503, "too many relays")

const failed = (reason: AskFailure, cause: string): AskedFailure => ({
  kind: "failed",
  reason,
  sent: true,
  stale: false,
  cause,
})

const notAsked = (failure: AskedFailure): Asking => ({
  result: Promise.resolve(failure),
  cancel: () => undefined,
})

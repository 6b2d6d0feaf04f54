import type { Clock } from "../lib/clock.ts"
import { CLOSE, isSendable } from "./close_code.ts"
import {
  connectUpstream,
  type RelayRefused,
  type RelayTarget,
  refused,
  type UpstreamSocket,
} from "./connect.ts"
import { byteLength, Downlink, type Message } from "./downlink.ts"
import type { RelayMember, Relays } from "./relays.ts"
import type { ClientSocket, SocketHandler } from "./socket.ts"
import { Uplink } from "./uplink.ts"

export interface RelayLimits {
  /**
   * Largest message either way, bytes; beyond it both ends are closed with 1009. From clients the door's
   * `maxPayloadBytes` applies too; from services the runtime's client takes 128 MB at most.
   */
  readonly maxMessageBytes: number
  /**
   * Both ends are closed with 1001 after this long without a message, a ping or progress of a slow end;
   * infinite: never.
   */
  readonly idleTimeoutMs: number
  /** A service silent for this long is pinged; after as long again without a sign of life it is dead (1014). */
  readonly pingIntervalMs: number
}

/** Often enough for the timeouts of what lies between, seldom enough to cost nothing. */
export const PING_INTERVAL_MS = 30_000

/** What a relay counts. Called on every message: must be cheap and never throw. */
export interface RelayCounters {
  /** A relay is up / has ended at both ends; their difference is the gauge. */
  opened(): void
  closed(): void
  /** One message from the client was passed on, bytes of payload. */
  received(bytes: number): void
  /** One message was passed to the client, bytes of payload. */
  sent(bytes: number): void
}

export interface RelayDeps {
  readonly relays: Relays
  readonly counters: RelayCounters
  readonly now: Clock
}

export interface RelayOpened {
  readonly kind: "opened"
  /** The data of the client's socket. When the client's upgrade fails after all, call its `abandon`. */
  readonly relay: Relay
  /**
   * Headers for the client's handshake. `sec-websocket-protocol` is always among them: "" when the service
   * chose none, as the runtime would echo the client's first offer.
   */
  readonly headers: { readonly "sec-websocket-protocol": string }
}

/**
 * Opens the service's end of a relay, before the client's handshake is answered, so that a refusal can
 * still become an HTTP error. `timeoutMs`: longest wait for it. Never rejects.
 */
export async function openRelay(
  target: RelayTarget,
  timeoutMs: number,
  limits: RelayLimits,
  deps: RelayDeps,
): Promise<RelayOpened | RelayRefused> {
  const { relays } = deps
  if (relays.draining) return refused("draining", 503, "the gateway is shutting down")
  if (!relays.reserve()) return refused("full", 503, "too many relays")
  let placed = false
  const giveBack = () => {
    if (!placed) relays.release()
    placed = true
  }
  const result = await connectUpstream(target, timeoutMs, (socket): RelayOpened => {
    giveBack()
    const relay = new Relay(socket, limits, deps)
    return { kind: "opened", relay, headers: { "sec-websocket-protocol": socket.protocol } }
  })
  giveBack()
  if (result.kind === "opened" && relays.draining) {
    result.relay.abandon()
    return refused("draining", 503, "the gateway is shutting down")
  }
  return result
}

/** Room in the client's queue beyond one message: what one read had brought along before the pause. */
const QUEUE_SLACK_BYTES = 4 * 1024 * 1024
/** Bytes of answers to a client's pings, waiting for it, from which it is no longer read; and below which it is again. */
const UNREAD_HIGH_BYTES = 1024 * 1024
const UNREAD_LOW_BYTES = 256 * 1024
/** Of a frame without its payload, about. */
const FRAME_BYTES = 8
const UP_EVENTS = ["message", "ping", "pong", "error", "close"] as const

/** A client whose handshake was not completed after this long never will be. */
const UPGRADE_TIMEOUT_MS = 10_000

/**
 * One client and one service, message by message. Nothing is lost or reordered while both ends live; memory
 * is bounded by a message and the water marks each way, as the faster end is not read while the slower one
 * is full; when one end is over the other is closed at once, after what the first had sent has left.
 *
 * The runtime answers pings itself. They are passed on too, so each end sees the other's, but a pong only
 * when it answers none of those: each ping gets exactly one.
 */
export class Relay implements SocketHandler, RelayMember {
  readonly #socket: UpstreamSocket
  readonly #limits: RelayLimits
  readonly #deps: RelayDeps
  readonly #up: Uplink
  readonly #down: Downlink
  readonly #openedAt: number
  /** One end is over, or the gateway has decided to end both: nothing new is passed on. */
  #ended = false
  #upOver = false
  #upTooBig = false
  /** Answers to the client's pings since its queue was last seen short. */
  #answeredBytes = 0
  /** The client is paused because it does not read them. */
  #unread = false
  #activeAt: number
  #heardAt: number
  #probedAt = 0
  #pongsDueFromUp = 0
  #pongsDueFromClient = 0

  /** `socket` is open and none of its events has been handled yet. */
  constructor(socket: UpstreamSocket, limits: RelayLimits, deps: RelayDeps) {
    this.#socket = socket
    this.#limits = limits
    this.#deps = deps
    this.#up = new Uplink(socket, deps.now)
    this.#down = new Downlink(socket, limits.maxMessageBytes + QUEUE_SLACK_BYTES, deps.counters)
    this.#openedAt = this.#activeAt = this.#heardAt = deps.now()
    socket.binaryType = "nodebuffer"
    for (const type of UP_EVENTS) socket.addEventListener(type, this as EventListenerObject)
    deps.relays.add(this)
    deps.counters.opened()
  }

  /** What the service's socket tells. Itself the listener: closures for each event would be half of an idle relay. */
  handleEvent(event: Event): void {
    switch (event.type) {
      case "message":
        this.#fromUp((event as MessageEvent).data as Message)
        return
      case "ping":
        this.#upPinged((event as MessageEvent).data as Buffer)
        return
      case "pong":
        this.#upPonged((event as MessageEvent).data as Buffer)
        return
      case "error": {
        const { error } = event as ErrorEvent
        this.#upTooBig = (error as { code?: string })?.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"
        return
      }
      case "close":
        this.#upClosed((event as CloseEvent).code, (event as CloseEvent).reason)
        return
    }
  }

  open(client: ClientSocket): void {
    if (this.#down.state === "gone") client.close(CLOSE.GOING_AWAY)
    else if (!this.#down.attach(client)) this.#endSlow()
  }

  message(client: ClientSocket, data: Message): void {
    if (this.#ended) return
    const bytes = byteLength(data)
    if (bytes > this.#limits.maxMessageBytes) {
      this.#end(CLOSE.TOO_BIG, CLOSE.TOO_BIG, "message too big")
      return
    }
    this.#up.send(data, client)
    this.#deps.counters.received(bytes)
  }

  drain(client: ClientSocket): void {
    this.#activeAt = this.#deps.now()
    if (!this.#down.drained()) this.#endSlow()
    if (this.#unread && client.getBufferedAmount() <= UNREAD_LOW_BYTES) {
      this.#unread = false
      this.#answeredBytes = 0
      if (!this.#up.restrains) client.resume()
    }
  }

  ping(client: ClientSocket, payload: Buffer): void {
    if (this.#ended) return
    this.#pongsDueFromUp++
    this.#up.ping(payload, client)
    this.#restrainPings(client, payload.length + FRAME_BYTES)
  }

  pong(client: ClientSocket, payload: Buffer): void {
    if (this.#pongsDueFromClient > 0) this.#pongsDueFromClient--
    // Empty ones answer the door's own pings, which no handler sees.
    else if (!this.#ended && payload.length > 0) this.#up.pong(payload, client)
  }

  close(_client: ClientSocket, code: number, reason: string): void {
    this.#down.detach()
    if (this.#upOver) {
      this.#settle()
      return
    }
    if (this.#ended) return
    this.#ended = true
    this.#up.closeAs(code, reason)
  }

  /** The client's handshake was not completed after all: drops the service's end. */
  abandon(): void {
    if (this.#down.state !== "awaited") return
    this.#ended = true
    this.#down.detach()
    if (this.#upOver) this.#settle()
    else this.#up.terminate()
  }

  terminate(): void {
    this.#down.terminate()
    this.#up.terminate()
  }

  shutdown(): void {
    this.#end(CLOSE.SERVICE_RESTART, CLOSE.GOING_AWAY, "service restart")
  }

  sweep(nowMs: number): void {
    if (this.#down.state === "awaited" && nowMs - this.#openedAt > UPGRADE_TIMEOUT_MS) {
      this.abandon()
      return
    }
    const idle = nowMs - Math.max(this.#activeAt, this.#up.movedAt) > this.#limits.idleTimeoutMs
    if (this.#ended) {
      if (idle) this.#down.terminate()
      if (!this.#upOver) this.#up.sweep(nowMs)
    } else if (idle) this.#end(CLOSE.GOING_AWAY, CLOSE.GOING_AWAY, "idle timeout")
    else this.#probe(nowMs)
  }

  /** Stops a client that sends pings and does not read: the runtime drops pongs once 16 MB wait. */
  #restrainPings(client: ClientSocket, answerBytes: number): void {
    this.#answeredBytes += answerBytes
    if (this.#answeredBytes <= UNREAD_HIGH_BYTES) return
    if (client.getBufferedAmount() > UNREAD_HIGH_BYTES) {
      this.#unread = true
      client.pause()
    } else this.#answeredBytes = 0
  }

  /** Finds a service whose machine has vanished: TCP alone would not tell. */
  #probe(nowMs: number): void {
    const silentMs = nowMs - this.#heardAt
    if (silentMs <= this.#limits.pingIntervalMs) return
    if (this.#socket.isPaused) this.#heardAt = nowMs
    else if (silentMs > 2 * this.#limits.pingIntervalMs) this.#up.terminate()
    else if (this.#probedAt <= this.#heardAt) {
      this.#probedAt = nowMs
      this.#pongsDueFromUp++
      this.#socket.ping()
    }
  }

  #fromUp(data: Message): void {
    this.#activeAt = this.#heardAt = this.#deps.now()
    if (this.#ended) return
    if (byteLength(data) > this.#limits.maxMessageBytes)
      this.#end(CLOSE.TOO_BIG, CLOSE.TOO_BIG, "message too big")
    else if (!this.#down.send(data)) this.#endSlow()
  }

  #upPinged(payload: Buffer): void {
    this.#activeAt = this.#heardAt = this.#deps.now()
    if (!this.#ended && this.#down.ping(payload)) this.#pongsDueFromClient++
  }

  #upPonged(payload: Buffer): void {
    this.#heardAt = this.#deps.now()
    if (this.#pongsDueFromUp > 0) this.#pongsDueFromUp--
    else if (!this.#ended) this.#down.pong(payload)
  }

  #upClosed(code: number, reason: string): void {
    this.#upOver = true
    this.#up.over()
    if (this.#down.state === "gone") this.#settle()
    else if (!this.#ended) {
      this.#ended = true
      if (this.#upTooBig) this.#down.closeAfterQueue(CLOSE.TOO_BIG, "message too big")
      else if (code === CLOSE.NO_CODE || isSendable(code)) this.#down.closeAfterQueue(code, reason)
      else this.#down.closeAfterQueue(CLOSE.BAD_GATEWAY, "service connection lost")
    }
  }

  /** A message for the client could not be kept: an honest end instead of a gap in the stream. */
  #endSlow(): void {
    this.#end(CLOSE.TRY_LATER, CLOSE.TRY_LATER, "client too slow")
    this.#down.close(CLOSE.TRY_LATER, "client too slow")
  }

  /** The gateway's own decision to end both sides. The client first gets what was on its way. */
  #end(clientCode: number, upCode: number, reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#up.close(upCode, reason)
    this.#down.closeAfterQueue(clientCode, reason)
  }

  #settle(): void {
    this.#deps.relays.remove(this)
    this.#deps.counters.closed()
  }
}

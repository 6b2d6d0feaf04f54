import type { SwitchedSocket } from "../upstream/switched.ts"
import { CLOSE } from "./close_code.ts"
import { SCAN, type ScanFault } from "./frame_scanner.ts"
import type { RelayDeps, RelayLimits } from "./relay.ts"
import { RelayEnd, type RelayEndOwner, type RelaySocket } from "./relay_end.ts"
import type { RelayMember } from "./relays.ts"

/** A client whose handshake was not completed after this long never will be. */
const UPGRADE_TIMEOUT_MS = 10_000
/** An end that takes longer for its part of the closing handshake is cut off. */
const CLOSE_TIMEOUT_MS = 10_000
/** A client silent for this long is pinged, and gone after this long. */
const CLIENT_PING_MS = 100_000
const CLIENT_GONE_MS = 120_000

const LOST = "service connection lost"
const REASONS: Readonly<Record<number, string>> = {
  [SCAN.PROTOCOL_ERROR]: "protocol error",
  [SCAN.INVALID_TEXT]: "invalid UTF-8",
  [SCAN.TOO_BIG]: "message too big",
}

/**
 * One client and one service, frame by frame: the frames of each go on to the other as they came, once they are found
 * to be what RFC 6455 allows, close codes, pings and pongs included. An idle relay holds no buffers; the faster end is
 * not read while the slower one is full; when one end is over the other is closed, after what the first had sent.
 *
 * What the gateway has to say goes between two frames. Its own pings have no payload, and their answers are not passed.
 */
export class FrameRelay implements RelayMember, RelayEndOwner {
  /** Takes the events of the client's socket from `start` on. */
  readonly client: RelayEnd
  readonly #service: RelayEnd
  readonly #limits: RelayLimits
  // Not `deps` itself: that is one more object for each of thousands.
  readonly #relays: RelayDeps["relays"]
  readonly #counters: RelayDeps["counters"]
  readonly #now: RelayDeps["now"]
  /** The service's connection until the client's handshake is complete. */
  #awaiting: SwitchedSocket | undefined
  #ended = false
  /** When the end began, or an end last took bytes since. */
  #endingAt = 0
  #passed = false
  #progressed = false
  /** When it was opened; then, when bytes last went on. */
  #activeAt: number

  constructor(service: SwitchedSocket, limits: RelayLimits, deps: RelayDeps) {
    const { relays, counters, now } = deps
    const at = now()
    this.#awaiting = service
    this.#limits = limits
    this.#relays = relays
    this.#counters = counters
    this.#now = now
    this.#activeAt = at
    this.client = new RelayEnd(this, true, limits.maxMessageBytes, at)
    this.#service = new RelayEnd(this, false, limits.maxMessageBytes, at)
    relays.add(this)
    counters.opened()
  }

  /**
   * The client's handshake is accepted: sends it `head`, then relays. `ahead`: what the client has sent already. False:
   * the relay is over, and nothing was sent.
   */
  start(socket: RelaySocket, head: Buffer, ahead: Buffer | undefined): boolean {
    const awaiting = this.#awaiting
    if (awaiting === undefined) return false
    this.#awaiting = undefined
    const { came, closed } = awaiting.give(this.#service)
    this.client.join(socket, this.#service, awaiting.socket)
    this.#service.join(awaiting.socket, this.client, socket)
    this.client.out.carry(head)
    if (this.#ended) this.#sayGoodbye(CLOSE.SERVICE_RESTART, CLOSE.GOING_AWAY, "service restart")
    if (came !== undefined) this.#service.received(came)
    if (closed) this.#service.closed()
    if (ahead !== undefined) this.client.received(ahead)
    return true
  }

  /** The client's handshake was not completed after all: drops the service's end. */
  abandon(): void {
    if (this.#awaiting === undefined) return
    this.#awaiting.terminate()
    this.#awaiting = undefined
    this.#ended = true
    this.#settle()
  }

  shutdown(): void {
    this.#end(CLOSE.SERVICE_RESTART, CLOSE.GOING_AWAY, "service restart")
  }

  terminate(): void {
    if (this.#awaiting !== undefined) {
      this.abandon()
      return
    }
    this.client.terminate()
    this.#service.terminate()
  }

  sweep(nowMs: number): void {
    if (this.#awaiting !== undefined) {
      if (nowMs - this.#activeAt > UPGRADE_TIMEOUT_MS) this.abandon()
      return
    }
    if (this.#passed || this.#progressed) this.#activeAt = nowMs
    if (this.#ended) this.#sweepEnding(nowMs)
    else if (nowMs - this.#activeAt > this.#limits.idleTimeoutMs)
      this.#end(CLOSE.GOING_AWAY, CLOSE.GOING_AWAY, "idle timeout")
    else {
      const { pingIntervalMs } = this.#limits
      probe(this.#service, pingIntervalMs, 2 * pingIntervalMs, nowMs)
      probe(this.client, CLIENT_PING_MS, CLIENT_GONE_MS, nowMs)
    }
    this.#passed = this.#progressed = false
  }

  #sweepEnding(nowMs: number): void {
    if (this.#progressed) this.#endingAt = nowMs
    const stillMs = nowMs - this.#endingAt
    if (stillMs > CLOSE_TIMEOUT_MS && !this.#service.over) {
      const { told } = this.client
      this.#service.terminate()
      // "close" comes at once. What the client is told then, it gets time to hear.
      if (!told) return
    }
    // Whoever reads slowly may, as long as before.
    const client = this.client
    const patienceMs = client.out.empty
      ? CLOSE_TIMEOUT_MS
      : Math.max(CLOSE_TIMEOUT_MS, this.#limits.idleTimeoutMs)
    if (stillMs > patienceMs && !client.over) client.terminate()
  }

  // What its ends tell.

  passed(): void {
    this.#passed = true
  }

  progressed(): void {
    this.#progressed = true
  }

  counted(from: RelayEnd, bytes: number): void {
    if (from === this.client) this.#counters.received(bytes)
    else this.#counters.sent(bytes)
  }

  closing(end: RelayEnd): void {
    this.#beginEnd()
    const peer = this.#peerOf(end)
    if (end.told) end.hangUp()
    if (peer.told && peer.closeSeen) peer.hangUp()
  }

  broke(end: RelayEnd, fault: ScanFault): void {
    this.#beginEnd()
    const reason = REASONS[fault]!
    const { client } = this
    const service = this.#service
    if (end === client) {
      client.close(fault, reason)
      if (fault === SCAN.TOO_BIG) service.close(fault, reason)
      else service.hangUp()
      return
    }
    service.close(fault, reason)
    service.hangUp()
    if (fault === SCAN.TOO_BIG) client.close(fault, reason)
    else client.close(CLOSE.BAD_GATEWAY, LOST)
  }

  lost(end: RelayEnd): void {
    this.#beginEnd()
    const peer = this.#peerOf(end)
    end.muted = true
    if (end.over) {
      if (peer.over) {
        this.#settle()
        return
      }
      peer.mute()
    }
    if (end === this.client) peer.hangUp()
    else peer.close(CLOSE.BAD_GATEWAY, LOST)
  }

  #peerOf(end: RelayEnd): RelayEnd {
    return end === this.client ? this.#service : this.client
  }

  /** The gateway's own decision to end both sides. The client first gets what was on its way. */
  #end(clientCode: number, serviceCode: number, reason: string): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#awaiting === undefined) this.#sayGoodbye(clientCode, serviceCode, reason)
  }

  #sayGoodbye(clientCode: number, serviceCode: number, reason: string): void {
    this.#beginEnd()
    this.#service.close(serviceCode, reason)
    this.client.close(clientCode, reason)
  }

  #beginEnd(): void {
    this.#ended = true
    this.#endingAt = this.#now()
  }

  #settle(): void {
    this.#relays.remove(this)
    this.#counters.closed()
  }
}

/** Finds an end whose machine has vanished: TCP alone would not tell. */
function probe(end: RelayEnd, pingMs: number, goneMs: number, nowMs: number): void {
  if (end.heard || !end.isRead) {
    end.heard = false
    end.heardAt = nowMs
    return
  }
  const silentMs = nowMs - end.heardAt
  if (silentMs > goneMs) end.terminate()
  else if (silentMs > pingMs) end.ping()
}

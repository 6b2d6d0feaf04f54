import type { Clock } from "../lib/clock.ts"
import { CLOSE, isSendable } from "./close_code.ts"
import type { UpstreamSocket } from "./connect.ts"
import type { Message, Pausable } from "./downlink.ts"

/** Bytes on their way to the service from which their source is no longer read, and below which it is again. */
const HIGH_WATER_BYTES = 1024 * 1024
const LOW_WATER_BYTES = 256 * 1024
const MIN_POLL_MS = 2
const MAX_POLL_MS = 64
/** A service that takes longer for its part of the closing handshake is cut off. */
const CLOSE_TIMEOUT_MS = 10_000
/** The runtime's words in a client's close event (1006) when it has itself closed the client with 1009. */
const RUNTIME_TOO_BIG = "Received too big message"

/** The way to one service: keeps what waits there bounded by not reading the source meanwhile. */
export class Uplink {
  readonly #socket: UpstreamSocket
  readonly #now: Clock
  #source: Pausable | undefined
  #poll: ReturnType<typeof setTimeout> | undefined
  #pollMs = MIN_POLL_MS
  #leftBytes = 0
  #movedAt: number
  #closingSince: number | undefined
  /** The source broke off: so does this, once all it had sent has left. */
  #dropping = false

  constructor(socket: UpstreamSocket, now: Clock) {
    this.#socket = socket
    this.#now = now
    this.#movedAt = now()
  }

  /** Milliseconds of the clock when something was last given to the service or taken by it. */
  get movedAt(): number {
    return this.#movedAt
  }

  /** Whether the source is paused, so that what waits here can leave. */
  get restrains(): boolean {
    return this.#source !== undefined
  }

  /** Passes a message on. `source` is paused while too much waits. */
  send(data: Message, source: Pausable): void {
    this.#socket.send(data)
    this.#restrain(source)
  }

  ping(payload: Buffer, source: Pausable): void {
    this.#socket.ping(payload)
    this.#restrain(source)
  }

  pong(payload: Buffer, source: Pausable): void {
    this.#socket.pong(payload)
    this.#restrain(source)
  }

  /**
   * Passes the end of the client on, after all it had sent: the same code where it may be sent, none where
   * there was none, and a broken connection for a broken connection.
   */
  closeAs(code: number, reason: string): void {
    if (code !== CLOSE.ABNORMAL) this.close(code, reason)
    else if (reason === RUNTIME_TOO_BIG) this.close(CLOSE.TOO_BIG, "message too big")
    else this.#drop()
  }

  /** Starts the closing handshake. A code that may not be sent becomes a close frame without code. */
  close(code: number, reason: string): void {
    this.#beginClose()
    if (isSendable(code)) this.#socket.close(code, reason)
    else this.#socket.close()
  }

  terminate(): void {
    this.#beginClose()
    this.#socket.terminate()
  }

  /** The service's end is over: stops what still runs here. */
  over(): void {
    clearTimeout(this.#poll)
    this.#dropping = false
    this.#release()
  }

  /** Cuts off a service that does not finish its close. Bytes it still takes give it more time. */
  sweep(nowMs: number): void {
    if (this.#closingSince === undefined) return
    const left = this.#socket.bufferedAmount
    if (left < this.#leftBytes) this.#closingSince = nowMs
    this.#leftBytes = left
    if (nowMs - this.#closingSince > CLOSE_TIMEOUT_MS) this.#socket.terminate()
  }

  #beginClose(): void {
    this.#closingSince ??= this.#now()
    // A paused socket would never read the service's part of the closing handshake.
    this.#socket.resume()
  }

  #drop(): void {
    this.#beginClose()
    if (this.#socket.bufferedAmount === 0) this.#socket.terminate()
    else {
      this.#dropping = true
      this.#watch()
    }
  }

  #restrain(source: Pausable): void {
    this.#movedAt = this.#now()
    if (this.#source !== undefined || this.#socket.bufferedAmount <= HIGH_WATER_BYTES) return
    this.#source = source
    source.pause()
    this.#watch()
  }

  /** The client class has no drain event: looks again and again, less often while nothing moves. */
  #watch(): void {
    clearTimeout(this.#poll)
    this.#pollMs = MIN_POLL_MS
    this.#leftBytes = this.#socket.bufferedAmount
    this.#poll = setTimeout(() => this.#look(), this.#pollMs)
  }

  #look(): void {
    const left = this.#socket.bufferedAmount
    const moved = left < this.#leftBytes
    if (moved) this.#movedAt = this.#now()
    this.#leftBytes = left
    if (this.#dropping ? left === 0 : left <= LOW_WATER_BYTES) {
      this.#release()
      return
    }
    this.#pollMs = moved ? MIN_POLL_MS : Math.min(this.#pollMs * 2, MAX_POLL_MS)
    this.#poll = setTimeout(() => this.#look(), this.#pollMs)
  }

  #release(): void {
    this.#poll = undefined
    if (this.#dropping) this.#socket.terminate()
    this.#source?.resume()
    this.#source = undefined
  }
}

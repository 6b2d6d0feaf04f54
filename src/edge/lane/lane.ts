import type { ServerConfig } from "../../config/schema.ts"
import type { Gateway } from "../../gateway/gateway.ts"
import { handleReads } from "../../http1/round.ts"
import type { Clock } from "../../lib/clock.ts"
import type { Log } from "../../observe/log.ts"
import type { Exchange } from "../../upstream/exchange.ts"
import { blockedAnswer } from "../blocked.ts"
import type { HandOver } from "../hand_over.ts"
import type { Origin } from "../origin.ts"
import type { RawSocket, SocketEvents } from "../raw_socket.ts"
import { LaneConnection } from "./connection.ts"
import type { LaneLimits, LaneMember, LaneOwner } from "./owner.ts"

/** Slow and idle clients are looked for this often; so exact are their deadlines. */
const SWEEP_MS = 500

export interface LaneOptions {
  readonly gateway: Gateway
  readonly server: ServerConfig
  readonly handOver: HandOver
  readonly clock: Clock
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number
  readonly log: Log
}

/**
 * HTTP/1.1 at byte level: all connections of one worker that came in by a door which reads bytes itself. What it
 * takes and what it hands over is said in connection.ts.
 */
export class Lane implements LaneOwner {
  readonly gateway: Gateway
  readonly #options: LaneOptions
  readonly #connections: LaneMember[] = []
  readonly #sweep: ReturnType<typeof setInterval>
  #closed: (() => void) | undefined
  readonly #limits: LaneLimits
  readonly compresses: boolean
  dateLine = ""

  constructor(options: LaneOptions) {
    this.gateway = options.gateway
    this.#options = options
    const { server } = options
    this.compresses = server.websocket.compression
    this.#limits = {
      headMs: server.header_timeout,
      idleMs: server.keep_alive_timeout,
      silenceMs: server.body_timeout,
      minBytesPerSecond: server.min_body_rate,
    }
    this.#setDate()
    this.#sweep = setInterval(() => this.#look(), SWEEP_MS)
    this.#sweep.unref()
  }

  /** Takes a connection on which nothing was read yet; what is returned takes its socket's events from now on. */
  take(socket: RawSocket, origin: Origin): LaneConnection {
    const connection = new LaneConnection(socket, origin, this)
    connection.slot = this.#connections.push(connection) - 1
    return connection
  }

  /** Closes idle connections; resolves when the last one is closed. The others close with their answers. */
  close(): Promise<void> {
    for (const connection of [...this.#connections]) connection.end(false)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#closed = resolve
    this.#tellClosed()
    return promise
  }

  /** Cuts every connection, also those it gave to relays. */
  terminate(): void {
    clearInterval(this.#sweep)
    this.gateway.cutRelays()
    for (const connection of [...this.#connections]) connection.end(true)
  }

  get draining(): boolean {
    return this.gateway.draining || this.#closed !== undefined
  }

  now(): number {
    return this.#options.clock()
  }

  unwritable(exchange: Exchange, error: unknown): void {
    this.#options.log.error("response.fault", { request_id: exchange.id, error })
    this.gateway.fail(exchange)
  }

  refusal(address: string): Uint8Array | undefined {
    const { guard } = this.gateway
    if (!guard.blocking) return undefined
    const seconds = guard.refuses(address)
    if (seconds === 0) return undefined
    const { status, headers, body } = blockedAnswer(seconds)
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")
    const framing = `content-length: ${body.length}\r\nconnection: close\r\n`
    return Buffer.from(`HTTP/1.1 ${status} Forbidden\r\n${lines}${framing}${this.dateLine}\r\n${body}`)
  }

  handOver(socket: RawSocket, origin: Origin): SocketEvents | undefined {
    return this.#options.handOver.take(socket, origin)
  }

  gone(connection: LaneMember): void {
    const last = this.#connections.pop()!
    if (last !== connection) {
      this.#connections[connection.slot] = last
      last.slot = connection.slot
    }
    this.#tellClosed()
  }

  #tellClosed(): void {
    if (this.#closed === undefined || this.#connections.length > 0) return
    clearInterval(this.#sweep)
    this.#closed()
  }

  #look(): void {
    this.#setDate()
    // A client whose request was read in this turn is not idle.
    handleReads()
    const at = this.now()
    // From the end: a connection that goes is replaced by the last one, which has been looked at.
    for (let i = this.#connections.length - 1; i >= 0; i--) this.#connections[i]?.sweep(at, this.#limits)
  }

  #setDate(): void {
    // RFC 9110 section 5.6.7.
    this.dateLine = `date: ${new Date(this.#options.wallClock()).toUTCString()}\r\n`
  }
}

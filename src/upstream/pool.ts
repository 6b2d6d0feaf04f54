import type { Clock } from "../lib/clock.ts"
import { isIP } from "../lib/ip.ts"
import type { Address } from "./address.ts"
import { Ask, type AskHolder, type UpstreamRequest } from "./ask.ts"
import { Connection } from "./connection.ts"
import type { ConnectionOwner } from "./connection_owner.ts"
import type { PoolConfig } from "./service.ts"
import { keepSwept, type Swept } from "./sweep.ts"

/** How an instance is verified. */
export interface PoolTls {
  /** PEM text of accepted authorities; `undefined`: the system's. */
  readonly ca: string | undefined
  /** Name sent as SNI and verified; `undefined`: the address's host, which is not sent when it is an IP address. */
  readonly serverName: string | undefined
  readonly rejectUnauthorized: boolean
}

export interface PoolOptions {
  readonly pool: PoolConfig
  /** Largest response head in bytes; each interim head is bounded by it too. */
  readonly maxHeadBytes: number
  /** Used for https addresses only; `undefined`: verified against the system's authorities. */
  readonly tls: PoolTls | undefined
}

export interface PoolStats {
  /** Connections that are open or being opened. */
  readonly open: number
  readonly idle: number
  /** Connections with an exchange, or being opened. */
  readonly busy: number
  /** Requests waiting for a connection. */
  readonly waiting: number
}

/**
 * The connections of one thread to one instance. A request takes the connection used last, else opens a new one
 * below `max_connections`, else waits in line. Deadlines are kept to within 25 ms (see sweep.ts).
 */
export class Pool implements ConnectionOwner<Connection>, AskHolder, Swept {
  readonly address: Address
  readonly tls: Bun.TLSOptions | undefined
  readonly maxHeadBytes: number
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly #config: PoolConfig
  readonly #clock: Clock
  readonly #all: Connection[] = []
  /** The one used last is on top: the others can grow old and be closed. */
  readonly #idle: Connection[] = []
  #first: Ask | undefined
  #last: Ask | undefined
  #waiting = 0
  #swept = false
  #closed = false

  constructor(address: Address, options: PoolOptions, clock: Clock) {
    this.address = address
    this.tls = address.tls ? tlsOptions(address, options.tls) : undefined
    this.maxHeadBytes = options.maxHeadBytes
    this.connectTimeoutMs = options.pool.connect_timeout
    this.idleTimeoutMs = options.pool.idle_timeout
    this.#config = options.pool
    this.#clock = clock
  }

  /** Starts an attempt. Every way it may go is a value of `result`. */
  ask(request: UpstreamRequest): Ask {
    const ask = new Ask(request)
    const idle = this.#idle.pop()
    if (idle !== undefined) idle.begin(ask)
    else if (this.#closed) ask.fail("connect", "pool closed")
    else if (this.#all.length < this.#config.max_connections) this.#open(ask)
    else if (this.#waiting < this.#config.max_waiting) this.#wait(ask)
    else ask.fail("pool_full", `${this.#waiting} requests waiting for ${this.#all.length} connections`)
    return ask
  }

  /** Takes no more requests; exchanges under way go on to their end, waiting ones fail with `connect`. */
  close(): void {
    this.#closed = true
    while (this.#first !== undefined) this.#takeWaiting()!.fail("connect", "pool closed")
    while (this.#idle.length > 0) this.#idle.pop()!.close()
  }

  get stats(): PoolStats {
    const open = this.#all.length
    const idle = this.#idle.length
    return { open, idle, busy: open - idle, waiting: this.#waiting }
  }

  /** Acts on every deadline that has passed. Runs by itself every 25 ms while anything is open or waiting. */
  sweep(): boolean {
    const at = this.#clock()
    for (let ask = this.#first; ask !== undefined; ) {
      const next = ask.next
      if (at >= ask.waitUntil || at >= ask.request.deadlineAt) {
        this.#unlink(ask)
        ask.fail("pool_timeout", `no free connection among ${this.#all.length} in time`)
      } else ask.swept()
      ask = next
    }
    // From the end: a connection that goes is replaced by the last one, which has been looked at.
    for (let i = this.#all.length - 1; i >= 0; i--) this.#all[i]?.sweep(at)
    this.#swept = this.#all.length > 0 || this.#waiting > 0
    return this.#swept
  }

  /** Of a waiting ask: leaves the line. */
  cancel(ask: Ask): void {
    this.#unlink(ask)
    ask.fail("cancelled", "cancelled")
  }

  connectionIdle(connection: Connection): void {
    const ask = this.#takeWaiting()
    if (ask !== undefined) connection.begin(ask)
    else if (this.#closed || this.#idle.length >= this.#config.max_idle) connection.close()
    else this.#idle.push(connection)
  }

  connectionGone(connection: Connection): void {
    const last = this.#all.pop()!
    if (last !== connection) {
      this.#all[connection.slot] = last
      last.slot = connection.slot
    }
    const idle = this.#idle.indexOf(connection)
    if (idle >= 0) this.#idle.splice(idle, 1)
    const ask = this.#takeWaiting()
    if (ask !== undefined) this.#open(ask)
  }

  #open(ask: Ask): void {
    const connection = new Connection(this, ask, this.#clock())
    connection.slot = this.#all.push(connection) - 1
    this.#keepSwept()
    connection.open()
  }

  #wait(ask: Ask): void {
    ask.holder = this
    ask.waitUntil = this.#clock() + this.#config.wait_timeout
    ask.previous = this.#last
    if (this.#last === undefined) this.#first = ask
    else this.#last.next = ask
    this.#last = ask
    this.#waiting++
    this.#keepSwept()
  }

  #takeWaiting(): Ask | undefined {
    const ask = this.#first
    if (ask !== undefined) this.#unlink(ask)
    return ask
  }

  #unlink(ask: Ask): void {
    if (ask.previous === undefined) this.#first = ask.next
    else ask.previous.next = ask.next
    if (ask.next === undefined) this.#last = ask.previous
    else ask.next.previous = ask.previous
    ask.next = undefined
    ask.previous = undefined
    ask.holder = undefined
    this.#waiting--
  }

  #keepSwept(): void {
    if (this.#swept) return
    this.#swept = true
    keepSwept(this)
  }
}

function tlsOptions(address: Address, tls: PoolTls | undefined): Bun.TLSOptions {
  const host = "hostname" in address.target ? address.target.hostname : ""
  return {
    // "": no SNI, which names no IP address (RFC 6066 section 3); the runtime then verifies what it connects to.
    serverName: tls?.serverName ?? (isIP(host) === 0 ? host : ""),
    rejectUnauthorized: tls?.rejectUnauthorized ?? true,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
  }
}

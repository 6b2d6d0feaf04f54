import type { Clock } from "../lib/clock.ts"
import type { InnerPeer, Origin, Origins } from "./origin.ts"
import type { RawSocket } from "./raw_socket.ts"
import { Splice, type SpliceOwner } from "./splice.ts"

/** The only address our connections to an inner door come from; neighbours may use others of 127.0.0.0/8. */
export const INNER_HOST = "127.0.0.1"

/** Connections handed over at a time: below the number of ports loopback has for one inner door. */
const MAX_CONNECTIONS = 20_000

/** When one end is closed, the other may go on for this long without a byte moving. */
const LINGER_MS = 10_000
const SWEEP_MS = 1000

/**
 * Passes whole connections on to a Serve door on a loopback port, byte for byte, and tells that door who
 * stands behind each. For doors that read bytes themselves.
 *
 * Any process of this machine can connect to that port. So a connection there counts only while our end of it
 * is on the list by its source port, and connected in the kernel at this very moment: of a connection that was
 * reset, the kernel gives the port away before this thread hears of it.
 */
export class HandOver implements SpliceOwner, Origins {
  readonly #clock: Clock
  readonly #onTaken: () => void
  readonly #joined = new Map<number, Splice>()
  readonly #opening = new Set<Splice>()
  /** Splices of which one end is closed, and when the other is cut. */
  readonly #lingering = new Map<Splice, number>()
  readonly #sweep: ReturnType<typeof setInterval>
  #innerPort = 0
  #closed: (() => void) | undefined

  /** `onTaken` is told of each connection handed over. */
  constructor(clock: Clock, onTaken: () => void) {
    this.#clock = clock
    this.#onTaken = onTaken
    this.#sweep = setInterval(() => {
      const now = clock()
      for (const [splice, until] of this.#lingering) if (now >= until) splice.terminate()
    }, SWEEP_MS)
    this.#sweep.unref()
  }

  /** Port of the inner door on `INNER_HOST`; told before the first connection is handed over. */
  set innerPort(port: number) {
    this.#innerPort = port
  }

  originOf(peer: InnerPeer | null): Origin | undefined {
    if (peer === null || peer.address !== INNER_HOST) return undefined
    const splice = this.#joined.get(peer.port)
    return splice?.connectedTo(this.#innerPort) ? splice.origin : undefined
  }

  /**
   * Hands a client's connection over: the splice returned takes its socket's events from now on. `undefined`:
   * 20,000 are handed over already, and this one must be closed.
   */
  take(front: RawSocket, origin: Origin): Splice | undefined {
    if (this.#joined.size + this.#opening.size >= MAX_CONNECTIONS) return undefined
    const splice = new Splice(front, origin, this)
    this.#opening.add(splice)
    this.#onTaken()
    splice.open(INNER_HOST, this.#innerPort)
    return splice
  }

  /** Resolves when the last bytes are out. For after the inner door has closed. */
  async close(): Promise<void> {
    // Connections on which nothing was ever asked: the inner door does not count them as idle.
    for (const splice of this.#joined.values()) splice.leave()
    if (this.#lingering.size > 0) {
      await new Promise<void>((resolve) => {
        this.#closed = resolve
      })
    }
    clearInterval(this.#sweep)
  }

  /** Cuts every connection. */
  terminate(): void {
    clearInterval(this.#sweep)
    for (const splice of [...this.#joined.values(), ...this.#opening, ...this.#lingering.keys()])
      splice.terminate()
  }

  opened(splice: Splice, port: number): void {
    this.#opening.delete(splice)
    this.#joined.set(port, splice)
  }

  innerOver(splice: Splice, port: number): void {
    this.#opening.delete(splice)
    if (this.#joined.get(port) === splice) this.#joined.delete(port)
  }

  lingers(splice: Splice): void {
    this.#lingering.set(splice, this.#clock() + LINGER_MS)
  }

  over(splice: Splice): void {
    this.#lingering.delete(splice)
    if (this.#lingering.size === 0) this.#closed?.()
  }
}

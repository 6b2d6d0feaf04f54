import { OneWay } from "../lib/one_way.ts"
import type { Origin } from "./origin.ts"
import type { RawSocket, SocketEvents } from "./raw_socket.ts"

/** Who keeps the list of splices. */
export interface SpliceOwner {
  /** The inner connection is up and has this source port of loopback. */
  opened(splice: Splice, port: number): void
  /** The inner connection is over or about to be: its port may soon be somebody else's. */
  innerOver(splice: Splice, port: number): void
  /** One end is closed, the other must follow soon; called again when bytes still move. */
  lingers(splice: Splice): void
  /** Both ends are closed. */
  over(splice: Splice): void
}

/** Shared by all: thousands of idle connections need no closures of their own. */
const INNER: Bun.SocketHandler<Splice> = {
  binaryType: "buffer",
  open: (socket) => socket.data.innerOpened(socket as unknown as RawSocket),
  data: (socket, bytes) => socket.data.innerReceived(bytes),
  drain: (socket) => socket.data.innerDrained(),
  // Without half-open connections on this side, "close" follows.
  end: () => undefined,
  close: (socket, error) => socket.data.innerClosed(error),
  // A throw in one of these: the connection cannot be trusted any more.
  error: (socket) => socket.terminate(),
}

/**
 * A client's connection and the one to the inner door, joined: bytes, backpressure, half-close and reset pass
 * both ways. The object itself takes the events of the client's socket.
 */
export class Splice implements SocketEvents {
  readonly origin: Origin
  readonly #owner: SpliceOwner
  readonly #front: RawSocket
  #back: RawSocket | undefined
  readonly #up = new OneWay()
  readonly #down = new OneWay()
  #port = 0
  #frontOpen = true
  #frontEnded = false
  #backOpen = true

  constructor(front: RawSocket, origin: Origin, owner: SpliceOwner) {
    this.#front = front
    this.origin = origin
    this.#owner = owner
    this.#up.attach({ source: front })
    this.#down.attach({ sink: front })
  }

  /** Connects to the inner door. */
  open(hostname: string, port: number): void {
    Bun.connect({ hostname, port, data: this, socket: INNER }).catch((error: Error) =>
      this.innerClosed(error),
    )
  }

  /** Whether our end of the inner connection is, for the kernel, connected to this port right now. */
  connectedTo(port: number): boolean {
    // Asks the kernel each time; undefined from the moment of a reset on.
    return this.#backOpen && this.#back?.remotePort === port
  }

  received(bytes: Buffer): void {
    if (this.#backOpen) this.#up.carry(bytes)
  }

  drained(): void {
    this.#down.drained()
    if (this.#backOpen) return
    this.#owner.lingers(this)
    this.#endFront()
  }

  endReceived(): void {
    this.#frontEnded = true
    if (this.#backOpen) this.#up.end()
    else this.#endFront()
  }

  /** The client's socket is closed. */
  closed(error: Error | undefined): void {
    if (!this.#frontOpen) return
    this.#frontOpen = false
    if (!this.#backOpen) {
      this.#owner.over(this)
      return
    }
    this.#leaveInner()
    if (this.#back === undefined) return
    this.#owner.lingers(this)
    if (error === undefined) this.#back.end()
    else this.#back.terminate()
  }

  /** Tells the inner door that nothing more comes; it closes, and what it has sent still goes out. */
  leave(): void {
    this.#owner.lingers(this)
    this.#back?.shutdown()
  }

  /** Cuts both ends at once. */
  terminate(): void {
    this.#leaveInner()
    this.#back?.terminate()
    this.#front.terminate()
  }

  innerOpened(socket: RawSocket): void {
    this.#back = socket
    if (!this.#frontOpen) {
      // The client has left while this connection was being made.
      socket.terminate()
      return
    }
    this.#port = socket.localPort
    this.#owner.opened(this, this.#port)
    this.#down.attach({ source: socket })
    this.#up.attach({ sink: socket })
  }

  innerReceived(bytes: Buffer): void {
    this.#down.carry(bytes)
  }

  innerDrained(): void {
    this.#up.drained()
  }

  innerClosed(error: Error | undefined): void {
    if (!this.#backOpen) return
    this.#backOpen = false
    this.#leaveInner()
    if (!this.#frontOpen) {
      this.#owner.over(this)
      return
    }
    // A connection that broke must not look as if its last answer were complete.
    if (error !== undefined && this.#down.empty) this.#front.terminate()
    else {
      this.#owner.lingers(this)
      this.#down.end()
      // What the client still sends is read and thrown away: closing over it could cost the client its answer.
      this.#front.resume()
      this.#endFront()
    }
  }

  #leaveInner(): void {
    this.#owner.innerOver(this, this.#port)
  }

  /** Closes the client's socket once all is out and the client, too, has said that it is done. */
  #endFront(): void {
    if (this.#frontEnded && this.#down.empty) this.#front.end()
  }
}

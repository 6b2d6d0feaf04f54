import { OneWay } from "../lib/one_way.ts"
import type { SocketUser } from "../upstream/dial.ts"
import { closeFrame, pingFrame } from "./frame.ts"
import { FrameScanner, type FrameSink, type ScanFault } from "./frame_scanner.ts"

/** A socket at one end of a relay. */
export interface RelaySocket {
  /** Tells how many bytes it took; below zero: it is closing. */
  write(bytes: Buffer): number
  pause(): unknown
  resume(): unknown
  /** Sends no more, in order. */
  shutdown(): unknown
  end(): unknown
  terminate(): unknown
}

/** Whose ends they are. */
export interface RelayEndOwner {
  /** Bytes went on from one end to the other. */
  passed(): void
  /** A slow end has taken bytes. */
  progressed(): void
  counted(from: RelayEnd, bytes: number): void
  /** It has sent a close frame. */
  closing(end: RelayEnd): void
  /** It has sent what it must not. */
  broke(end: RelayEnd, fault: ScanFault): void
  /** It sends no more, and `over` tells whether it takes any more. */
  lost(end: RelayEnd): void
}

/**
 * One end of a relay: what it sends is scanned and goes on to its peer, `out` is the way to it. It takes the events of
 * its socket.
 */
export class RelayEnd implements SocketUser, FrameSink {
  readonly out = new OneWay()
  readonly #owner: RelayEndOwner
  readonly #scanner: FrameScanner
  readonly #isClient: boolean
  #peer!: RelayEnd
  #socket!: RelaySocket
  /** What it sends goes nowhere any more; only its close frame is waited for. */
  muted = false
  /** A close frame was given to it, or will be when the frame under way is complete. */
  told = false
  /** It has sent a close frame. */
  closeSeen = false
  /** There is no connection any more. */
  over = false
  /** Something came since this was last set to false. */
  heard = false
  heardAt: number
  #farewell: Buffer | undefined
  /** It was pinged by the gateway. */
  #pongDue = false
  /** It sends no more, in order. */
  #ended = false
  #hungUp = false

  constructor(owner: RelayEndOwner, isClient: boolean, maxMessageBytes: number, at: number) {
    this.#owner = owner
    this.#isClient = isClient
    this.#scanner = new FrameScanner(isClient, maxMessageBytes, this)
    this.heardAt = at
  }

  join(socket: RelaySocket, peer: RelayEnd, peerSocket: RelaySocket): void {
    this.#socket = socket
    this.#peer = peer
    this.out.attach({ source: peerSocket, sink: socket })
  }

  // What its socket tells.

  received(bytes: Buffer): void {
    this.heard = true
    const fault = this.#scanner.read(bytes)
    if (fault !== 0) this.#owner.broke(this, fault)
  }

  drained(): void {
    this.#owner.progressed()
    this.out.drained()
    this.#endIfDone()
  }

  endReceived(): void {
    this.#ended = true
    // A service's socket closes by itself.
    if (!this.#isClient) return
    this.#owner.lost(this)
    if (!this.closeSeen) this.hangUp()
    this.#endIfDone()
  }

  closed(): void {
    if (this.over) return
    this.over = true
    this.#owner.lost(this)
  }

  /** A bug in one of these methods: nobody knows what was passed on. */
  faulted(error: Error): void {
    reportError(error)
    this.#socket.terminate()
  }

  // Of a socket that is open.
  opened(): void {}
  shook(): void {}
  lost(): void {}

  // What the scan of its frames tells.

  pass(bytes: Buffer, start: number, end: number): void {
    if (this.muted || this.#peer.over) return
    this.#owner.passed()
    this.#peer.out.carry(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end))
  }

  messageEnded(bytes: number): void {
    if (!this.muted) this.#owner.counted(this, bytes)
  }

  ponged(): boolean {
    const due = this.#pongDue
    this.#pongDue = false
    return due
  }

  frameEnded(): void {
    this.#peer.#bid()
  }

  closing(): void {
    this.closeSeen = true
    if (!this.muted) this.#peer.told = true
    this.muted = true
    this.#owner.closing(this)
  }

  // What becomes of it.

  /** Whether nothing holds up what it sends. */
  get isRead(): boolean {
    return this.#peer.out.empty
  }

  /** Pings it, if nothing is on its way to it. */
  ping(): void {
    if (this.#pongDue || this.told || !this.out.empty || this.#peer.#scanner.inside) return
    this.#pongDue = true
    this.out.carry(pingFrame(!this.#isClient))
  }

  /**
   * Gives it a close frame, after all that waits, unless it has had one; where the rest of a frame must come first,
   * after that. A client is hung up on with it.
   */
  close(code: number, reason: string): void {
    const { inside, over } = this.#peer.#scanner
    const cut = inside && (over || this.#peer.over)
    if (cut || this.told) {
      if (cut || (this.#isClient && this.#farewell === undefined)) this.hangUp()
      return
    }
    this.told = true
    this.#farewell = closeFrame(code, reason, !this.#isClient)
    if (inside) this.#peer.#scanner.tellFrameEnd = true
    else this.#bid()
  }

  /** Ends the connection in order after all that waits. */
  hangUp(): void {
    this.#peer.mute()
    if (this.#hungUp) return
    this.#hungUp = true
    this.#farewell = undefined
    this.out.end()
    this.#endIfDone()
  }

  /** From now on nothing of it goes on. It is read even so: its close frame and its end must be noticed. */
  mute(): void {
    this.muted = true
    this.#socket.resume()
  }

  terminate(): void {
    this.#socket.terminate()
  }

  #bid(): void {
    const farewell = this.#farewell
    if (farewell === undefined) return
    this.#farewell = undefined
    this.out.carry(farewell)
    this.#peer.mute()
    if (this.#isClient) this.hangUp()
  }

  /** Half a connection stays open until both sides have ended it. */
  #endIfDone(): void {
    if (this.#ended && this.#hungUp && this.out.empty) this.#socket.end()
  }
}

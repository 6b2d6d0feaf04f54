import { CLOSE } from "./close_code.ts"
import { type ClientSocket, worthCompressing } from "./socket.ts"

/** One whole message: text, or bytes. */
export type Message = string | Buffer<ArrayBuffer>

/** What can be told to stop and go on: the socket the messages come from. */
export interface Pausable {
  pause(): unknown
  resume(): unknown
}

/** Told of each message handed to the client: bytes of its payload. */
export interface SentCounter {
  sent(bytes: number): void
}

/** An idle relay needs no list of its own. */
const NOTHING: Message[] = []

/** Memory of a queued message beyond its payload, so that empty ones are bounded too. */
const MESSAGE_OVERHEAD_BYTES = 64

/** Bytes of payload: of text, its UTF-8. */
export function byteLength(data: Message): number {
  return typeof data === "string" ? Buffer.byteLength(data) : data.byteLength
}

/**
 * The way to one client. While its socket is full, or not there yet, the source is paused and what it had
 * read already waits in a bounded queue: nothing is dropped, nothing overtakes.
 */
export class Downlink {
  readonly #source: Pausable
  readonly #maxQueuedBytes: number
  readonly #counters: SentCounter
  #state: "awaited" | "open" | "gone" = "awaited"
  #client: ClientSocket | undefined
  #blocked = true
  #queue: Message[] = NOTHING
  #queuedBytes = 0
  /** Sent once the queue has left. */
  #farewell: { code: number; reason: string } | undefined

  /** `source` is paused by this. */
  constructor(source: Pausable, maxQueuedBytes: number, counters: SentCounter) {
    this.#source = source
    this.#maxQueuedBytes = maxQueuedBytes
    this.#counters = counters
    source.pause()
  }

  /** "awaited": the client's handshake is not complete; "gone": its connection is over. */
  get state(): "awaited" | "open" | "gone" {
    return this.#state
  }

  /** The client is there. `false`: a message was lost, see `send`. */
  attach(client: ClientSocket): boolean {
    this.#client = client
    this.#state = "open"
    this.#blocked = false
    return this.#flush()
  }

  /** The client is gone, or will never come. */
  detach(): void {
    this.#state = "gone"
    this.#client = undefined
    this.#clear()
  }

  /** Sends or queues a message. `false`: it could be neither, so the connection has lost its meaning. */
  send(data: Message): boolean {
    if (this.#client !== undefined && !this.#blocked) return this.#deliver(this.#client, data)
    if (this.#queue === NOTHING) this.#queue = [data]
    else this.#queue.push(data)
    this.#queuedBytes += byteLength(data) + MESSAGE_OVERHEAD_BYTES
    return this.#queuedBytes <= this.#maxQueuedBytes
  }

  /** The client took something. `false`: a message was lost, see `send`. */
  drained(): boolean {
    if (!this.#blocked || this.#client === undefined || this.#client.getBufferedAmount() > 0) return true
    this.#blocked = false
    return this.#flush()
  }

  /** Control frames do not wait in the queue. `false`: there is no client to ping. */
  ping(payload: Buffer): boolean {
    if (this.#client === undefined) return false
    if (this.#client.ping(payload) === -1) this.#block()
    return true
  }

  pong(payload: Buffer): void {
    if (this.#client?.pong(payload) === -1) this.#block()
  }

  /**
   * Closes after what waits has left; if the client is not there yet, when it comes. The runtime would close
   * a full socket at once too, but then drops what it had not written yet.
   */
  closeAfterQueue(code: number, reason: string): void {
    this.#farewell = { code, reason }
    if (!this.#blocked) this.#bid()
  }

  /** Closes now; messages that wait are given up. If the client is not there yet, closes when it comes. */
  close(code: number, reason: string): void {
    this.#clear()
    this.#farewell = { code, reason }
    this.#bid()
  }

  /** Ends the connection without a close frame. */
  terminate(): void {
    this.#client?.terminate()
  }

  #deliver(client: ClientSocket, data: Message): boolean {
    const bytes = byteLength(data)
    const result = client.send(data, worthCompressing(bytes))
    // 0 is also the result of an empty message that went well, and of any on a socket about to report its end.
    if (result === 0 && bytes > 0) return client.readyState !== WebSocket.OPEN
    this.#counters.sent(bytes)
    if (result === -1) this.#block()
    return true
  }

  #block(): void {
    this.#blocked = true
    this.#source.pause()
  }

  #flush(): boolean {
    let at = 0
    let delivered = true
    while (at < this.#queue.length && !this.#blocked && delivered && this.#client !== undefined) {
      const data = this.#queue[at++]!
      this.#queuedBytes -= byteLength(data) + MESSAGE_OVERHEAD_BYTES
      delivered = this.#deliver(this.#client, data)
    }
    this.#queue = at >= this.#queue.length ? NOTHING : this.#queue.slice(at)
    if (!this.#blocked && delivered) {
      if (this.#farewell !== undefined) this.#bid()
      else this.#source.resume()
    }
    return delivered
  }

  #bid(): void {
    const client = this.#client
    if (client === undefined || this.#farewell === undefined) return
    // A paused socket would not notice the client's part of the closing handshake.
    if (client.isPaused) client.resume()
    client.close(this.#farewell.code, this.#farewell.code === CLOSE.NO_CODE ? "" : this.#farewell.reason)
  }

  #clear(): void {
    this.#queue = NOTHING
    this.#queuedBytes = 0
  }
}

/** Room for one message. */
const MESSAGE_BYTES = 196_608
/** Past this many bytes no further message is begun before these are sent. */
const FULL_BYTES = 65_536

/** Whoever writes to a socket. */
export interface Sender {
  /** Writes this part of the outbox's buffer to the socket, and copies what the socket does not take. */
  send(bytes: Uint8Array, start: number, end: number): void
}

/**
 * Messages to many sockets, put together one after another in one buffer, and sent together when the round is over
 * (round.ts).
 */
export class Outbox {
  readonly buffer = Buffer.allocUnsafeSlow(FULL_BYTES + MESSAGE_BYTES)
  readonly #onPut: () => void
  // Side by side, and kept from round to round: no object for each message.
  readonly #senders: (Sender | undefined)[] = []
  readonly #ends: number[] = []
  #count = 0
  #end = 0
  /** What of it is sent: a sender may have more to send, or all sent at once, while it is its turn. */
  #sent = 0
  #sentEnd = 0

  /** `onPut`: there is something to send. */
  constructor(onPut: () => void) {
    this.#onPut = onPut
  }

  /** Where in the buffer the next message has to begin: there are 192 KiB or more. `put` must follow at once. */
  begin(): number {
    if (this.#end > FULL_BYTES) this.send()
    return this.#end
  }

  /** The message that ends here is for this sender. */
  put(sender: Sender, end: number): void {
    if (this.#count === 0) this.#onPut()
    this.#senders[this.#count] = sender
    this.#ends[this.#count++] = end
    this.#end = end
  }

  /** Sends everything. */
  send(): void {
    while (this.#sent < this.#count) {
      const i = this.#sent++
      const start = this.#sentEnd
      const sender = this.#senders[i]!
      this.#senders[i] = undefined
      this.#sentEnd = this.#ends[i]!
      sender.send(this.buffer, start, this.#sentEnd)
    }
    this.#count = this.#sent = 0
    this.#end = this.#sentEnd = 0
  }
}

import type { ClientSocket } from "../socket.ts"
import type { SocketMember } from "./world.ts"

export interface OutgoingOptions {
  readonly member: SocketMember
  readonly slow: Map<string, Set<SocketMember>>
  /** Bytes that may wait, of both kinds together. */
  readonly maxBuffered: () => number
  /** More waits than may, or the runtime could not take a text. */
  readonly onOverflow: () => void
}

/** Bytes given to the runtime that wait for the client; beyond, texts wait here, where they can be overtaken. */
const HOLD_BYTES = 65_536

/**
 * What goes to one WebSocket, in order. While the client reads as fast as texts come they go straight to the runtime and
 * the socket is in the topics of its channels. Once it does not, texts wait here, in a queue an urgent one passes by.
 */
export class Outgoing {
  readonly #options: OutgoingOptions
  readonly #topics = new Set<string>()
  #client: ClientSocket | undefined
  /** What waits, from `#first` on. */
  #waiting: string[] = []
  #first = 0
  #waitingBytes = 0
  /** It is in no topic: what is published comes by `send`. */
  #isSlow = false
  /** Whoever wants to send more waits for it. */
  #read: PromiseWithResolvers<void> | undefined

  constructor(options: OutgoingOptions) {
    this.#options = options
  }

  /** The handshake is complete. */
  open(client: ClientSocket): void {
    this.#client = client
  }

  /** Bytes that wait, those in the runtime included. */
  get buffered(): number {
    return this.#waitingBytes + (this.#client?.getBufferedAmount() ?? 0)
  }

  join(topic: string): void {
    this.#topics.add(topic)
    if (this.#isSlow) this.#follow(topic)
    else this.#client?.subscribe(topic)
  }

  part(topic: string): void {
    this.#topics.delete(topic)
    if (this.#isSlow) this.#unfollow(topic)
    else this.#client?.unsubscribe(topic)
  }

  send(text: string): void {
    const client = this.#client
    if (client === undefined) return
    if (this.#isSlow || client.getBufferedAmount() > this.#holdBytes()) this.#wait(text)
    else this.#give(client, text)
    this.check()
  }

  /** Before all that waits here. */
  urgent(text: string): void {
    const client = this.#client
    if (client !== undefined) this.#give(client, text)
  }

  /** Call when some of it has left, and now and then. */
  check(): void {
    const client = this.#client
    if (client === undefined) return
    const given = client.getBufferedAmount()
    if (this.#isSlow) this.#drain(client)
    else if (given > this.#holdBytes()) this.#slowDown(client)
    if (this.buffered > this.#options.maxBuffered()) this.#options.onOverflow()
  }

  /** Resolves when nothing waits here any more, or the connection is over. `undefined`: so it is. */
  read(): Promise<void> | undefined {
    if (!this.#isSlow || this.#client === undefined) return undefined
    this.#read ??= Promise.withResolvers()
    return this.#read.promise
  }

  /** Gives all of it to the runtime, as the connection is about to be closed. */
  flush(): void {
    const client = this.#client
    if (client === undefined) return
    for (const text of this.#waiting.slice(this.#first)) client.send(text)
    this.#empty()
  }

  /** The connection is over. */
  close(): void {
    for (const topic of this.#topics) this.#unfollow(topic)
    this.#topics.clear()
    this.#empty()
    this.#client = undefined
    this.#resolveRead()
  }

  /** Less where little may wait altogether. */
  #holdBytes(): number {
    return Math.min(HOLD_BYTES, this.#options.maxBuffered() / 2)
  }

  #give(client: ClientSocket, text: string): void {
    // 0: it could not be taken, so the order would have a hole.
    if (client.send(text) === 0) this.#options.onOverflow()
  }

  #wait(text: string): void {
    this.#waiting.push(text)
    this.#waitingBytes += Buffer.byteLength(text)
  }

  #drain(client: ClientSocket): void {
    const hold = this.#holdBytes()
    while (this.#first < this.#waiting.length && client.getBufferedAmount() <= hold) {
      const text = this.#waiting[this.#first++]!
      this.#waitingBytes -= Buffer.byteLength(text)
      this.#give(client, text)
    }
    if (this.#first < this.#waiting.length || client.getBufferedAmount() > 0) return
    this.#empty()
    this.#isSlow = false
    this.#resolveRead()
    for (const topic of this.#topics) {
      this.#unfollow(topic)
      client.subscribe(topic)
    }
  }

  #slowDown(client: ClientSocket): void {
    this.#isSlow = true
    for (const topic of this.#topics) {
      client.unsubscribe(topic)
      this.#follow(topic)
    }
  }

  #follow(topic: string): void {
    const { slow, member } = this.#options
    const members = slow.get(topic)
    if (members === undefined) slow.set(topic, new Set([member]))
    else members.add(member)
  }

  #unfollow(topic: string): void {
    const { slow, member } = this.#options
    const members = slow.get(topic)
    if (members?.delete(member) === true && members.size === 0) slow.delete(topic)
  }

  #resolveRead(): void {
    this.#read?.resolve()
    this.#read = undefined
  }

  #empty(): void {
    this.#waiting = []
    this.#first = 0
    this.#waitingBytes = 0
  }
}

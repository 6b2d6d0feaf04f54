import { type TextSocket, worthCompressing } from "../socket.ts"
import type { SocketMember } from "./world.ts"

export interface OutgoingOptions {
  readonly member: SocketMember
  readonly slow: Map<string, Set<SocketMember>>
  /** Characters of all that was published on a topic. */
  readonly publishedOn: (topic: string) => number
  /** Bytes that may wait, of both kinds together. */
  readonly maxBuffered: () => number
  /** More waits than may, or the runtime could not take a text. */
  readonly onOverflow: () => void
}

/** Bytes given to the runtime that wait for the client; beyond, texts wait here, where they can be overtaken. */
const HOLD_BYTES = 65_536
/**
 * The same for what is on its way: the buffers of operating systems and proxies take megabytes of what nobody reads. A
 * ping after so many characters tells, by its pong, that the client has read as far.
 */
const PROBE_CHARS = 65_536
const HOLD_CHARS = 262_144
/** Of what is published so much more may wait until the next look: a burst is gone before it. */
export const BURST_BYTES = 1024 * 1024

/**
 * What goes to one WebSocket, in order. While the client reads as fast as texts come they go straight to the runtime and
 * the socket is in the topics of its channels. Once it does not, texts wait here, in a queue an urgent one passes by.
 */
export class Outgoing {
  readonly #options: OutgoingOptions
  /** With how much of each was counted. */
  readonly #topics = new Map<string, number>()
  #client: TextSocket | undefined
  /** What waits, from `#first` on. */
  #waiting: string[] = []
  #first = 0
  #waitingBytes = 0
  /** It is in no topic: what is published comes by `send`. */
  #isSlow = false
  /** Characters that went out, those up to the last probe, and those the client has read for certain. */
  #sent = 0
  #probed = 0
  #readUpTo = 0
  #probes = 0
  /** The last probe was not answered yet. */
  #asking = false
  /** Whoever wants to send more waits for it. */
  #read: PromiseWithResolvers<void> | undefined

  constructor(options: OutgoingOptions) {
    this.#options = options
  }

  /** The handshake is complete. */
  open(client: TextSocket): void {
    this.#client = client
  }

  /** Bytes that wait, those in the runtime included. */
  get buffered(): number {
    return this.#waitingBytes + (this.#client?.getBufferedAmount() ?? 0)
  }

  join(topic: string): void {
    this.#topics.set(topic, this.#options.publishedOn(topic))
    if (this.#isSlow) this.#follow(topic)
    else this.#client?.subscribe(topic)
  }

  part(topic: string): void {
    if (!this.#isSlow) this.#countTopics()
    this.#topics.delete(topic)
    if (this.#isSlow) this.#unfollow(topic)
    else this.#client?.unsubscribe(topic)
  }

  send(text: string): void {
    this.#take(text)
    this.check()
  }

  /** What was published on a topic it is in while it is slow. */
  published(text: string): void {
    this.#take(text)
    this.check(BURST_BYTES)
  }

  /** Before all that waits here. */
  urgent(text: string): void {
    const client = this.#client
    if (client !== undefined) this.#give(client, text)
  }

  /** Call when some of it has left, and now and then. `slack`: bytes that may wait beside, as they just came. */
  check(slack = 0): void {
    const client = this.#client
    if (client === undefined) return
    if (!this.#isSlow) this.#countTopics()
    // Much may have gone out since the last one, and nothing more does before the next is answered.
    this.#probe(client)
    if (this.#isSlow) this.#drain(client)
    else if (!this.#mayGive(client)) this.#slowDown(client)
    const most = this.#options.maxBuffered()
    if (this.buffered <= most) return
    this.#spill(client, most)
    if (this.buffered > most + slack) this.#options.onOverflow()
  }

  /** Resolves when nothing waits here any more, or the connection is over. `undefined`: so it is. */
  read(): Promise<void> | undefined {
    if (!this.#isSlow || this.#client === undefined) return undefined
    this.#read ??= Promise.withResolvers()
    return this.#read.promise
  }

  /** The client has answered a ping. */
  pong(payload: string): void {
    if (!this.#asking || payload !== `${this.#probes}`) return
    this.#asking = false
    this.#readUpTo = this.#probed
    this.check(BURST_BYTES)
  }

  /** Gives all of it to the runtime, as the connection is about to be closed. */
  flush(): void {
    const client = this.#client
    if (client === undefined) return
    for (const text of this.#waiting.slice(this.#first)) client.send(text, worthCompressing(text.length))
    this.#empty()
  }

  /** The connection is over. */
  close(): void {
    for (const topic of this.#topics.keys()) this.#unfollow(topic)
    this.#topics.clear()
    this.#empty()
    this.#client = undefined
    this.#resolveRead()
  }

  /** Less where little may wait altogether. */
  #holdBytes(): number {
    return Math.min(HOLD_BYTES, this.#options.maxBuffered() / 2)
  }

  #mayGive(client: TextSocket): boolean {
    return this.#sent - this.#readUpTo <= HOLD_CHARS && client.getBufferedAmount() <= this.#holdBytes()
  }

  #give(client: TextSocket, text: string): void {
    this.#sent += text.length
    // 0: it could not be taken, so the order would have a hole.
    if (client.send(text, worthCompressing(text.length)) === 0) this.#options.onOverflow()
    else this.#probe(client)
  }

  #probe(client: TextSocket): void {
    if (this.#asking || this.#sent - this.#probed < PROBE_CHARS) return
    this.#asking = true
    this.#probed = this.#sent
    client.ping(`${++this.#probes}`)
  }

  /** What came to it by topics since they were counted last. */
  #countTopics(): void {
    for (const [topic, counted] of this.#topics) {
      const published = this.#options.publishedOn(topic)
      if (published === counted) continue
      this.#sent += published - counted
      this.#topics.set(topic, published)
    }
  }

  #take(text: string): void {
    const client = this.#client
    if (client === undefined) return
    if (this.#isSlow || !this.#mayGive(client)) this.#wait(text)
    else this.#give(client, text)
  }

  #wait(text: string): void {
    this.#waiting.push(text)
    this.#waitingBytes += Buffer.byteLength(text)
  }

  #drain(client: TextSocket): void {
    while (this.#first < this.#waiting.length && this.#mayGive(client)) this.#giveFirst(client)
    if (this.#first < this.#waiting.length || !this.#mayGive(client) || client.getBufferedAmount() > 0) return
    this.#empty()
    this.#isSlow = false
    this.#resolveRead()
    for (const topic of this.#topics.keys()) {
      this.#unfollow(topic)
      this.#topics.set(topic, this.#options.publishedOn(topic))
      client.subscribe(topic)
    }
  }

  /** Who reads, but not as fast as a burst comes, is not cut off while the buffers on the way have room. */
  #spill(client: TextSocket, most: number): void {
    while (this.#waitingBytes > most / 2 && client.getBufferedAmount() <= this.#holdBytes())
      this.#giveFirst(client)
  }

  #giveFirst(client: TextSocket): void {
    const text = this.#waiting[this.#first++]!
    this.#waitingBytes -= Buffer.byteLength(text)
    // Who never quite catches up must not keep what has left long ago.
    if (this.#first >= 1024 && this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
    this.#give(client, text)
  }

  #slowDown(client: TextSocket): void {
    this.#isSlow = true
    for (const topic of this.#topics.keys()) {
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

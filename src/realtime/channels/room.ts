import type { Namespace } from "./namespaces.ts"

/** Who has subscribed: one connection, as its rooms see it. */
export interface Subscriber {
  /** Sends one JSON text, after all that was sent before. */
  send(text: string): void
  /** From now on what is published on the topic is sent to it; absent where all must come by `send`. */
  readonly join?: ((topic: string) => void) | undefined
  readonly part?: ((topic: string) => void) | undefined
  /** Resolves when the client has read most of what was sent, or is gone. `undefined`: it has. */
  readonly read?: (() => Promise<void> | undefined) | undefined
  /** The subscription ended by itself; it should, or should not, be made again. */
  ended(channel: string, resubscribe: boolean, reason: string): void
}

/** Live frames kept for a subscription whose answer is not here yet; beyond, it reads history. */
const MAX_BUFFERED = 256

/**
 * One subscriber of one channel. `asking`: the hub has not answered yet. `behind`: it reads history. `ahead`: it has
 * had publications the room is yet to hear of. `live`: it gets what the room hears.
 */
export class Subscription {
  readonly room: Room
  readonly subscriber: Subscriber
  /** Of an `at_least_once` channel: as whom it acknowledges; "" for others. */
  readonly acksAs: string
  state: "asking" | "behind" | "ahead" | "live" | "over" = "asking"
  /** Last offset sent to it, unless it is live. */
  offset = 0
  /** What it said itself that it has had. */
  had = 0
  /** Up to where it has acknowledged, and when it last had nothing left to acknowledge or did so. */
  acked = 0
  ackedAt = 0
  redelivering = false
  readonly #early: { readonly offset: number; readonly frame: string }[] = []
  #overflown = false

  constructor(room: Room, subscriber: Subscriber, acksAs: string) {
    this.room = room
    this.subscriber = subscriber
    this.acksAs = acksAs
  }

  /** Last offset sent to it, over this connection or another. */
  get sent(): number {
    return this.state === "live" ? this.room.offset : Math.max(this.offset, this.had)
  }

  /** A publication came before the hub's answer. */
  early(offset: number, frame: string): void {
    if (this.#early.length < MAX_BUFFERED) this.#early.push({ offset, frame })
    else this.#overflown = true
  }

  /** Sends what came before the answer and was not in it; false: more came than could be kept. */
  sendEarly(): boolean {
    for (const { offset, frame } of this.#early) {
      if (offset <= this.offset) continue
      this.subscriber.send(frame)
      this.offset = offset
    }
    this.#early.length = 0
    return !this.#overflown
  }
}

/** One channel on one worker: its subscribers, and how far it has heard. */
export class Room {
  readonly channel: string
  readonly namespace: Namespace
  /** "" until the first answer or event. */
  epoch = ""
  /** Newest publication heard of; 0: none yet. */
  offset = 0
  /** Characters of all that was published on its topic. */
  published = 0
  readonly members = new Set<Subscription>()
  /** How many of them the topic serves. */
  #topical = 0
  /** Live ones the topic does not serve. */
  readonly #direct = new Set<Subscription>()
  /** Those that are not live. */
  readonly #waiting = new Set<Subscription>()
  readonly #head: string

  constructor(channel: string, namespace: Namespace) {
    this.channel = channel
    this.namespace = namespace
    this.#head = `"channel":${JSON.stringify(channel)},`
  }

  /** The push of a publication; `text` as the hub gives it. */
  frame(text: string): string {
    return `{"push":"publication",${this.#head}${text.slice(1)}`
  }

  /** The same for one that is sent again. */
  frameAgain(text: string, attempt: number): string {
    return `{"push":"publication",${this.#head}"attempt":${attempt},${text.slice(1)}`
  }

  enter(subscriber: Subscriber, acksAs: string): Subscription {
    const subscription = new Subscription(this, subscriber, acksAs)
    this.members.add(subscription)
    this.#waiting.add(subscription)
    return subscription
  }

  /** Sends one publication to all that are to have it. */
  deliver(offset: number, text: string, publish: (topic: string, frame: string) => void): void {
    const frame = this.frame(text)
    this.offset = offset
    this.#publish(frame, publish)
    for (const { subscriber } of this.#direct) subscriber.send(frame)
    for (const waiting of this.#waiting) {
      if (waiting.state === "asking") waiting.early(offset, frame)
      else if (waiting.state === "ahead") {
        if (offset > waiting.offset) {
          waiting.subscriber.send(frame)
          waiting.offset = offset
        }
        if (offset >= waiting.offset) this.goLive(waiting)
      }
    }
  }

  /** Sends a text to all that have been told they are subscribed. */
  announce(text: string, publish: (topic: string, frame: string) => void): void {
    this.#publish(text, publish)
    for (const { subscriber } of this.#direct) subscriber.send(text)
    for (const { subscriber, state } of this.#waiting) if (state !== "asking") subscriber.send(text)
  }

  #publish(frame: string, publish: (topic: string, frame: string) => void): void {
    if (this.#topical === 0) return
    this.published += frame.length
    publish(this.channel, frame)
  }

  goLive(subscription: Subscription): void {
    this.#waiting.delete(subscription)
    subscription.state = "live"
    const { subscriber } = subscription
    if (subscriber.join === undefined) this.#direct.add(subscription)
    else {
      this.#topical++
      subscriber.join(this.channel)
    }
  }

  remove(subscription: Subscription): void {
    if (subscription.state === "live" && subscription.subscriber.part !== undefined) {
      this.#topical--
      subscription.subscriber.part(this.channel)
    }
    this.#direct.delete(subscription)
    this.#waiting.delete(subscription)
    this.members.delete(subscription)
    subscription.state = "over"
  }
}

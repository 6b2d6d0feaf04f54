import type { Clock } from "../../lib/clock.ts"
import type { ChannelCount, ChannelEvent, ChannelQuery, Subscribed } from "./hub_messages.ts"
import { type Link, UNAVAILABLE } from "./link.ts"
import type { Namespace, Namespaces } from "./namespaces.ts"
import { MAX_PUBLICATIONS, type Position } from "./protocol.ts"
import { Room, type Subscriber, type Subscription } from "./room.ts"

/** Publications read or sent again at a time. */
const BATCH = 200
/** The same in bytes, about, unless clients may have less waiting. */
const MAX_BATCH_BYTES = 256 * 1024

export interface RoomsOptions {
  readonly link: Link
  readonly now: Clock
  /** Sends a text to all sockets of this worker that have joined the topic. */
  readonly publish: (topic: string, frame: string) => void
  /** Bytes that may wait for a client. */
  readonly maxBuffered: () => number
}

/** The channels of one worker: who has subscribed, and what they are sent. */
export class Rooms {
  readonly #options: RoomsOptions
  readonly #rooms = new Map<string, Room>()
  /** Subscriptions that acknowledge. */
  readonly #acked = new Set<Subscription>()

  constructor(options: RoomsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#rooms.size
  }

  /** Characters of all that was published on the topic of a channel, for as long as it has subscribers. */
  publishedOn(channel: string): number {
    return this.#rooms.get(channel)?.published ?? 0
  }

  /** Of publications that are given to a client together: much less than may wait for it. */
  get batchBytes(): number {
    return Math.min(MAX_BATCH_BYTES, this.#options.maxBuffered() / 4)
  }

  /**
   * Asks the hub. The subscription begins with `begin`, to be called at once when the answer has been sent. `undefined`:
   * not now.
   */
  async subscribe(subscription: Subscription, since: Position | undefined): Promise<Subscribed | undefined> {
    const { room, acksAs } = subscription
    const { channel, namespace } = room
    const { retention, options } = namespace
    const answer = await this.#options.link.ask({
      do: "subscribe",
      channel,
      namespace: namespace.name,
      since,
      limit: MAX_PUBLICATIONS,
      bytes: this.batchBytes,
      retention,
      acked: acksAs === "" ? undefined : { subscriber: acksAs, maxDeliveries: options.max_deliveries },
    })
    if (subscription.state === "over") return undefined
    const { epoch } = answer === UNAVAILABLE ? room : answer.position
    if (answer === UNAVAILABLE || (room.epoch !== "" && room.epoch !== epoch)) {
      this.remove(subscription)
      return undefined
    }
    room.epoch = epoch
    const { cursor, position, since: had } = answer
    subscription.offset = position.offset
    subscription.had = had?.offset ?? 0
    subscription.acked = cursor?.offset ?? 0
    return answer
  }

  /** Makes a place for a subscriber; what comes before `begin` is kept for it. */
  enter(subscriber: Subscriber, channel: string, namespace: Namespace, acksAs: string): Subscription {
    let room = this.#rooms.get(channel)
    if (room === undefined) {
      room = new Room(channel, namespace)
      this.#rooms.set(channel, room)
    }
    return room.enter(subscriber, acksAs)
  }

  begin(subscription: Subscription, { more }: Subscribed): void {
    const { room } = subscription
    subscription.ackedAt = this.#options.now()
    if (subscription.acksAs !== "") this.#acked.add(subscription)
    const whole = !more && subscription.sendEarly()
    if (!whole) {
      subscription.state = "behind"
      void this.#catchUp(subscription)
    } else if (room.offset >= subscription.offset && room.offset > 0) room.goLive(subscription)
    else subscription.state = "ahead"
  }

  remove(subscription: Subscription): void {
    if (subscription.state === "over") return
    const { room } = subscription
    room.remove(subscription)
    this.#acked.delete(subscription)
    if (room.members.size > 0 || this.#rooms.get(room.channel) !== room) return
    this.#rooms.delete(room.channel)
    void this.#options.link.ask({ do: "unlisten", channel: room.channel })
  }

  /** What the hub tells of a channel. */
  told(event: ChannelEvent): void {
    const room = this.#rooms.get(event.channel)
    if (room === undefined) return
    switch (event.type) {
      case "publication":
        this.#publication(room, event)
        break
      case "join":
      case "leave":
        room.announce(
          JSON.stringify({ push: event.type, channel: event.channel, member: event.member }),
          this.#options.publish,
        )
        break
      case "lost":
        this.#lose(room, "publications may have been missed")
    }
  }

  /** The first channels that are asked for, and how many have subscribed to each. */
  counts({ after, prefix, limit }: ChannelQuery): readonly ChannelCount[] {
    const names = [...this.#rooms.keys()].filter((name) => name > after && name.startsWith(prefix))
    return names
      .sort()
      .slice(0, limit)
      .map((channel) => ({ channel, subscribers: this.#rooms.get(channel)!.members.size }))
  }

  /** Takes another configuration: subscriptions of namespaces that are not as they were end. */
  apply(namespaces: Namespaces): void {
    for (const room of [...this.#rooms.values()])
      if (namespaces.find(room.channel)?.identity !== room.namespace.identity)
        this.#lose(room, "the configuration of the channel has changed")
  }

  /** Sends again what was not acknowledged in time. Call about once a second. */
  tick(): void {
    const now = this.#options.now()
    for (const subscription of this.#acked) {
      const { room, subscriber, acked, sent, ackedAt, state, redelivering } = subscription
      if (acked >= sent) subscription.ackedAt = now
      else if (state === "over") this.#acked.delete(subscription)
      else if (state === "behind" || redelivering || now - ackedAt < room.namespace.options.ack_timeout)
        continue
      // Who has not read yet what was sent has no use for it a second time.
      else if (subscriber.read?.() === undefined) void this.#redeliver(subscription)
    }
  }

  #publication(room: Room, { epoch, offset, text }: Extract<ChannelEvent, { type: "publication" }>): void {
    if (room.epoch === "") room.epoch = epoch
    if (room.epoch !== epoch) this.#lose(room, "the channel has begun anew")
    else if (room.offset > 0 && offset > room.offset + 1) this.#lose(room, "publications were missed")
    else if (offset > room.offset) room.deliver(offset, text, this.#options.publish)
  }

  /** All subscribers must recover, each by its own position. */
  #lose(room: Room, reason: string): void {
    for (const subscription of [...room.members]) this.#end(subscription, reason)
  }

  #end(subscription: Subscription, reason: string): void {
    // Who has no answer yet is told by that.
    const told = subscription.state !== "asking"
    this.remove(subscription)
    if (told) subscription.subscriber.ended(subscription.room.channel, true, reason)
  }

  /** Reads history until it has come to where the room is, as fast as the client reads. */
  async #catchUp(subscription: Subscription): Promise<void> {
    const { room, subscriber } = subscription
    const { channel, namespace } = room
    while (subscription.state === "behind") {
      const since = { epoch: room.epoch, offset: subscription.offset }
      const { retention } = namespace
      await subscriber.read?.()
      const found = await this.#options.link.ask({
        do: "history",
        channel,
        since,
        limit: BATCH,
        bytes: this.batchBytes,
        retention,
      })
      if ((subscription.state as Subscription["state"]) === "over") return
      if (found === UNAVAILABLE || !found.complete)
        return this.#end(subscription, "publications could not be read in time")
      for (const text of found.publications) subscriber.send(room.frame(text))
      subscription.offset += found.publications.length
      if (subscription.offset < Math.max(room.offset, found.position.offset) && found.publications.length > 0)
        continue
      if (subscription.offset < room.offset) return this.#end(subscription, "publications were missed")
      if (subscription.offset === room.offset) room.goLive(subscription)
      else subscription.state = "ahead"
    }
  }

  async #redeliver(subscription: Subscription): Promise<void> {
    const { room, subscriber, acksAs } = subscription
    const { channel, namespace } = room
    subscription.redelivering = true
    const again = await this.#options.link.ask({
      do: "redeliver",
      channel,
      namespace: namespace.name,
      limit: BATCH,
      bytes: this.batchBytes,
      retention: namespace.retention,
      acked: { subscriber: acksAs, maxDeliveries: namespace.options.max_deliveries },
    })
    subscription.redelivering = false
    subscription.ackedAt = this.#options.now()
    if (subscription.state === "over" || again === UNAVAILABLE || again === undefined) return
    const { cursor, first, publications, attempts } = again
    if (cursor.epoch !== room.epoch) return this.#end(subscription, "the channel has begun anew")
    subscription.acked = Math.max(subscription.acked, cursor.offset)
    for (let i = 0; i < publications.length; i++) {
      const offset = first + i
      // What it has not had for a first time comes by itself; what it acknowledged meanwhile is done.
      if (offset > subscription.sent) return
      if (offset > subscription.acked) subscriber.send(room.frameAgain(publications[i]!, attempts + 1))
    }
  }
}

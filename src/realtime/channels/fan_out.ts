import type { ChannelListener, History, StoredPublication } from "./channel_store.ts"
import type { Position } from "./protocol.ts"

/** A publication as it was told, which may be late, early, or the second of its kind. */
export interface Heard {
  readonly epoch: string
  readonly publication: StoredPublication
}

export interface Followed {
  /** Up to where the listener was told; `undefined`: not known yet. */
  position: Position | undefined
  /** What came while it was made up for. */
  early: Heard[]
  /** More came than is kept of it. */
  missed: boolean
  catchingUp: boolean
}

export interface FanOutOptions {
  readonly listener: ChannelListener
  /** What came after a position, the oldest first, some of it at a time; without one, only how far the channel is. */
  readonly read: (channel: string, since: Position | undefined) => Promise<History>
}

/** Publications kept of a channel while it is made up for what was missed. */
const MAX_EARLY = 256
/** Channels made up for at a time. */
const RUNNERS = 32
/** Every channel is compared with the store once in so many ticks. */
const ROUND_TICKS = 15

/**
 * Makes of a fan-out that may drop, repeat and break off what a listener is promised: every publication once, in order.
 * An offset that jumps, and the end of a pause, are made good from what the store keeps; what cannot be is told.
 */
export class FanOut {
  readonly #options: FanOutOptions
  readonly #channels = new Map<string, Followed>()
  /** To be made up for. */
  readonly #behind = new Set<string>()
  /** Those the store did not answer for; tried again at the next tick. */
  readonly #failed = new Set<string>()
  #runners = 0
  /** What is left of the round. */
  #round: Iterator<string> | undefined

  constructor(options: FanOutOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#channels.size
  }

  has(channel: string): boolean {
    return this.#channels.has(channel)
  }

  /** Call before subscribing. */
  follow(channel: string): Followed {
    const followed: Followed = { position: undefined, early: [], missed: false, catchingUp: true }
    this.#channels.set(channel, followed)
    return followed
  }

  /** Call once subscribed: what is published from now on is told. Rejects when the store does. */
  async start(channel: string, followed: Followed): Promise<void> {
    const { epoch, offset } = await this.#options.read(channel, undefined)
    if (this.#channels.get(channel) !== followed) return
    followed.position = { epoch, offset }
    followed.catchingUp = false
    this.#replay(channel, followed)
  }

  unfollow(channel: string): void {
    this.#channels.delete(channel)
    this.#behind.delete(channel)
    this.#failed.delete(channel)
  }

  heard(channel: string, heard: Heard): void {
    const followed = this.#channels.get(channel)
    if (followed === undefined) return
    if (followed.catchingUp) {
      if (followed.early.length < MAX_EARLY) followed.early.push(heard)
      else followed.missed = true
    } else if (!this.#take(channel, followed, heard)) this.#catchUp(channel)
  }

  /** Anything may have been missed. */
  resume(): void {
    for (const channel of this.#channels.keys()) this.#behind.add(channel)
    this.#run()
  }

  /** Call about once a second. Returns the channels whose turn it is. */
  tick(): readonly string[] {
    for (const channel of this.#failed) this.#behind.add(channel)
    this.#failed.clear()
    const channels = this.#slice()
    for (const channel of channels) this.#behind.add(channel)
    this.#run()
    return channels
  }

  /** The next of the round; begins another when all have had their turn. */
  #slice(): readonly string[] {
    const channels: string[] = []
    const count = Math.ceil(this.#channels.size / ROUND_TICKS)
    for (let i = 0; i < count; i++) {
      this.#round ??= this.#channels.keys()
      const { value, done } = this.#round.next()
      if (done === true) this.#round = undefined
      else channels.push(value)
    }
    return channels
  }

  #catchUp(channel: string): void {
    this.#behind.add(channel)
    this.#run()
  }

  #run(): void {
    while (this.#runners < Math.min(RUNNERS, this.#behind.size)) {
      this.#runners++
      void this.#work()
    }
  }

  async #work(): Promise<void> {
    for (const channel of this.#behind) {
      this.#behind.delete(channel)
      await this.#makeUp(channel)
    }
    this.#runners--
  }

  async #makeUp(channel: string): Promise<void> {
    const followed = this.#channels.get(channel)
    // One that is catching up, or starting, asks for the rest itself.
    if (followed?.position === undefined || followed.catchingUp) return
    followed.catchingUp = true
    try {
      while (await this.#readOn(channel, followed)) {
        // Until there is no more.
      }
    } catch {
      // The store tells its own log why it is away.
      this.#failed.add(channel)
    }
    followed.catchingUp = false
    if (this.#channels.get(channel) === followed) this.#replay(channel, followed)
  }

  /** Whether there is more. */
  async #readOn(channel: string, followed: Followed): Promise<boolean> {
    const { listener, read } = this.#options
    const since = followed.position!
    const { epoch, offset, publications, complete } = await read(channel, since)
    if (this.#channels.get(channel) !== followed) return false
    if (!complete || epoch !== since.epoch) {
      followed.position = { epoch, offset }
      listener.lost(channel)
      return false
    }
    for (const publication of publications) {
      followed.position = { epoch, offset: publication.offset }
      listener.publication(channel, epoch, publication)
    }
    return publications.length > 0 && publications.at(-1)!.offset < offset
  }

  #replay(channel: string, followed: Followed): void {
    const { early, missed } = followed
    followed.early = []
    followed.missed = false
    for (const heard of early) {
      if (this.#take(channel, followed, heard)) continue
      this.#catchUp(channel)
      return
    }
    if (missed) this.#catchUp(channel)
  }

  /** False: something is missing before it. */
  #take(channel: string, followed: Followed, { epoch, publication }: Heard): boolean {
    const { position } = followed
    if (position === undefined || position.epoch !== epoch) return false
    const { offset } = publication
    if (offset <= position.offset) return true
    if (offset !== position.offset + 1) return false
    followed.position = { epoch, offset }
    this.#options.listener.publication(channel, epoch, publication)
    return true
  }
}

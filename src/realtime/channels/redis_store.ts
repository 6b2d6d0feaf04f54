import { MOVE_CURSORS, PUBLISH_TO_CHANNEL, READ_CHANNEL, READ_CURSOR } from "../../store/channel_scripts.ts"
import { KEEP_TEXT, PUSH_TEXT, READ_TEXTS, TAKE_TEXT, TELL } from "../../store/kept_scripts.ts"
import { ENTER_CHANNEL, LEAVE_CHANNEL, READ_MEMBERS } from "../../store/presence_scripts.ts"
import type { Script } from "../../store/redis.ts"
import type { RedisSubscriber, SubscriberDeps } from "../../store/redis_subscriber.ts"
import { ChannelRedis, type ChannelRedisOptions, toPublisher } from "./channel_redis.ts"
import {
  type ChannelListener,
  type ChannelStore,
  ChannelStoreError,
  CURSOR_MS,
  type Cursor,
  type DeadLetter,
  type History,
  IDEMPOTENCY_MS,
  MAX_DEAD_LETTERS,
  type Published,
  type PublishRequest,
  type Retention,
  type StoredPublication,
} from "./channel_store.ts"
import { FanOut, type Heard } from "./fan_out.ts"
import type { Member, Position } from "./protocol.ts"
import { RedisCursors } from "./redis_cursors.ts"

/** All that channels ask of Redis. */
export const CHANNEL_SCRIPTS: readonly Script[] = [
  PUBLISH_TO_CHANNEL,
  READ_CHANNEL,
  READ_CURSOR,
  MOVE_CURSORS,
  ENTER_CHANNEL,
  LEAVE_CHANNEL,
  READ_MEMBERS,
  PUSH_TEXT,
  READ_TEXTS,
  KEEP_TEXT,
  TAKE_TEXT,
  TELL,
]

export interface RedisStoreOptions extends ChannelRedisOptions {
  /** Opens the connection by which it hears of channels; closed here. */
  readonly subscribe: (deps: Pick<SubscriberDeps, "onMessage" | "onResumed">) => RedisSubscriber
}

const TICK_MS = 1000
/** Words to itself that may go unheard before the connection they come by is given up. */
const MAX_UNHEARD = 3
const PAGE = 500
/** Channels asked for at a time, of those whose turn it is. */
const AT_ONCE = 32
/** Longest wait for Redis when it is opened. */
const LONGEST_LOOK_MS = 1000
/** Members told of in one call. */
const MEMBERS_PAGE = 200
/** Lists of dead letters nothing was put on go. */
const LETTERS_MS = 30 * 24 * 3_600_000

/** Leaves to publications what they are kept by. */
const AS_KEPT: Retention = { size: -1, ttlMs: 0 }

/**
 * Channels in a Redis, for all gateways that use it. What it keeps is what Redis keeps: after the loss of all there is
 * a new epoch, after the loss of the last writes too, up to which older positions are still good.
 */
export class RedisChannelStore implements ChannelStore {
  readonly #options: RedisStoreOptions
  readonly #channels: ChannelRedis
  readonly #cursors: RedisCursors
  /** Name this gateway hears itself under. */
  readonly #own: string
  #fanOut: FanOut | undefined
  #listener: ChannelListener | undefined
  #subscriber: RedisSubscriber | undefined
  readonly #listening = new Map<string, Promise<void>>()
  #unheard = 0
  #cancel = (): void => {}

  constructor(options: RedisStoreOptions) {
    this.#options = options
    this.#channels = new ChannelRedis(options)
    this.#cursors = new RedisCursors({ ...options, channels: this.#channels })
    this.#own = `${options.redis.prefix}:gateway:${options.newId()}`
  }

  /** Waits a second at most for Redis, and goes on without it. */
  async open(listener: ChannelListener): Promise<void> {
    const resumed = Promise.withResolvers<void>()
    this.#listener = listener
    const fanOut = new FanOut({
      listener,
      read: (channel, since) => this.#channels.page(channel, since, since === undefined ? 0 : PAGE, AS_KEPT),
    })
    this.#fanOut = fanOut
    this.#subscriber = this.#options.subscribe({
      onMessage: (name, text) => this.#heard(name, text),
      onResumed: () => {
        this.#unheard = 0
        fanOut.resume()
        resumed.resolve()
      },
    })
    // Without a connection yet it is subscribed to as soon as there is one.
    this.#subscriber.subscribe(this.#own).catch(() => {})
    this.#tickSoon()
    const cancel = this.#options.after(LONGEST_LOOK_MS, resumed.resolve)
    await resumed.promise
    cancel()
  }

  async publish(
    channel: string,
    { data, publisher, key }: PublishRequest,
    { size, ttlMs }: Retention,
  ): Promise<Published> {
    const keys = [
      ...this.#channels.keys(channel, "state", "log"),
      ...(key === undefined ? [] : this.#channels.keys(channel, `key:${key}`)),
    ]
    const [epoch, offset, duplicate] = (await this.#channels.ask(PUBLISH_TO_CHANNEL, keys, [
      this.#options.newId(),
      CURSOR_MS,
      this.#channels.name(channel),
      data,
      publisher === undefined ? "" : JSON.stringify(publisher),
      size,
      ttlMs,
      IDEMPOTENCY_MS,
    ])) as [string, number, number]
    return { epoch, offset, duplicate: duplicate === 1 }
  }

  async history(
    channel: string,
    since: Position | undefined,
    limit: number,
    retention: Retention,
    bytes = Number.POSITIVE_INFINITY,
  ): Promise<History> {
    // The newest ones are the last of them.
    const most = since === undefined ? Number.POSITIVE_INFINITY : bytes
    let page = await this.#channels.page(channel, since, limit, retention, most)
    let { publications, complete } = page
    const { epoch, known } = page
    // Large ones come some at a time.
    while (publications.length > 0 && publications.length < limit && bytesOf(publications) < most) {
      const { offset } = publications.at(-1)!
      if (offset >= page.offset) break
      page = await this.#channels.page(
        channel,
        { epoch: page.epoch, offset },
        limit - publications.length,
        retention,
      )
      // What was read meanwhile may have gone meanwhile.
      publications = page.complete ? [...publications, ...page.publications] : page.publications
      complete &&= page.complete
      if (page.publications.length === 0) break
    }
    // A position of the epoch before is known in the next one only if it was asked for there.
    return {
      epoch: page.epoch,
      offset: page.offset,
      publications,
      complete,
      known: known && (page.epoch === epoch || complete),
    }
  }

  listen(channel: string): Promise<void> {
    let listening = this.#listening.get(channel)
    if (listening === undefined) {
      const begun = this.#listen(channel)
      listening = begun
      this.#listening.set(channel, begun)
      begun.catch(() => {
        if (this.#listening.get(channel) === begun) void this.unlisten(channel)
      })
    }
    return listening
  }

  async unlisten(channel: string): Promise<void> {
    if (!this.#listening.delete(channel)) return
    this.#fanOut?.unfollow(channel)
    this.#subscriber?.unsubscribe(this.#channels.name(channel))
  }

  async enter(channel: string, member: Member, ttlMs: number, announce: boolean): Promise<void> {
    await this.#enter(channel, [member], ttlMs, announce ? "1" : "0")
  }

  async refresh(channel: string, members: readonly Member[], ttlMs: number): Promise<void> {
    for (let i = 0; i < members.length; i += MEMBERS_PAGE)
      await this.#enter(channel, members.slice(i, i + MEMBERS_PAGE), ttlMs, "-")
  }

  async leave(channel: string, { client }: Member, announce: boolean): Promise<void> {
    await this.#channels.ask(LEAVE_CHANNEL, this.#channels.keys(channel, "until", "order", "members"), [
      this.#channels.name(channel),
      client,
      announce ? "1" : "0",
    ])
  }

  async members(channel: string, limit: number): Promise<readonly Member[]> {
    const texts = await this.#channels.ask(
      READ_MEMBERS,
      this.#channels.keys(channel, "until", "order", "members"),
      [this.#channels.name(channel), limit],
    )
    return (texts as string[]).map((text) => JSON.parse(text) as Member)
  }

  cursor(channel: string, subscriber: string): Promise<Cursor | undefined> {
    return this.#cursors.cursor(channel, subscriber)
  }

  acknowledge(channel: string, subscriber: string, position: Position): Promise<Cursor> {
    return this.#cursors.acknowledge(channel, subscriber, position)
  }

  attempted(channel: string, subscriber: string): Promise<Cursor | undefined> {
    return this.#cursors.attempted(channel, subscriber)
  }

  async bury(letter: DeadLetter): Promise<void> {
    const text = JSON.stringify(letter)
    await this.#channels.ask(PUSH_TEXT, this.#channels.keys(letter.channel, "letters"), [
      text,
      MAX_DEAD_LETTERS,
      LETTERS_MS,
    ])
  }

  async deadLetters(channel: string, limit: number): Promise<readonly DeadLetter[]> {
    const texts = await this.#channels.ask(READ_TEXTS, this.#channels.keys(channel, "letters"), [limit])
    return (texts as string[]).map((text) => {
      const letter = JSON.parse(text) as DeadLetter
      return { ...letter, publisher: letter.publisher }
    })
  }

  async keep(key: string, text: string, ttlMs: number): Promise<void> {
    await this.#channels.ask(KEEP_TEXT, [this.#channels.kept(key)], [text, Math.ceil(ttlMs)])
  }

  async take(key: string): Promise<string | undefined> {
    return (
      ((await this.#channels.ask(TAKE_TEXT, [this.#channels.kept(key)], [])) as string | null) ?? undefined
    )
  }

  async close(): Promise<void> {
    this.#cancel()
    this.#cancel = () => {}
    this.#cursors.flush()
    this.#subscriber?.close()
    this.#listening.clear()
  }

  async #listen(channel: string): Promise<void> {
    const fanOut = this.#fanOut!
    const followed = fanOut.follow(channel)
    await this.#channels.inTime(this.#subscriber!.subscribe(this.#channels.name(channel)))
    await fanOut.start(channel, followed)
  }

  #heard(name: string, text: string): void {
    if (name === this.#own) {
      this.#unheard = 0
      return
    }
    const channel = this.#channels.channelOf(name)
    const kind = text.slice(0, text.indexOf("\n"))
    const rest = text.slice(kind.length + 1)
    if (kind === "publication") this.#fanOut!.heard(channel, toHeard(rest))
    else if (!this.#fanOut!.has(channel)) return
    else if (kind === "joined") this.#listener!.joined(channel, JSON.parse(rest) as Member)
    else if (kind === "left") this.#listener!.left(channel, JSON.parse(rest) as Member)
  }

  #tickSoon(): void {
    this.#cancel = this.#options.after(TICK_MS, async () => {
      const cancel = this.#cancel
      await this.#tick()
      // Unless it was closed meanwhile.
      if (this.#cancel === cancel) this.#tickSoon()
    })
  }

  /** Never rejects. */
  async #tick(): Promise<void> {
    const channels = this.#fanOut!.tick()
    try {
      await this.#channels.ask(TELL, [this.#own], [""])
      // It was told: who does not hear it is connected to a server that is no master any more, or to nothing.
      if (++this.#unheard > MAX_UNHEARD) {
        this.#unheard = 0
        this.#subscriber!.reconnect()
      }
      // Those of gateways that died leave.
      for (let i = 0; i < channels.length; i += AT_ONCE)
        await Promise.all(channels.slice(i, i + AT_ONCE).map((channel) => this.members(channel, 0)))
    } catch (error) {
      // Redis tells the log why it is away, and the next tick tries again.
      if (!(error instanceof ChannelStoreError)) throw error
    }
  }

  async #enter(channel: string, members: readonly Member[], ttlMs: number, how: string): Promise<void> {
    const texts = members.flatMap((member) => [member.client, JSON.stringify(member)])
    const args = [this.#channels.name(channel), Math.ceil(ttlMs), how, ...texts]
    await this.#channels.ask(ENTER_CHANNEL, this.#channels.keys(channel, "until", "order", "members"), args)
  }
}

const bytesOf = (publications: readonly StoredPublication[]): number =>
  publications.reduce((sum, { data }) => sum + data.length, 0)

/** From epoch, offset and publisher, a line each, and data. */
function toHeard(text: string): Heard {
  const epochEnd = text.indexOf("\n")
  const offsetEnd = text.indexOf("\n", epochEnd + 1)
  const publisherEnd = text.indexOf("\n", offsetEnd + 1)
  return {
    epoch: text.slice(0, epochEnd),
    publication: {
      offset: Number(text.slice(epochEnd + 1, offsetEnd)),
      publisher: toPublisher(text.slice(offsetEnd + 1, publisherEnd)),
      data: text.slice(publisherEnd + 1),
    },
  }
}

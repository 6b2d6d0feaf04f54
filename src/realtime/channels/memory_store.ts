import { BoundedMap } from "../../lib/bounded_map.ts"
import type { Clock } from "../../lib/clock.ts"
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
import type { Member, Position } from "./protocol.ts"
import { PublicationLog } from "./publication_log.ts"

export interface MemoryStoreOptions {
  readonly now: Clock
  /** A word nobody has used before. */
  readonly newId: () => string
  /** Channels at a time; beyond, those nobody listens to go, the least recently used first. */
  readonly maxChannels: number
  /** Of all that is kept of publications; beyond, the oldest of the least recently used channels go. */
  readonly maxBytes: number
}

/** What is remembered beside the channels; the oldest go first. */
const MAX_KEYS = 200_000
const MAX_CURSORS = 500_000
const MAX_KEPT = 100_000
const MAX_LETTER_BYTES = 64 * 1024 * 1024
/** Bytes an entry costs beside its data, roughly. */
const ENTRY_BYTES = 120

interface Channel {
  readonly epoch: string
  readonly log: PublicationLog
  listening: boolean
  readonly members: Map<string, Present>
}

interface Present {
  readonly member: Member
  readonly announced: boolean
  until: number
}

/** Channels of one process, in its memory: they end with it. Call `sweep` about once a second. */
export class MemoryChannelStore implements ChannelStore {
  readonly #options: MemoryStoreOptions
  /** The least recently used first. */
  readonly #channels = new Map<string, Channel>()
  /** Channels with members. */
  readonly #peopled = new Set<string>()
  readonly #keys = new BoundedMap<{ readonly published: Published; readonly until: number }>(MAX_KEYS)
  readonly #cursors = new BoundedMap<{ readonly cursor: Cursor; readonly until: number }>(MAX_CURSORS)
  readonly #letters = new BoundedMap<readonly DeadLetter[]>(MAX_KEYS, MAX_LETTER_BYTES)
  readonly #kept = new BoundedMap<{ readonly text: string; readonly until: number }>(MAX_KEPT)
  #listener: ChannelListener | undefined
  #bytes = 0

  constructor(options: MemoryStoreOptions) {
    this.#options = options
  }

  get channels(): number {
    return this.#channels.size
  }

  /** Of publications kept. */
  get bytes(): number {
    return this.#bytes
  }

  async open(listener: ChannelListener): Promise<void> {
    this.#listener = listener
  }

  async publish(channel: string, request: PublishRequest, retention: Retention): Promise<Published> {
    const now = this.#options.now()
    const key = request.key === undefined ? undefined : `${channel}\n${request.key}`
    const known = key === undefined ? undefined : this.#keys.get(key)
    if (known !== undefined && known.until > now) return known.published
    const found = this.#use(channel)
    const { data, publisher } = request
    const publication: StoredPublication = { offset: found.log.offset + 1, data, publisher }
    this.#bytes += found.log.append(publication, now, ENTRY_BYTES + data.length)
    this.#bytes -= found.log.trim(retention.size, now - retention.ttlMs)
    if (this.#bytes > this.#options.maxBytes) this.#makeRoom()
    const { epoch } = found
    const { offset } = publication
    if (key !== undefined)
      this.#keys.set(key, { published: { epoch, offset, duplicate: true }, until: now + IDEMPOTENCY_MS })
    if (found.listening) this.#listener?.publication(channel, epoch, publication)
    return { epoch, offset, duplicate: false }
  }

  async history(
    channel: string,
    since: Position | undefined,
    limit: number,
    retention: Retention,
  ): Promise<History> {
    const { epoch, log } = this.#use(channel)
    this.#bytes -= log.trim(retention.size, this.#options.now() - retention.ttlMs)
    const { offset } = log
    if (since === undefined)
      return {
        epoch,
        offset,
        publications: log.after(Math.max(0, offset - limit), limit),
        complete: true,
        known: false,
      }
    if (since.epoch !== epoch || since.offset > offset)
      return { epoch, offset, publications: [], complete: false, known: false }
    return {
      epoch,
      offset,
      publications: log.after(since.offset, limit),
      complete: since.offset + 1 >= log.first,
      known: true,
    }
  }

  async listen(channel: string): Promise<void> {
    this.#use(channel).listening = true
  }

  async unlisten(channel: string): Promise<void> {
    const found = this.#channels.get(channel)
    if (found !== undefined) found.listening = false
  }

  async enter(channel: string, member: Member, ttlMs: number, announce: boolean): Promise<void> {
    const found = this.#use(channel)
    const fresh = !found.members.has(member.client)
    found.members.set(member.client, { member, announced: announce, until: this.#options.now() + ttlMs })
    this.#peopled.add(channel)
    if (fresh && announce && found.listening) this.#listener?.joined(channel, member)
  }

  async refresh(channel: string, members: readonly Member[], ttlMs: number): Promise<void> {
    const found = this.#use(channel)
    const until = this.#options.now() + ttlMs
    for (const member of members) {
      const present = found.members.get(member.client)
      if (present === undefined) found.members.set(member.client, { member, announced: false, until })
      else present.until = until
    }
    if (found.members.size > 0) this.#peopled.add(channel)
  }

  async leave(channel: string, member: Member, announce: boolean): Promise<void> {
    const found = this.#channels.get(channel)
    if (found?.members.delete(member.client) !== true) return
    if (found.members.size === 0) this.#peopled.delete(channel)
    if (announce && found.listening) this.#listener?.left(channel, member)
  }

  async members(channel: string, limit: number): Promise<readonly Member[]> {
    const now = this.#options.now()
    const members: Member[] = []
    for (const { member, until } of this.#channels.get(channel)?.members.values() ?? []) {
      if (members.length >= limit) break
      if (until > now) members.push(member)
    }
    return members
  }

  async cursor(channel: string, subscriber: string): Promise<Cursor | undefined> {
    return this.#cursor(channel, subscriber)
  }

  async acknowledge(channel: string, subscriber: string, position: Position): Promise<Cursor> {
    const known = this.#cursor(channel, subscriber)
    if (known !== undefined && known.epoch === position.epoch && known.offset >= position.offset) return known
    return this.#setCursor(channel, subscriber, { ...position, attempts: 0 })
  }

  async attempted(channel: string, subscriber: string): Promise<Cursor | undefined> {
    const known = this.#cursor(channel, subscriber)
    return known && this.#setCursor(channel, subscriber, { ...known, attempts: known.attempts + 1 })
  }

  async bury(letter: DeadLetter): Promise<void> {
    const letters = [...(this.#letters.get(letter.channel) ?? []), letter].slice(-MAX_DEAD_LETTERS)
    const bytes = letters.reduce((sum, { data }) => sum + data.length + ENTRY_BYTES, 0)
    this.#letters.set(letter.channel, letters, bytes)
  }

  async deadLetters(channel: string, limit: number): Promise<readonly DeadLetter[]> {
    return (this.#letters.get(channel) ?? []).slice(-limit).reverse()
  }

  async keep(key: string, text: string, ttlMs: number): Promise<void> {
    this.#kept.set(key, { text, until: this.#options.now() + ttlMs })
  }

  async take(key: string): Promise<string | undefined> {
    const kept = this.#kept.get(key)
    this.#kept.delete(key)
    return kept !== undefined && kept.until > this.#options.now() ? kept.text : undefined
  }

  async close(): Promise<void> {
    this.#channels.clear()
    this.#peopled.clear()
    this.#bytes = 0
  }

  /** Members whose time is over leave. */
  sweep(): void {
    const now = this.#options.now()
    for (const channel of this.#peopled) {
      const found = this.#channels.get(channel)!
      for (const { member, announced, until } of found.members.values()) {
        if (until > now) continue
        found.members.delete(member.client)
        if (announced && found.listening) this.#listener?.left(channel, member)
      }
      if (found.members.size === 0) this.#peopled.delete(channel)
    }
  }

  #cursor(channel: string, subscriber: string): Cursor | undefined {
    const known = this.#cursors.get(`${channel}\n${subscriber}`)
    return known !== undefined && known.until > this.#options.now() ? known.cursor : undefined
  }

  #setCursor(channel: string, subscriber: string, cursor: Cursor): Cursor {
    this.#cursors.set(`${channel}\n${subscriber}`, { cursor, until: this.#options.now() + CURSOR_MS })
    return cursor
  }

  #use(channel: string): Channel {
    let found = this.#channels.get(channel)
    if (found === undefined) {
      if (this.#channels.size >= this.#options.maxChannels) this.#evict()
      found = {
        epoch: this.#options.newId(),
        log: new PublicationLog(),
        listening: false,
        members: new Map(),
      }
    } else this.#channels.delete(channel)
    this.#channels.set(channel, found)
    return found
  }

  #evict(): void {
    for (const [name, { log, listening, members }] of this.#channels) {
      if (listening || members.size > 0) continue
      this.#bytes -= log.trim(0, Number.POSITIVE_INFINITY)
      this.#channels.delete(name)
      return
    }
    throw new ChannelStoreError(`keeping channels: all ${this.#channels.size} there may be are in use`)
  }

  #makeRoom(): void {
    for (const { log } of this.#channels.values()) {
      while (this.#bytes > this.#options.maxBytes && log.size > 0)
        this.#bytes -= log.trim(Math.floor(log.size / 2), Number.NEGATIVE_INFINITY)
      if (this.#bytes <= this.#options.maxBytes) return
    }
  }
}

import type { Clock } from "../../lib/clock.ts"
import type { Log } from "../../observe/log.ts"
import { Attendance } from "./attendance.ts"
import {
  type ChannelListener,
  type ChannelStore,
  ChannelStoreError,
  type Cursor,
  type StoredPublication,
} from "./channel_store.ts"
import { ConnectionCounts } from "./connection_counts.ts"
import type {
  AckedSubscriber,
  ChannelAnswer,
  ChannelQuestion,
  Found,
  HubAnswer,
  HubAnswers,
  HubCommand,
  HubEvent,
  PublicationText,
  Redelivery,
  Subscribed,
} from "./hub_messages.ts"
import { Listeners } from "./listeners.ts"
import { CLOSE_CODES, type Member, type Position } from "./protocol.ts"
import { Tickets } from "./tickets.ts"

export type PublicationResult = "accepted" | "duplicate" | "failed"

export interface HubOptions {
  readonly store: ChannelStore
  readonly now: Clock
  readonly wallClock: () => number
  /** A word nobody can guess. */
  readonly newId: () => string
  /** Runs something soon, after what is under way. */
  readonly soon: (run: () => void) => void
  readonly log: Log
  readonly onPublished: (namespace: string, result: PublicationResult) => void
  readonly onRedelivered: (namespace: string) => void
  readonly onBuried: (namespace: string, reason: "max_deliveries" | "gone") => void
  /** `code`: a known close code, or "other", as clients choose theirs. */
  readonly onClosed: (code: string) => void
}

type Of<D extends HubCommand["do"]> = Extract<HubCommand, { do: D }>

/**
 * The one place of a gateway that channels pass through: workers ask it, it asks the store, and what the store tells
 * goes to the workers that have subscribers. The order of a channel is the store's, so it is one order for everybody.
 */
export class Hub implements ChannelListener {
  readonly #options: HubOptions
  readonly #listeners: Listeners
  readonly #attendance: Attendance
  readonly #tickets: Tickets
  readonly #connections = new ConnectionCounts()
  /** What workers are to be told, by their number. */
  readonly #pending = new Map<number, HubEvent[]>()
  #tell: (worker: number, events: readonly HubEvent[]) => void = () => {}

  constructor(options: HubOptions) {
    this.#options = options
    const { store } = options
    this.#listeners = new Listeners(store, options.now)
    this.#attendance = new Attendance(store, options.now)
    this.#tickets = new Tickets(store, options.newId)
  }

  /** Connections open now. */
  get connections(): number {
    return this.#connections.size
  }

  /** Channels some worker hears of. */
  get channels(): number {
    return this.#listeners.size
  }

  async open(): Promise<void> {
    await this.#options.store.open(this)
  }

  /** `tell` gets what a worker must hear. */
  onEvents(tell: (worker: number, events: readonly HubEvent[]) => void): void {
    this.#tell = tell
  }

  /** Never rejects. */
  async answer({ worker, commands }: ChannelQuestion): Promise<ChannelAnswer> {
    const answers = await Promise.all(commands.map((command) => this.#answerOne(worker, command)))
    return { kind: "channels", answers }
  }

  /** A worker has died, and its connections with it. */
  lostWorker(worker: number): void {
    this.#listeners.lost(worker)
    this.#connections.lost(worker)
    this.#pending.delete(worker)
    void this.#quietly(this.#attendance.lost(worker))
  }

  /** Call about once a second. */
  tick(): void {
    void this.#quietly(this.#listeners.tick())
    void this.#quietly(this.#attendance.tick())
  }

  async close(): Promise<void> {
    await this.#options.store.close()
  }

  publication(channel: string, epoch: string, publication: StoredPublication): void {
    this.#broadcast(channel, {
      type: "publication",
      channel,
      epoch,
      offset: publication.offset,
      text: textOf(publication),
    })
  }

  joined(channel: string, member: Member): void {
    this.#broadcast(channel, { type: "join", channel, member })
  }

  left(channel: string, member: Member): void {
    this.#broadcast(channel, { type: "leave", channel, member })
  }

  lost(channel: string): void {
    this.#broadcast(channel, { type: "lost", channel })
  }

  #broadcast(channel: string, event: HubEvent): void {
    for (const worker of this.#listeners.of(channel)) {
      const events = this.#pending.get(worker)
      if (events !== undefined) events.push(event)
      else {
        this.#pending.set(worker, [event])
        this.#options.soon(() => this.#flush(worker))
      }
    }
  }

  #flush(worker: number): void {
    const events = this.#pending.get(worker)
    this.#pending.delete(worker)
    if (events !== undefined) this.#tell(worker, events)
  }

  async #answerOne(worker: number, command: HubCommand): Promise<HubAnswer> {
    try {
      return { ok: true, value: await this.#do(worker, command) }
    } catch (error) {
      if (command.do === "publish") this.#options.onPublished(command.namespace, "failed")
      // The store tells its own log why it is away.
      if (!(error instanceof ChannelStoreError)) this.#options.log.error("realtime.fault", { error })
      return { ok: false }
    }
  }

  #do(
    worker: number,
    command: HubCommand,
  ): Promise<HubAnswers[HubCommand["do"]]> | HubAnswers["open"] | undefined {
    const { store } = this.#options
    switch (command.do) {
      case "publish":
        return this.#publish(command)
      case "subscribe":
        return this.#subscribe(worker, command)
      case "unlisten":
        this.#listeners.remove(command.channel, worker)
        return undefined
      case "history":
        return this.#history(command)
      case "enter":
        return this.#attendance.enter(worker, command.channel, command.member, command.announce)
      case "leave":
        return this.#attendance.leave(command.channel, command.member.client)
      case "members":
        return store.members(command.channel, command.limit)
      case "ack":
        return store.acknowledge(command.channel, command.subscriber, command.position)
      case "redeliver":
        return this.#redeliver(command)
      case "dead_letters":
        return store.deadLetters(command.channel, command.limit)
      case "open":
        return this.#connections.open(worker, command)
      case "close":
        if (this.#connections.close(command.client)) this.#options.onClosed(closeLabel(command.code))
        void this.#quietly(this.#attendance.gone(command.client))
        return undefined
      case "issue_ticket":
        return this.#tickets.issue(command.principal, command.ttlMs)
      case "take_ticket":
        return this.#tickets.take(command.ticket)
    }
  }

  async #publish({ channel, namespace, request, retention }: Of<"publish">): Promise<HubAnswers["publish"]> {
    const published = await this.#options.store.publish(channel, request, retention)
    this.#options.onPublished(namespace, published.duplicate ? "duplicate" : "accepted")
    return published
  }

  async #history({ channel, since, limit, retention }: Omit<Of<"history">, "do">): Promise<Found> {
    const { epoch, offset, publications, complete } = await this.#options.store.history(
      channel,
      since,
      limit,
      retention,
    )
    return {
      position: { epoch, offset },
      first: publications[0]?.offset ?? 0,
      publications: publications.map(textOf),
      complete,
    }
  }

  async #subscribe(worker: number, command: Of<"subscribe">): Promise<Subscribed> {
    // First: what is published while history is read must be heard of.
    await this.#listeners.add(command.channel, worker)
    const { since, acked, ...rest } = command
    if (acked !== undefined) return this.#subscribeAcked(command, acked)
    if (since === undefined) {
      const found = await this.#history({ ...rest, since, limit: 1 })
      return { ...found, first: 0, publications: [], cursor: undefined, recovered: false }
    }
    const found = await this.#history({ ...rest, since })
    if (found.complete) return { ...found, cursor: undefined, recovered: true }
    return { ...found, first: 0, publications: [], cursor: undefined, recovered: false }
  }

  /** Goes on from the last acknowledgement, wherever that was; a subscriber nobody knows begins at `since`, or now. */
  async #subscribeAcked(command: Of<"subscribe">, acked: AckedSubscriber): Promise<Subscribed> {
    const { store } = this.#options
    const { channel } = command
    const known = await store.cursor(channel, acked.subscriber)
    const since = known ?? command.since
    const found = await this.#history({ ...command, since, ...(since === undefined && { limit: 1 }) })
    if (since !== undefined && found.complete) {
      const cursor = known ?? (await store.acknowledge(channel, acked.subscriber, since))
      return { ...found, cursor: positionOf(cursor), recovered: true }
    }
    const { position } = found
    if (since === undefined) {
      const cursor = await store.acknowledge(channel, acked.subscriber, position)
      return { ...found, first: 0, publications: [], cursor: positionOf(cursor), recovered: false }
    }
    const left = await this.#skipGone(command, acked.subscriber, since)
    return { ...left, recovered: false }
  }

  /** What the subscriber was to get next is gone: it goes on with the oldest there is. */
  async #skipGone(
    command: Pick<Of<"subscribe">, "channel" | "limit" | "retention">,
    subscriber: string,
    since: Position,
  ): Promise<Found & { readonly cursor: Position }> {
    const { store, wallClock, onBuried, log } = this.#options
    const { channel } = command
    const { epoch, offset } = (await this.#history({ ...command, since: undefined, limit: 1 })).position
    const start = { epoch, offset: 0 }
    const found = await this.#history({ ...command, since: start })
    const first = found.first === 0 ? offset + 1 : found.first
    await store.bury({
      channel,
      subscriber,
      epoch: since.epoch,
      offset: since.offset + 1,
      data: "",
      publisher: undefined,
      reason: "gone",
      at: wallClock(),
    })
    onBuried(channel.slice(0, channel.indexOf(":")), "gone")
    log.warn("realtime.gone", { channel, subscriber, offset: since.offset + 1, next: first })
    const cursor = await store.acknowledge(channel, subscriber, { epoch, offset: first - 1 })
    return { ...found, cursor: positionOf(cursor) }
  }

  async #redeliver(command: Of<"redeliver">): Promise<Redelivery | undefined> {
    const { store } = this.#options
    const { channel, acked } = command
    let cursor = await store.attempted(channel, acked.subscriber)
    if (cursor === undefined) return undefined
    if (cursor.attempts > acked.maxDeliveries) cursor = await this.#bury(command, cursor)
    const since = positionOf(cursor)
    const found = await this.#history({ ...command, since })
    if (!found.complete) return { ...(await this.#skipGone(command, acked.subscriber, since)), attempts: 1 }
    this.#options.onRedelivered(command.namespace)
    return { ...found, cursor: since, attempts: cursor.attempts }
  }

  /** Puts the first publication that was not acknowledged aside, so that those behind it get their turn. */
  async #bury(command: Of<"redeliver">, { epoch, offset }: Cursor): Promise<Cursor> {
    const { store, wallClock, onBuried, log } = this.#options
    const { channel, acked, namespace, retention } = command
    const { subscriber } = acked
    const { publications } = await store.history(channel, { epoch, offset }, 1, retention)
    const [publication] = publications
    if (publication?.offset === offset + 1) {
      const { data, publisher } = publication
      await store.bury({
        channel,
        subscriber,
        epoch,
        offset: offset + 1,
        data,
        publisher,
        reason: "max_deliveries",
        at: wallClock(),
      })
      onBuried(namespace, "max_deliveries")
      log.warn("realtime.dead_letter", { channel, subscriber, offset: offset + 1 })
    }
    return store.acknowledge(channel, subscriber, { epoch, offset: offset + 1 })
  }

  async #quietly(work: Promise<unknown>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (!(error instanceof ChannelStoreError)) this.#options.log.error("realtime.fault", { error })
    }
  }
}

const positionOf = ({ epoch, offset }: Position): Position => ({ epoch, offset })

/** Codes of RFC 6455 that are common: a normal end, going away, none sent, no close frame, a message too big. */
const COMMON_CODES: readonly number[] = [1000, 1001, 1005, 1006, 1009]

const closeLabel = (code: number): string =>
  code in CLOSE_CODES || COMMON_CODES.includes(code) ? `${code}` : "other"

function textOf({ offset, data, publisher }: StoredPublication): PublicationText {
  const from = publisher === undefined ? "" : `,"publisher":${JSON.stringify(publisher)}`
  return `{"offset":${offset},"data":${data}${from}}`
}

import type { Clock } from "../../lib/clock.ts"
import type { Log } from "../../observe/log.ts"
import { Attendance } from "./attendance.ts"
import {
  type ChannelListener,
  type ChannelStore,
  ChannelStoreError,
  type StoredPublication,
} from "./channel_store.ts"
import { ConnectionCounts } from "./connection_counts.ts"
import { ForwardQueue, type ForwardQueueOptions } from "./forward_queue.ts"
import type {
  ChannelAnswer,
  ChannelCount,
  ChannelQuery,
  ChannelQuestion,
  HubAnswer,
  HubAnswers,
  HubCommand,
  HubEvent,
  Subscribed,
} from "./hub_messages.ts"
import { Listeners } from "./listeners.ts"
import { CLOSE_CODES, type Member } from "./protocol.ts"
import { Resumption, readHistory, textOf } from "./resumption.ts"
import { Survey } from "./survey.ts"
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
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly onForwarded: ForwardQueueOptions["onResult"]
  readonly onForwardQueued: ForwardQueueOptions["onQueued"]
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
  readonly #resumption: Resumption
  readonly #forwards: ForwardQueue
  readonly #survey: Survey
  /** Workers that have asked something. */
  readonly #workers = new Set<number>()
  readonly #connections = new ConnectionCounts()
  /** Subscriptions that begin, and all that began before them, by channel. */
  readonly #beginning = new Map<string, Promise<unknown>>()
  /** What workers are to be told, by their number. */
  readonly #pending = new Map<number, HubEvent[]>()
  #tell: (worker: number, events: readonly HubEvent[]) => void = () => {}

  constructor(options: HubOptions) {
    this.#options = options
    const { store } = options
    this.#listeners = new Listeners(store, options.now)
    this.#attendance = new Attendance(store, options.now)
    this.#tickets = new Tickets(store, options.newId)
    this.#forwards = new ForwardQueue({
      ...options,
      onResult: options.onForwarded,
      onQueued: options.onForwardQueued,
      send: (worker, event) => {
        const [other = worker] = this.#workers
        const sends = this.#workers.has(worker) ? worker : other
        this.#post(sends, event)
        return sends
      },
    })
    this.#survey = new Survey(options.now, (worker, event) => this.#post(worker, event))
    this.#resumption = new Resumption(options)
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

  /** Channels with subscribers at this gateway, by name. `undefined`: too many ask at once. */
  survey(query: ChannelQuery): Promise<readonly ChannelCount[]> | undefined {
    return this.#survey.ask(this.#workers, query)
  }

  /** Never rejects. */
  async answer({ worker, commands }: ChannelQuestion): Promise<ChannelAnswer> {
    this.#workers.add(worker)
    const answers = await Promise.all(commands.map((command) => this.#answerOne(worker, command)))
    return { kind: "channels", answers }
  }

  /** A worker has died, and its connections with it. */
  lostWorker(worker: number): void {
    this.#listeners.lost(worker)
    this.#connections.lost(worker)
    this.#workers.delete(worker)
    this.#forwards.lostWorker(worker)
    this.#survey.lostWorker(worker)
    this.#pending.delete(worker)
    void this.#quietly(this.#attendance.lost(worker))
  }

  /** Call about once a second. */
  tick(): void {
    this.#forwards.tick()
    this.#survey.tick()
    void this.#quietly(this.#listeners.tick())
    void this.#quietly(this.#attendance.tick())
  }

  async close(): Promise<void> {
    this.#forwards.close()
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
    for (const worker of this.#listeners.of(channel)) this.#post(worker, event)
  }

  #post(worker: number, event: HubEvent): void {
    const events = this.#pending.get(worker)
    if (events !== undefined) events.push(event)
    else {
      this.#pending.set(worker, [event])
      this.#options.soon(() => this.#flush(worker))
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
        return this.#publish(worker, command)
      case "forwarded":
        this.#forwards.settled(command.id, command.outcome)
        return undefined
      case "surveyed":
        this.#survey.answered(worker, command.id, command.counts)
        return undefined
      case "drain_forwards":
        return this.#forwards.drain(command.withinMs) as Promise<undefined>
      case "subscribe":
        return this.#subscribe(worker, command)
      case "unlisten":
        this.#listeners.remove(command.channel, worker)
        return undefined
      case "history":
        return readHistory(store, command)
      case "enter":
        return this.#attendance.enter(worker, command.channel, command.member, command.announce)
      case "leave":
        return this.#attendance.leave(command.channel, command.member.client)
      case "members":
        return store.members(command.channel, command.limit)
      case "ack":
        return store.acknowledge(command.channel, command.subscriber, command.position)
      case "redeliver":
        return this.#resumption.redeliver(command)
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

  async #publish(worker: number, command: Of<"publish">): Promise<HubAnswers["publish"]> {
    const { channel, namespace, request, retention, forward } = command
    // Who has asked to subscribe and then publishes hears itself.
    const before = this.#beginning.get(channel)
    if (before !== undefined) await before
    const published = await this.#options.store.publish(channel, request, retention)
    const { duplicate, epoch, offset } = published
    this.#options.onPublished(namespace, duplicate ? "duplicate" : "accepted")
    if (forward !== undefined && !duplicate)
      this.#forwards.add({ namespace, channel, epoch, offset, data: request.data, order: forward }, worker)
    return published
  }

  #subscribe(worker: number, command: Of<"subscribe">): Promise<Subscribed> {
    const { channel } = command
    const begun = this.#begin(worker, command)
    const all = Promise.allSettled([this.#beginning.get(channel), begun])
    this.#beginning.set(channel, all)
    void all.then(() => {
      if (this.#beginning.get(channel) === all) this.#beginning.delete(channel)
    })
    return begun
  }

  async #begin(worker: number, command: Of<"subscribe">): Promise<Subscribed> {
    // First: what is published while history is read must be heard of.
    await this.#listeners.add(command.channel, worker)
    return this.#resumption.subscribe(command)
  }

  async #quietly(work: Promise<unknown>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (!(error instanceof ChannelStoreError)) this.#options.log.error("realtime.fault", { error })
    }
  }
}

/** Codes of RFC 6455 that are common: a normal end, going away, none sent, no close frame, a message too big. */
const COMMON_CODES: readonly number[] = [1000, 1001, 1005, 1006, 1009]

const closeLabel = (code: number): string =>
  code in CLOSE_CODES || COMMON_CODES.includes(code) ? `${code}` : "other"

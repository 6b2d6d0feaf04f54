import type { Clock } from "../../lib/clock.ts"
import { Deadlines } from "../../lib/deadlines.ts"
import type { Log } from "../../observe/log.ts"
import type { ForwardEvent, ForwardOrder, ForwardOutcome } from "./hub_messages.ts"

/**
 * What became of a message that a service should get. `retried`: an attempt failed, another follows. The rest are dead
 * letters: `refused` by the service, `expired` after `retry_for`, `full` queue, `lost` as the gateway ended.
 */
export type ForwardResult = "delivered" | "retried" | DeadForward
type DeadForward = "refused" | "expired" | "full" | "lost"

export interface ForwardQueueOptions {
  readonly now: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Log
  /** Has a worker, this one if it lives, ask the service, and tells which; `settled` is to be called with the outcome. */
  readonly send: (worker: number, event: ForwardEvent) => number
  readonly onResult: (namespace: string, result: ForwardResult) => void
  /** So many more (or less) wait, those being sent included. */
  readonly onQueued: (namespace: string, change: number) => void
}

/** A message of a channel, accepted by this gateway. */
export interface ForwardMessage {
  readonly namespace: string
  readonly channel: string
  readonly epoch: string
  readonly offset: number
  /** JSON text. */
  readonly data: string
  readonly order: ForwardOrder
}

interface Queued extends ForwardMessage {
  /** Which accepted it, and sends it while it lives. */
  readonly worker: number
  readonly acceptedAt: number
  readonly bytes: number
}

/** What waits of one channel, in order; the first is the one being sent. */
interface Line {
  readonly backlog: Backlog
  readonly channel: string
  readonly messages: Queued[]
  /** Attempts that failed since the last that did not. */
  failures: number
}

/** What waits of one namespace. */
interface Backlog {
  messages: number
  bytes: number
  /** Being sent now. */
  out: number
  /** Lines whose first message may be sent at once. */
  readonly ready: Set<Line>
}

interface Out {
  readonly line: Line
  readonly worker: number
  /** From then on no outcome is expected any more. */
  readonly until: number
}

/** Messages of one namespace, and of all, sent to services at a time. */
const MAX_OUT = 32
const MAX_OUT_TOGETHER = 256
/** Longer than a worker needs to tell an outcome after the service's time is over. */
const LEASE_MS = 10_000
/** Of a wait after a failed attempt: uniform below, doubled each time. */
const BACKOFF_MS = 1000
const MAX_BACKOFF_MS = 30_000
/** About what an entry takes beside its text. */
const ENTRY_BYTES = 512

/**
 * Messages on their way to services, in memory: in the order of each channel, one at a time, until the service has
 * taken or refused them or their time is over. Bounded by namespace; a message that finds its queue full is not sent.
 */
export class ForwardQueue {
  readonly #options: ForwardQueueOptions
  readonly #backlogs = new Map<string, Backlog>()
  /** By channel. */
  readonly #lines = new Map<string, Line>()
  readonly #out = new Map<number, Out>()
  readonly #waiting = new Deadlines<Line>()
  /** What is to be logged with the next tick, by namespace and reason. */
  readonly #dead = new Map<
    string,
    { readonly reason: DeadForward; readonly last: ForwardMessage; messages: number }
  >()
  #drains: { readonly until: number; readonly resolve: () => void }[] = []
  #lastId = 0

  constructor(options: ForwardQueueOptions) {
    this.#options = options
  }

  /** `worker`: which accepted it. Those of a channel must come in the order of their offsets. */
  add(message: ForwardMessage, worker: number): void {
    const { namespace, channel, order } = message
    const backlog = this.#backlog(namespace)
    const bytes = Buffer.byteLength(message.data) + ENTRY_BYTES
    if (backlog.messages >= order.maxMessages || backlog.bytes + bytes > order.maxBytes) {
      this.#died(message, "full")
      return
    }
    backlog.messages++
    backlog.bytes += bytes
    this.#options.onQueued(namespace, 1)
    const queued = { ...message, worker, acceptedAt: this.#options.now(), bytes }
    const line = this.#lines.get(channel)
    if (line !== undefined) line.messages.push(queued)
    else {
      const first: Line = { backlog, channel, messages: [queued], failures: 0 }
      this.#lines.set(channel, first)
      this.#start(first)
    }
  }

  /** What became of the attempt of this number; one that is not expected any more is ignored. */
  settled(id: number, outcome: ForwardOutcome): void {
    const out = this.#out.get(id)
    if (out === undefined) return
    this.#out.delete(id)
    const { line } = out
    line.backlog.out--
    const message = line.messages[0]!
    switch (outcome) {
      case "delivered":
        this.#options.onResult(message.namespace, "delivered")
        this.#next(line)
        break
      case "refused":
        this.#died(message, "refused")
        this.#next(line)
        break
      case "failed":
        this.#failed(line, message)
    }
    this.#fill()
  }

  /** What it was sending is sent again: nobody knows whether it arrived. */
  lostWorker(worker: number): void {
    // A copy: others are sent as soon as there is room.
    for (const [id, out] of [...this.#out]) if (out.worker === worker) this.settled(id, "failed")
  }

  /** Call about once a second. */
  tick(): void {
    const now = this.#options.now()
    for (const [id, out] of [...this.#out]) if (out.until <= now) this.settled(id, "failed")
    for (let line = this.#waiting.next(now); line !== undefined; line = this.#waiting.next(now))
      line.backlog.ready.add(line)
    this.#fill()
    this.#logDead()
    this.#drained((until) => until <= now)
  }

  /** Resolves when nothing waits any more, or after so many ms. */
  drain(withinMs: number): Promise<void> {
    if (this.#lines.size === 0) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#drains.push({ until: this.#options.now() + withinMs, resolve })
    return promise
  }

  /** What still waits is lost, and said to be. */
  close(): void {
    for (const line of this.#lines.values()) for (const message of line.messages) this.#died(message, "lost")
    this.#lines.clear()
    this.#logDead()
    this.#drained(() => true)
  }

  #backlog(namespace: string): Backlog {
    let backlog = this.#backlogs.get(namespace)
    if (backlog === undefined) {
      backlog = { messages: 0, bytes: 0, out: 0, ready: new Set() }
      this.#backlogs.set(namespace, backlog)
    }
    return backlog
  }

  /** The first message of the line is done with. */
  #next(line: Line): void {
    line.failures = 0
    this.#takeFirst(line)
    if (line.messages.length > 0) line.backlog.ready.add(line)
  }

  #takeFirst({ messages, channel }: Line): void {
    const { bytes, namespace } = messages.shift()!
    // Another namespace than the line's where a reload has given the prefix to it.
    const backlog = this.#backlog(namespace)
    backlog.messages--
    backlog.bytes -= bytes
    this.#options.onQueued(namespace, -1)
    if (messages.length > 0) return
    this.#lines.delete(channel)
    if (this.#lines.size === 0) this.#drained(() => true)
  }

  #failed(line: Line, message: Queued): void {
    const { now, random, onResult } = this.#options
    line.failures++
    if (now() - message.acceptedAt < message.order.retryForMs) onResult(message.namespace, "retried")
    else {
      this.#died(message, "expired")
      this.#takeFirst(line)
      if (line.messages.length === 0) return
    }
    // Those behind wait as well: the service is as it was.
    const most = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** (line.failures - 1))
    this.#waiting.add(now() + random() * most, line)
  }

  #start(line: Line): void {
    line.backlog.ready.add(line)
    this.#fillFrom(line.backlog)
  }

  #fill(): void {
    for (const backlog of this.#backlogs.values()) this.#fillFrom(backlog)
  }

  #fillFrom(backlog: Backlog): void {
    for (const line of backlog.ready) {
      if (backlog.out >= MAX_OUT || this.#out.size >= MAX_OUT_TOGETHER) return
      backlog.ready.delete(line)
      this.#send(line)
    }
  }

  #send(line: Line): void {
    const { worker: accepted, channel, epoch, offset, data, order } = line.messages[0]!
    const id = ++this.#lastId
    line.backlog.out++
    const until = this.#options.now() + order.call.timeout + LEASE_MS
    const event: ForwardEvent = { type: "forward", id, channel, epoch, offset, data, order }
    this.#out.set(id, { line, worker: this.#options.send(accepted, event), until })
  }

  #died(message: ForwardMessage, reason: DeadForward): void {
    const { namespace } = message
    this.#options.onResult(namespace, reason)
    const key = `${namespace} ${reason}`
    const messages = (this.#dead.get(key)?.messages ?? 0) + 1
    this.#dead.set(key, { reason, last: message, messages })
  }

  #logDead(): void {
    for (const { reason, messages, last } of this.#dead.values()) {
      const { namespace, channel, epoch, offset, order } = last
      const { service } = order.call
      this.#options.log.warn("realtime.not_forwarded", {
        namespace,
        service,
        reason,
        messages,
        channel,
        epoch,
        offset,
      })
    }
    this.#dead.clear()
  }

  #drained(is: (until: number) => boolean): void {
    const drains = this.#drains
    this.#drains = drains.filter(({ until }) => !is(until))
    for (const { until, resolve } of drains) if (is(until)) resolve()
  }
}

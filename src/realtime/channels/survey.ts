import type { Clock } from "../../lib/clock.ts"
import type { ChannelCount, ChannelQuery, SurveyEvent } from "./hub_messages.ts"

interface Asked {
  readonly query: ChannelQuery
  /** Workers that have not answered. */
  readonly missing: Set<number>
  readonly subscribers: Map<string, number>
  readonly until: number
  readonly resolve: (counts: readonly ChannelCount[]) => void
}

/** A worker that says nothing for so long is left out. */
const PATIENCE_MS = 2000
/** Surveys under way at a time. */
const MAX_SURVEYS = 16

/** Asks workers which channels have how many subscribers. */
export class Survey {
  readonly #now: Clock
  readonly #send: (worker: number, event: SurveyEvent) => void
  readonly #asked = new Map<number, Asked>()
  #lastId = 0

  constructor(now: Clock, send: (worker: number, event: SurveyEvent) => void) {
    this.#now = now
    this.#send = send
  }

  /** The first channels of those asked for, by name. `undefined`: too many ask at once. */
  ask(workers: Iterable<number>, query: ChannelQuery): Promise<readonly ChannelCount[]> | undefined {
    if (this.#asked.size >= MAX_SURVEYS) return undefined
    const id = ++this.#lastId
    const { promise, resolve } = Promise.withResolvers<readonly ChannelCount[]>()
    const missing = new Set(workers)
    const until = this.#now() + PATIENCE_MS
    this.#asked.set(id, { query, missing, subscribers: new Map(), until, resolve })
    for (const worker of missing) this.#send(worker, { type: "survey", id, ...query })
    this.#finish(id)
    return promise
  }

  answered(worker: number, id: number, counts: readonly ChannelCount[]): void {
    const asked = this.#asked.get(id)
    if (asked?.missing.delete(worker) !== true) return
    for (const { channel, subscribers } of counts)
      asked.subscribers.set(channel, (asked.subscribers.get(channel) ?? 0) + subscribers)
    this.#finish(id)
  }

  lostWorker(worker: number): void {
    for (const id of [...this.#asked.keys()]) this.answered(worker, id, [])
  }

  /** Call about once a second. */
  tick(): void {
    const now = this.#now()
    for (const [id, asked] of this.#asked) {
      if (asked.until > now) return
      asked.missing.clear()
      this.#finish(id)
    }
  }

  /** Each worker named its first ones: of all that were named, the first are the first of all. */
  #finish(id: number): void {
    const asked = this.#asked.get(id)
    if (asked === undefined || asked.missing.size > 0) return
    this.#asked.delete(id)
    const { subscribers, query } = asked
    const names = [...subscribers.keys()].sort().slice(0, query.limit)
    asked.resolve(names.map((channel) => ({ channel, subscribers: subscribers.get(channel)! })))
  }
}

import type { Clock } from "../../lib/clock.ts"
import type { ChannelStore } from "./channel_store.ts"

/** A channel without subscribers is listened to for so long, as they often come back. */
const LINGER_MS = 5000

interface Listened {
  readonly workers: Set<number>
  /** What the store was asked last; each waits for the one before. */
  ready: Promise<void>
  /** Since when no worker hears of it. */
  idleSince: number
}

const NOBODY: readonly number[] = Object.freeze([])

/** Which workers hear of which channels. The store is listened to as long as any does. */
export class Listeners {
  readonly #store: Pick<ChannelStore, "listen" | "unlisten">
  readonly #now: Clock
  readonly #channels = new Map<string, Listened>()
  /** Channels no worker hears of just now. */
  readonly #idle = new Set<string>()

  constructor(store: Pick<ChannelStore, "listen" | "unlisten">, now: Clock) {
    this.#store = store
    this.#now = now
  }

  get size(): number {
    return this.#channels.size
  }

  of(channel: string): Iterable<number> {
    return this.#channels.get(channel)?.workers ?? NOBODY
  }

  /** Resolves when the store is listened to; rejects when it cannot be. */
  async add(channel: string, worker: number): Promise<void> {
    let listened = this.#channels.get(channel)
    if (listened === undefined) {
      listened = { workers: new Set(), ready: this.#store.listen(channel), idleSince: 0 }
      this.#channels.set(channel, listened)
    }
    listened.workers.add(worker)
    this.#idle.delete(channel)
    try {
      await listened.ready
    } catch (error) {
      if (this.#channels.get(channel) === listened) this.#channels.delete(channel)
      throw error
    }
  }

  remove(channel: string, worker: number): void {
    const listened = this.#channels.get(channel)
    if (listened?.workers.delete(worker) !== true || listened.workers.size > 0) return
    listened.idleSince = this.#now()
    this.#idle.add(channel)
  }

  lost(worker: number): void {
    for (const channel of this.#channels.keys()) this.remove(channel, worker)
  }

  /** Stops listening to what nobody hears of any more. */
  async tick(): Promise<void> {
    const over = this.#now() - LINGER_MS
    const gone: Promise<void>[] = []
    for (const channel of this.#idle) {
      const listened = this.#channels.get(channel)
      if (listened !== undefined && listened.idleSince > over) continue
      this.#idle.delete(channel)
      this.#channels.delete(channel)
      gone.push(this.#store.unlisten(channel))
    }
    await Promise.all(gone)
  }
}

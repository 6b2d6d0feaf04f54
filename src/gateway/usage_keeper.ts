import type { Log } from "../observe/log.ts"
import type { Store } from "../store/sql.ts"
import { addUsage, dayOf, sweepUsage, type UsageCount } from "../store/usage_counts.ts"
import type { After } from "./supervisor.ts"

/** Different days, callers and routes that may wait for the store; further ones are lost, and logged. */
const MAX_PENDING = 50_000
/** Of them in one transaction. */
const MAX_BATCH = 500
/** Time until a write that failed is tried again. */
const RETRY_MS = 1000

export interface UsageKeeperDeps {
  readonly store: Store
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number
  readonly after: After
  readonly log: Log
}

interface Batch {
  readonly id: string
  readonly counts: readonly UsageCount[]
}

/**
 * Adds up what the workers count and writes it to the store. While the store is away it waits, and each batch is
 * counted once, also when nobody knows whether the store took it.
 */
export class UsageKeeper {
  readonly #deps: UsageKeeperDeps
  /** By day, subject and route. */
  #pending = new Map<string, UsageCount>()
  /** Tried, and not known to be written. */
  #batch: Batch | undefined
  #running: Promise<void> | undefined
  #cancelRetry: () => void = () => {}

  constructor(deps: UsageKeeperDeps) {
    this.#deps = deps
  }

  /** Takes what a worker has counted. */
  add(counts: readonly UsageCount[]): void {
    let lost = 0
    for (const each of counts) {
      const key = `${each.day}\0${each.subject}\0${each.route}`
      const before = this.#pending.get(key)
      if (before === undefined && this.#pending.size >= MAX_PENDING) lost += each.requests
      else this.#pending.set(key, before === undefined ? each : plus(before, each))
    }
    if (lost > 0) this.#deps.log.error("usage.lost", { requests: lost })
    void this.flush()
  }

  /** Writes what there is; resolves when it is written, or when the store did not take it. Never rejects. */
  flush(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Deletes days before the last `retentionMs`. Rejects with a `StoreError`. */
  sweep(retentionMs: number): Promise<void> {
    const at = this.#deps.wallClock()
    return sweepUsage(this.#deps.store, dayOf(at - retentionMs), at)
  }

  /** Writes what is left, once. */
  async close(): Promise<void> {
    await this.#running
    await this.flush()
    this.#cancelRetry()
    const left = this.#requestsLeft()
    if (left > 0) this.#deps.log.error("usage.lost", { requests: left })
  }

  async #run(): Promise<void> {
    this.#cancelRetry()
    while (this.#batch !== undefined || this.#pending.size > 0) {
      // What else has come meanwhile goes along, and nobody else waits for a long backlog.
      await new Promise((resolve) => setImmediate(resolve))
      this.#batch ??= this.#nextBatch()
      const { id, counts } = this.#batch
      const { store, wallClock, after } = this.#deps
      try {
        await store.transaction((sql) => addUsage(sql, id, counts, wallClock()))
        this.#batch = undefined
      } catch {
        // The store has told its log. The batch stays as it is, with its id.
        this.#cancelRetry = after(RETRY_MS, () => void this.flush())
        return
      }
    }
  }

  /** In the order of their keys, so that gateways do not stop each other. */
  #nextBatch(): Batch {
    const keys = [...this.#pending.keys()].sort().slice(0, MAX_BATCH)
    const counts = keys.map((key) => this.#pending.get(key)!)
    for (const key of keys) this.#pending.delete(key)
    return { id: Bun.randomUUIDv7(), counts }
  }

  #requestsLeft(): number {
    let sum = 0
    for (const { requests } of [...this.#pending.values(), ...(this.#batch?.counts ?? [])]) sum += requests
    return sum
  }
}

function plus(a: UsageCount, b: UsageCount): UsageCount {
  return {
    day: a.day,
    subject: a.subject,
    route: a.route,
    requests: a.requests + b.requests,
    errors: a.errors + b.errors,
    bytesIn: a.bytesIn + b.bytesIn,
    bytesOut: a.bytesOut + b.bytesOut,
  }
}

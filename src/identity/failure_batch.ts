import type { AuthFailure } from "./messages.ts"

/**
 * Refusals told one by one between two flushes, which are a second apart; beyond, only how many there were for each
 * reason. Anybody can have requests refused as fast as the network goes, and each record stays for months.
 */
const MAX_KEPT = 10
/** Different reasons counted; further ones count as "other". */
const MAX_REASONS = 32

/** Refusals of one worker on their way to the audit record: a flood must not become a flood of records. */
export class FailureBatch {
  #kept: AuthFailure[] = []
  /** By reason, the sums of those beyond. */
  #beyond = new Map<string, { at: number; count: number }>()

  add(failure: Omit<AuthFailure, "count">): void {
    if (this.#kept.length < MAX_KEPT) {
      this.#kept.push({ ...failure, count: 1 })
      return
    }
    const { at } = failure
    const reason =
      this.#beyond.has(failure.reason) || this.#beyond.size < MAX_REASONS ? failure.reason : "other"
    const sum = this.#beyond.get(reason)
    if (sum === undefined) this.#beyond.set(reason, { at, count: 1 })
    else sum.count++
  }

  /** What came since the last time. Call once a second. */
  take(): readonly AuthFailure[] {
    if (this.#kept.length === 0) return this.#kept
    const all = this.#kept
    for (const [reason, { at, count }] of this.#beyond)
      all.push({ at, reason, client: "", route: "", requestId: "", actor: "", count })
    this.#kept = []
    this.#beyond = new Map()
    return all
  }
}

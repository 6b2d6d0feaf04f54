import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import type { QuotaAnswer } from "../policies/quotas.ts"
import {
  giveBackUnits,
  type QuotaTake,
  type QuotaUnits,
  sweepQuotas,
  takeUnits,
  warnOfUse,
} from "../store/quota_usage.ts"
import type { Sql, Store } from "../store/sql.ts"
import type { QuotaQuestion } from "./control_question.ts"
import type { After } from "./supervisor.ts"

/** Longest wait for the store, in ms; then nobody knows. */
const PATIENCE_MS = 2000
/** Questions and returns that may wait for their turn; further ones are not taken. */
const MAX_WAITING = 10_000
/** Of them in one transaction. */
const MAX_BATCH = 100

export interface QuotaKeeperDeps {
  readonly store: Store
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number
  readonly after: After
  readonly counts: Counts
  readonly log: Log
}

interface Asked {
  readonly kind: "take"
  /** By name of the quota. */
  readonly takes: readonly QuotaTake[]
  readonly resolve: (answer: QuotaAnswer | undefined) => void
  readonly cancel: () => void
  /** Nobody waits for the answer any more. */
  settled: boolean
}

type Waiting = Asked | { readonly kind: "back"; readonly units: QuotaUnits }

interface Warning {
  readonly take: QuotaTake
  readonly percent: number
  readonly used: number
  readonly limit: number
}

interface Outcome {
  readonly answer: QuotaAnswer
  readonly warnings: readonly Warning[]
}

/**
 * Asks the store for units, for all workers. What comes while one transaction runs becomes the next one, so that many
 * share one write to the disk. Locks are taken in the order of the rows' names, so that gateways do not stop each other.
 */
export class QuotaKeeper {
  readonly #deps: QuotaKeeperDeps
  #waiting: Waiting[] = []
  #running: Promise<void> | undefined

  constructor(deps: QuotaKeeperDeps) {
    this.#deps = deps
  }

  /** Never rejects. `undefined`: it is not known, after 2 s at most; units that are taken later are given back. */
  answer({ takes }: QuotaQuestion): Promise<QuotaAnswer | undefined> {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#count(takes, "unavailable")
      return Promise.resolve(undefined)
    }
    const { promise, resolve } = Promise.withResolvers<QuotaAnswer | undefined>()
    const cancel = this.#deps.after(PATIENCE_MS, () => this.#settle(asked, undefined))
    const asked: Asked = { kind: "take", takes, resolve, cancel, settled: false }
    this.#enqueue(asked)
    return promise
  }

  /** In the background; what the store does not take stays used, and is logged. */
  giveBack(all: readonly QuotaUnits[]): void {
    for (const units of all) {
      if (this.#waiting.length >= MAX_WAITING) this.#lost(1)
      else this.#enqueue({ kind: "back", units })
    }
  }

  /** Deletes what is long over. Rejects with a `StoreError`. */
  sweep(): Promise<void> {
    return sweepQuotas(this.#deps.store, this.#deps.wallClock())
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#running
  }

  #enqueue(each: Waiting): void {
    this.#waiting.push(each)
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      // What else has come meanwhile goes along.
      await new Promise((resolve) => setImmediate(resolve))
      await this.#commit(this.#nextBatch())
    }
  }

  /** One that asks for several quotas goes alone: its locks would not fit into the order of the others. */
  #nextBatch(): readonly Waiting[] {
    const isSingle = (each: Waiting) => each.kind === "back" || each.takes.length === 1
    let n = this.#waiting.findIndex((each) => !isSingle(each))
    if (n === -1) n = this.#waiting.length
    const batch = this.#waiting.splice(0, Math.min(Math.max(n, 1), MAX_BATCH))
    const left = batch.filter((each) => each.kind === "back" || !each.settled)
    return left
      .map((each) => [keyOf(each), each] as const)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([, each]) => each)
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    if (batch.length === 0) return
    const { store, wallClock } = this.#deps
    const at = wallClock()
    let outcomes: (Outcome | undefined)[]
    try {
      outcomes = await store.transaction(async (sql) => {
        const found: (Outcome | undefined)[] = []
        for (const each of batch) {
          if (each.kind === "take") found.push(await takeAll(sql, each.takes, at))
          else {
            await giveBackUnits(sql, each.units)
            found.push(undefined)
          }
        }
        return found
      })
    } catch {
      // The store has told its log. Whether it was committed may not be known: what was asked for counts as used.
      this.#lost(batch.filter((each) => each.kind === "back").length)
      for (const each of batch) if (each.kind === "take") this.#settle(each, undefined)
      return
    }
    for (const [i, each] of batch.entries()) {
      const outcome = outcomes[i]
      if (each.kind === "back") this.#deps.counts.add(METRIC, { quota: each.units.quota, result: "returned" })
      else if (outcome !== undefined) this.#told(each, outcome)
    }
  }

  #told(asked: Asked, { answer, warnings }: Outcome): void {
    for (const { take, percent, used, limit } of warnings) {
      const { quota, subject } = take
      this.#deps.counts.add(METRIC, { quota, result: percent === 100 ? "warned_100" : "warned_80" })
      this.#deps.log.warn("quota.warning", { quota, subject, percent, used, limit })
    }
    // Too late: whoever asked was told that nobody knows.
    if (asked.settled) {
      if (answer.refusing === -1) this.giveBack(asked.takes)
      return
    }
    this.#settle(asked, answer)
  }

  #settle(asked: Asked, answer: QuotaAnswer | undefined): void {
    if (asked.settled) return
    asked.settled = true
    asked.cancel()
    if (answer === undefined) this.#count(asked.takes, "unavailable")
    else if (answer.refusing === -1) this.#count(asked.takes, "allowed")
    else this.#count([asked.takes[answer.refusing]!], "refused")
    asked.resolve(answer)
  }

  #count(takes: readonly QuotaTake[], result: string): void {
    for (const { quota } of takes) this.#deps.counts.add(METRIC, { quota, result })
  }

  #lost(returns: number): void {
    if (returns > 0) this.#deps.log.warn("quota.not_returned", { returns })
  }
}

const METRIC = "gatehouse_quota_total"

const keyOf = (each: Waiting): string => {
  const { quota, subject, periodStart } = each.kind === "back" ? each.units : each.takes[0]!
  return `${quota}\0${subject}\0${periodStart}`
}

/** Takes from all or, giving back what it took, from none. */
async function takeAll(sql: Sql, takes: readonly QuotaTake[], at: number): Promise<Outcome> {
  const taken = []
  for (const take of takes) {
    const found = await takeUnits(sql, take, at)
    taken.push(found)
    if (found.taken) continue
    const refusing = taken.length - 1
    for (const each of takes.slice(0, refusing)) await giveBackUnits(sql, each)
    return { answer: { kind: "quota", refusing, states: taken.map(stateOf) }, warnings: [] }
  }
  const warnings: Warning[] = []
  for (const [i, take] of takes.entries()) {
    const percent = await warnOfUse(sql, take, taken[i]!, at)
    if (percent !== undefined) warnings.push({ take, percent, ...stateOf(taken[i]!) })
  }
  return { answer: { kind: "quota", refusing: -1, states: taken.map(stateOf) }, warnings }
}

const stateOf = ({ used, limit }: { readonly used: number; readonly limit: number }) => ({ used, limit })

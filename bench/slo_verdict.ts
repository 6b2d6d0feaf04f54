import { build, type Histogram } from "hdr-histogram-js"
import { parseDuration } from "../src/lib/units.ts"
import type { Sample } from "./open_load.ts"

/** A percentile that must not be later than `ms`. 100 is the latest of all. */
export interface SloObjective {
  readonly percentile: number
  readonly ms: number
}

/** "p99=50ms", "p99.9=1s" or "max=2s"; `undefined` when it is none. */
export function parseObjective(text: string): SloObjective | undefined {
  const found = /^(?:p(\d{1,2}(?:\.\d{1,3})?)|max)=(.+)$/.exec(text)
  const ms = parseDuration(found?.[2] ?? "")
  if (found === null || ms === undefined || ms === 0) return undefined
  const percentile = Number(found[1] ?? 100)
  return percentile === 0 ? undefined : { percentile, ms }
}

/** "p99.9", "max". */
export const percentileName = (percentile: number): string => (percentile === 100 ? "max" : `p${percentile}`)

/** The percentiles that are printed. */
export const PERCENTILES = [50, 90, 99, 99.9, 100] as const

/** Longest time told apart, in microseconds; a timeout is at most 60 s, and an answer may come a little after it. */
const LONGEST_US = 120_000_000

/** Times in microseconds, to three digits. */
const createTimes = (): Histogram =>
  build({ lowestDiscernibleValue: 1, highestTrackableValue: LONGEST_US, numberOfSignificantValueDigits: 3 })

/**
 * What came of the requests that were due from `startedAt` on. An answer is good with a status below 400. Percentiles
 * are those of good answers (a quick refusal must not make them better); the others are counted by kind.
 */
export class SloTally {
  readonly #good = createTimes()
  readonly #late = createTimes()
  readonly errors = new Map<string, number>()
  startedAt = Number.POSITIVE_INFINITY
  /** `performance.now()` of the last good answer. */
  lastAt = 0

  add({ at, ms, status, fault, lateMs }: Sample): void {
    if (at < this.startedAt) return
    this.#late.recordValue(toUs(lateMs))
    if (status >= 200 && status < 400) {
      this.#good.recordValue(toUs(ms))
      this.lastAt = Math.max(this.lastAt, at + ms)
      return
    }
    const kind = status === 0 ? fault : `HTTP ${status}`
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1)
  }

  get good(): number {
    return this.#good.totalCount
  }

  get failed(): number {
    let sum = 0
    for (const count of this.errors.values()) sum += count
    return sum
  }

  /** Milliseconds; NaN without a good answer. */
  percentile(percentile: number): number {
    return this.good === 0 ? Number.NaN : this.#good.getValueAtPercentile(percentile) / 1000
  }

  /** How late the load itself was, 99th percentile, in milliseconds. */
  get lateMs(): number {
    return this.#late.totalCount === 0 ? 0 : this.#late.getValueAtPercentile(99) / 1000
  }

  /** Good answers a second, from the first that was due to the last that came. */
  get perSecond(): number {
    return this.good === 0 ? 0 : this.good / ((this.lastAt - this.startedAt) / 1000)
  }
}

const toUs = (ms: number): number => Math.min(Math.round(ms * 1000), LONGEST_US)

export interface Verdict {
  readonly held: boolean
  readonly text: string
}

/** One verdict for each objective, and one for the errors. Without a good answer no objective is held. */
export function judge(
  tally: Pick<SloTally, "good" | "failed" | "percentile">,
  objectives: readonly SloObjective[],
  maxErrors: number,
): Verdict[] {
  const verdicts = objectives.map(({ percentile, ms }): Verdict => {
    const found = tally.percentile(percentile)
    const name = percentileName(percentile)
    return { held: found <= ms, text: `${name} ${milliseconds(found)} ms (objective ≤ ${ms})` }
  })
  const all = tally.good + tally.failed
  const share = all === 0 ? 1 : tally.failed / all
  verdicts.push({
    held: share <= maxErrors,
    text: `${tally.failed} of ${all} failed, ${percent(share)} (at most ${percent(maxErrors)})`,
  })
  return verdicts
}

/** "0.123", "12.3", "-" when there is none. */
export const milliseconds = (ms: number): string =>
  Number.isNaN(ms) ? "-" : ms.toFixed(ms < 1 ? 3 : ms < 10 ? 2 : 1)

const percent = (share: number): string => `${Number((share * 100).toPrecision(3))} %`

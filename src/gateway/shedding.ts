import type { Log } from "../observe/log.ts"
import { PRIORITIES, type Priority } from "../observe/priority.ts"
import type { ShedReason } from "../observe/shed_counts.ts"

/** Bounds beyond which a worker refuses what matters less. */
export interface SheddingOptions {
  /** Longest time the event loop may be behind, in ms; 0: any. */
  readonly maxLagMs: number
  /** Resident memory of the process, in bytes; `undefined`: any. */
  readonly maxMemoryBytes: number | undefined
}

export interface SheddingDeps {
  readonly log: Log
  readonly onShed: (priority: Priority, reason: ShedReason) => void
}

/** Milliseconds between two samples of the lag. */
export const SAMPLE_MS = 100
/** The lag counts once so many samples in a row have it: a pause alone is no overload. */
const SUSTAINED = 3
/** Tenths of one class that are shed in addition with each sample over the bound, and let in with each far below. */
const TENTHS_UP = 2
const TENTHS_DOWN = 1
/** All classes but the critical one. */
const HIGHEST_LEVEL = PRIORITIES.length - 1
/** Memory begins to count at this share of its bound. At the bound the lowest class is shed, and so on upwards. */
const MEMORY_FROM = 0.9
/** So many samples without shedding until it is told that it is over. */
const CALM_SAMPLES = 1000 / SAMPLE_MS
const NOTHING = PRIORITIES.length

/**
 * Decides which requests a worker refuses when it cannot keep up. The level goes from 0 to 3: its whole part is
 * the number of classes refused, from `low` upwards, and its fraction the share of the next one; critical requests
 * are never refused. It climbs step by step while the event loop is behind and falls once it has caught up (by
 * feedback, as the admission level of WeChat's DAGOR, Zhou et al. 2018), and stands still in between: from the
 * worst it is back at 0 in 3 s. Memory gives a level by itself. There are no timers: samples come in.
 */
export class Shedding {
  readonly #log: Log
  readonly #onShed: SheddingDeps["onShed"]
  #options: SheddingOptions = { maxLagMs: 0, maxMemoryBytes: undefined }
  readonly #lags = new Float64Array(SUSTAINED)
  #sample = 0
  /** In tenths, as sums of fractions are not exact. */
  #lagTenths = 0
  #memoryLevel = 0
  #rssBytes = 0
  /** Of each class, by priority. */
  readonly #share = new Float64Array(PRIORITIES.length)
  readonly #carry = new Float64Array(PRIORITIES.length)
  /** The most important class told of since all was calm. */
  #told: number = NOTHING
  #calm = 0
  /** Requests of this priority, and of less important ones, may be refused: for one compare on the hot path. */
  from: number = NOTHING

  constructor({ log, onShed }: SheddingDeps) {
    this.#log = log
    this.#onShed = onShed
  }

  /** 0: nothing is refused; 3: all but critical requests. */
  get level(): number {
    return Math.max(this.#lagTenths / 10, this.#memoryLevel)
  }

  /** Takes other bounds; they hold from the next sample on. */
  apply(options: SheddingOptions): void {
    this.#options = options
    if (options.maxLagMs === 0) this.#lagTenths = 0
    this.memory(this.#rssBytes)
  }

  /** Whether to refuse this request. Only for a priority of `from` or beyond; counts what it refuses. */
  refuses(priority: Priority): boolean {
    const due = this.#carry[priority]! + this.#share[priority]!
    const refused = due >= 1
    this.#carry[priority] = refused ? due - 1 : due
    if (refused) this.#onShed(priority, this.#reason)
    return refused
  }

  /** How far the event loop is behind, in ms; every 100 ms. */
  lag(lagMs: number): void {
    this.#lags[this.#sample++ % SUSTAINED] = lagMs
    const { maxLagMs } = this.#options
    if (maxLagMs > 0) {
      const sustained = Math.min(...this.#lags)
      if (sustained > maxLagMs) this.#lagTenths = Math.min(this.#lagTenths + TENTHS_UP, HIGHEST_LEVEL * 10)
      else if (sustained < maxLagMs / 2) this.#lagTenths = Math.max(this.#lagTenths - TENTHS_DOWN, 0)
    }
    this.#settle()
    this.#tell()
  }

  /** Resident memory of the process, in bytes; every second. */
  memory(rssBytes: number): void {
    this.#rssBytes = rssBytes
    const { maxMemoryBytes } = this.#options
    const over =
      maxMemoryBytes === undefined ? 0 : (rssBytes / maxMemoryBytes - MEMORY_FROM) / (1 - MEMORY_FROM)
    this.#memoryLevel = Math.min(Math.max(Math.round(over * 100) / 100, 0), HIGHEST_LEVEL)
    this.#settle()
  }

  get #reason(): ShedReason {
    return this.#memoryLevel > this.#lagTenths / 10 ? "memory" : "lag"
  }

  #settle(): void {
    const { level } = this
    this.from = NOTHING
    for (let priority = 1; priority < NOTHING; priority++) {
      const share = Math.min(Math.max(level - (HIGHEST_LEVEL - priority), 0), 1)
      this.#share[priority] = share
      if (share > 0 && priority < this.from) this.from = priority
    }
  }

  /** A line for each class that is reached, and one at the end: at most 4 a second, however it goes up and down. */
  #tell(): void {
    if (this.from < this.#told) {
      this.#told = this.from
      this.#log.warn("load.shedding", {
        classes: PRIORITIES.slice(this.from),
        reason: this.#reason,
        lag_ms: Math.round(Math.min(...this.#lags)),
        rss_bytes: this.#rssBytes,
      })
    }
    this.#calm = this.from === NOTHING ? this.#calm + 1 : 0
    if (this.#told === NOTHING || this.#calm < CALM_SAMPLES) return
    this.#told = NOTHING
    this.#log.info("load.normal")
  }
}

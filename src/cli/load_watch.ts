import { SAMPLE_MS, type Shedding } from "../gateway/shedding.ts"
import type { Clock } from "../lib/clock.ts"
import { SERIES } from "../observe/catalogue.ts"
import { OTHER } from "../observe/labels.ts"
import { type Series, seriesKey } from "../observe/series.ts"
import type { Upstreams } from "../upstream/upstreams.ts"

export interface LoadWatchDeps {
  readonly series: Series
  /** Number of this worker. */
  readonly worker: number
  readonly shedding: Shedding
  readonly upstreams: Pick<Upstreams, "limits">
  readonly serviceId: (service: string) => number | undefined
  readonly now: Clock
  /** Resident memory of the process, in bytes. */
  readonly rss: () => number
}

const SAMPLES_A_SECOND = 1000 / SAMPLE_MS

/** Measures how a worker bears its load, tells `Shedding`, and keeps the gauges of it. */
export class LoadWatch {
  readonly #deps: LoadWatchDeps
  readonly #timer: ReturnType<typeof setInterval>
  #lastAt: number
  #samples = 0
  #worstMs = 0
  /** Ids of the limits shown last. */
  #shown: ReadonlySet<number> = new Set()

  constructor(deps: LoadWatchDeps) {
    this.#deps = deps
    this.#lastAt = deps.now()
    deps.shedding.memory(deps.rss())
    this.#show()
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #sample(): void {
    const { shedding, now, rss } = this.#deps
    const at = now()
    const lagMs = Math.max(0, at - this.#lastAt - SAMPLE_MS)
    this.#lastAt = at
    this.#worstMs = Math.max(this.#worstMs, lagMs)
    shedding.lag(lagMs)
    if (++this.#samples % SAMPLES_A_SECOND !== 0) return
    shedding.memory(rss())
    this.#show()
  }

  #show(): void {
    const { series, worker, shedding, upstreams, serviceId } = this.#deps
    series.set(seriesKey(SERIES.eventLoopLag, 0, worker), this.#worstMs / 1000)
    series.set(seriesKey(SERIES.sheddingLevel, 0, worker), shedding.level)
    this.#worstMs = 0
    const shown = new Set<number>()
    for (const [service, limit] of upstreams.limits()) {
      const id = serviceId(service) ?? OTHER
      shown.add(id)
      series.set(seriesKey(SERIES.concurrencyLimit, id), limit)
    }
    // What config has dropped keeps its series, as every series does.
    for (const id of this.#shown) if (!shown.has(id)) series.set(seriesKey(SERIES.concurrencyLimit, id), 0)
    this.#shown = shown
  }
}

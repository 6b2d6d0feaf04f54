import { LIMIT_RESULTS, SERIES } from "./catalogue.ts"
import { OTHER } from "./labels.ts"
import { type Series, seriesKey } from "./series.ts"

/** Counts what comes of one limit in one thread. */
export interface LimitCount {
  allowed(): void
  refused(): void
  /** It would have been refused. */
  shadowed(): void
  /** It waits its turn. */
  queued(): void
  /** Charged to a shared bucket, as the table was full. */
  overflowed(): void
}

/** The counters of one thread's limits. */
export class LimitCounts {
  readonly #series: Series
  /** The label directory's numbers of the limits' names, as the newest configuration has them. */
  ids: Readonly<Record<string, number>> = {}

  constructor(series: Series) {
    this.#series = series
  }

  /** Counts for the limit of this name, for as long as it is kept. */
  counter(limit: string): LimitCount {
    const series = this.#series
    const id = this.ids[limit] ?? OTHER
    const slots = LIMIT_RESULTS.map((_, i) => series.slot(seriesKey(SERIES.limited, id, i)))
    const [allowed = 0, refused = 0, shadowed = 0, queued = 0] = slots
    const overflowed = series.slot(seriesKey(SERIES.limitOverflow, id))
    return {
      allowed: () => series.addAt(allowed, 1),
      refused: () => series.addAt(refused, 1),
      shadowed: () => series.addAt(shadowed, 1),
      queued: () => series.addAt(queued, 1),
      overflowed: () => series.addAt(overflowed, 1),
    }
  }
}

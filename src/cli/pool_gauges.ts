import { POOL_STATES, SERIES } from "../observe/catalogue.ts"
import { instanceLabel, OTHER } from "../observe/labels.ts"
import { type Series, seriesKey } from "../observe/series.ts"
import type { Instance } from "../upstream/instance.ts"

/** Keeps `gatehouse_pool_connections` of one worker: set now and then, as counting every change would cost requests. */
export class PoolGauges {
  readonly #series: Series
  /** Values by series key, as set last. */
  #last: ReadonlyMap<number, number> = new Map()

  constructor(series: Series) {
    this.#series = series
  }

  /** `ids`: the label directory's numbers, by instance label. Pools of one instance count together. */
  update(instances: Iterable<Instance>, ids: Readonly<Record<string, number>>): void {
    const values = new Map<number, number>()
    for (const { service, url, pool } of instances) {
      const id = ids[instanceLabel(service, url)] ?? OTHER
      const { stats } = pool
      for (const [i, state] of POOL_STATES.entries()) {
        const key = seriesKey(SERIES.pool, id, i)
        values.set(key, (values.get(key) ?? 0) + stats[state])
      }
    }
    // What config has dropped keeps its series, as every series does.
    for (const key of this.#last.keys()) if (!values.has(key)) this.#series.set(key, 0)
    for (const [key, value] of values) if (this.#last.get(key) !== value) this.#series.set(key, value)
    this.#last = values
  }
}

import type { GaugeRow } from "./exposition.ts"

/** Counters the control plane keeps for itself, by metric and labels. Labels come from closed lists, so it stays small. */
export class Counts {
  readonly #rows = new Map<
    string,
    { readonly metric: string; readonly labels: GaugeRow["labels"]; value: number }
  >()

  add(metric: string, labels: Readonly<Record<string, string>>, by = 1): void {
    const key = `${metric} ${Object.values(labels).join(" ")}`
    const row = this.#rows.get(key)
    if (row === undefined) this.#rows.set(key, { metric, labels, value: by })
    else row.value += by
  }

  rows(): Iterable<GaugeRow> {
    return this.#rows.values()
  }
}

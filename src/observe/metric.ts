/** What the id and the small number of a metric's keys stand for. */
export interface SeriesShape {
  readonly metric: number
  readonly about: "nothing" | "route" | "service" | "instance" | "limit"
  readonly small:
    | "nothing"
    | "method_status"
    | "bucket"
    | "code"
    | "outcome"
    | "pool_state"
    | "direction"
    | "authentication"
    | "limit_result"
    | "shed"
    | "worker"
    | "violation"
    | "block_result"
    | "connection_refusal"
}

export interface Metric {
  readonly name: string
  readonly help: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly labels: readonly string[]
  /** Upper bounds in seconds, for histograms. */
  readonly buckets?: readonly number[]
  /** Where workers count it; absent: the control plane gives its rows when scraped. */
  readonly series?: SeriesShape
}

import type { Metric as PromMetric, Registry } from "prom-client"
import {
  ATTEMPT_OUTCOMES,
  AUTHENTICATION_METHODS,
  AUTHENTICATION_RESULTS,
  BLOCK_RESULTS,
  CONNECTION_REFUSALS,
  DIRECTIONS,
  LIMIT_RESULTS,
  METHODS,
  METRICS,
  POOL_STATES,
  SUM,
  VIOLATIONS,
} from "./catalogue.ts"
import { type LabelDirectory, splitInstanceLabel } from "./labels.ts"
import type { Metric } from "./metric.ts"
import { keyId, keyMetric, keySmall, readDropped, readSeries } from "./series.ts"
import { shedLabels } from "./shed_counts.ts"

/** A value the control plane knows itself, of a metric without `series` in the catalogue. */
export interface GaugeRow {
  readonly metric: string
  readonly labels: Readonly<Record<string, string>>
  /** For counters the total since start, not an increment. */
  readonly value: number
}

export interface ExpositionOptions {
  /** Tables of the workers as they are now; asked at each scrape. */
  readonly tables: () => readonly SharedArrayBuffer[]
  readonly labels: LabelDirectory
  /** Failure codes, in the order the workers' `Accounting` was given. */
  readonly codes: readonly string[]
  /** Asked at each scrape. Rows of unknown metrics or with other labels throw: they are bugs. */
  readonly gauges: () => Iterable<GaugeRow>
  /** For `gatehouse_build_info`. */
  readonly version: string
}

export interface Exposition {
  /** The Prometheus text format, version 0.0.4. */
  text(): Promise<string>
  readonly contentType: string
}

/** One line in prom-client's terms. Labels that repeat over the lines of a histogram are shared. */
interface Sample {
  value: number
  labels: Record<string, string | number>
  sharedLabels?: Record<string, string>
  metricName?: string
}

/** What prom-client can read of this runtime; the rest of its list is about V8 and stays zero. */
const PROCESS_METRICS = /^(process_|nodejs_heap_size|nodejs_external|nodejs_eventloop_lag_(max_)?seconds)/

/** What `Registry.contentType` says, before there is one. */
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

/**
 * The `/metrics` page: nothing is kept beside the workers' tables, which are read when Prometheus asks.
 * prom-client does the escaping and printing and adds the metrics of the process. It is loaded with the first
 * scrape.
 */
export function createExposition(options: ExpositionOptions): Exposition {
  let samples: ReadonlyMap<string, Sample[]> = new Map()
  let registry: Promise<Registry> | undefined
  return {
    text: async () => {
      registry ??= createRegistry((name) => samples.get(name))
      const page = await registry
      samples = collect(options)
      return page.metrics()
    },
    contentType: CONTENT_TYPE,
  }
}

async function createRegistry(valuesOf: (name: string) => Sample[] | undefined): Promise<Registry> {
  const { collectDefaultMetrics, Registry } = await import("prom-client")
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { name } of registry.getMetricsAsArray())
    if (!PROCESS_METRICS.test(name)) registry.removeSingleMetric(name)
  for (const { name, help, type } of METRICS) {
    // prom-client asks a metric for no more than this; its own classes can only count, not be given a total.
    const metric = { name, help, type, get: async () => ({ name, help, type, values: valuesOf(name) }) }
    registry.registerMetric(metric as unknown as PromMetric)
  }
  return registry
}

const BY_NAME: ReadonlyMap<string, Metric> = new Map(METRICS.map((metric) => [metric.name, metric]))
const BY_NUMBER: ReadonlyMap<number, Metric> = new Map(
  METRICS.flatMap((metric) => (metric.series ? [[metric.series.metric, metric] as const] : [])),
)

function collect(options: ExpositionOptions): Map<string, Sample[]> {
  const samples = new Map<string, Sample[]>(METRICS.map(({ name }) => [name, []]))
  const push = (name: string, value: number, labels: Record<string, string>) =>
    samples.get(name)!.push({ value, labels })

  const totals = new Map<number, number>()
  let dropped = 0
  for (const table of options.tables()) {
    readSeries(table, totals)
    dropped += readDropped(table)
  }
  const histograms = new Map<Metric, Map<number, Map<number, number>>>()
  for (const [key, value] of totals) {
    const metric = BY_NUMBER.get(keyMetric(key))
    if (metric === undefined) continue
    if (metric.series!.about === "instance" && options.labels.hasLeft(keyId(key))) continue
    if (metric.type !== "histogram") {
      push(metric.name, value, seriesLabels(metric, key, options))
      continue
    }
    let byId = histograms.get(metric)
    if (byId === undefined) histograms.set(metric, (byId = new Map()))
    let parts = byId.get(keyId(key))
    if (parts === undefined) byId.set(keyId(key), (parts = new Map()))
    parts.set(keySmall(key), value)
  }
  for (const [metric, byId] of histograms) {
    for (const [id, parts] of byId)
      pushHistogram(samples.get(metric.name)!, metric, { route: options.labels.label("route", id) }, parts)
  }

  push("gatehouse_metrics_dropped_total", dropped, {})
  push("gatehouse_build_info", 1, { version: options.version })
  for (const row of options.gauges()) {
    const metric = BY_NAME.get(row.metric)
    const given = Object.keys(row.labels)
    if (metric === undefined || metric.series !== undefined)
      throw new Error(`collecting metrics: "${row.metric}" is not in the catalogue as the control plane's`)
    if (given.length !== metric.labels.length || !metric.labels.every((label) => given.includes(label)))
      throw new Error(`collecting metrics: ${row.metric} has labels ${metric.labels}, found ${given}`)
    push(row.metric, row.value, { ...row.labels })
  }
  for (const metric of METRICS) {
    // Unlabelled series exist from the start, so that a rate over them sees the first count.
    if (metric.labels.length === 0 && samples.get(metric.name)!.length === 0) push(metric.name, 0, {})
  }
  return samples
}

/** Small numbers that stand for one label, by their place in a list. */
const LISTED = {
  outcome: { label: "outcome", names: ATTEMPT_OUTCOMES },
  pool_state: { label: "state", names: POOL_STATES },
  direction: { label: "direction", names: DIRECTIONS },
  limit_result: { label: "result", names: LIMIT_RESULTS },
  violation: { label: "violation", names: VIOLATIONS },
  block_result: { label: "result", names: BLOCK_RESULTS },
  connection_refusal: { label: "reason", names: CONNECTION_REFUSALS },
} as const

function seriesLabels(metric: Metric, key: number, { labels, codes }: ExpositionOptions) {
  const found: Record<string, string> = {}
  const { about, small } = metric.series!
  if (about === "instance") {
    const [service, instance] = splitInstanceLabel(labels.label("instance", keyId(key)))
    found.service = service
    found.instance = instance
  } else if (about !== "nothing") found[about] = labels.label(about, keyId(key))

  const number = keySmall(key)
  switch (small) {
    case "method_status":
      found.method = METHODS[number >> 9] ?? "other"
      found.status = String((number & 511) + 100)
      break
    case "code":
      found.code = codes[number] ?? "other"
      break
    case "authentication":
      found.method = AUTHENTICATION_METHODS[number >> 5] ?? "other"
      found.result = AUTHENTICATION_RESULTS[number & 31] ?? "other"
      break
    case "outcome":
    case "pool_state":
    case "direction":
    case "limit_result":
    case "violation":
    case "block_result":
    case "connection_refusal": {
      const { label, names } = LISTED[small]
      found[label] = names[number] ?? "other"
      break
    }
    case "shed":
      Object.assign(found, shedLabels(number))
      break
    case "worker":
      found.worker = String(number)
      break
    case "bucket":
    case "nothing":
      break
  }
  return found
}

function pushHistogram(
  into: Sample[],
  metric: Metric,
  sharedLabels: Record<string, string>,
  parts: ReadonlyMap<number, number>,
): void {
  const bounds = metric.buckets!
  let count = 0
  const line = (suffix: string, value: number, labels: Record<string, string | number>) =>
    into.push({ metricName: metric.name + suffix, value, labels, sharedLabels })
  for (let i = 0; i <= bounds.length; i++) {
    count += parts.get(i) ?? 0
    line("_bucket", count, { le: bounds[i] ?? "+Inf" })
  }
  line("_sum", parts.get(SUM) ?? 0, {})
  line("_count", count, {})
}

import {
  ATTEMPT_OUTCOMES,
  type AttemptOutcome,
  AUTHENTICATION_METHODS,
  AUTHENTICATION_RESULTS,
  type AuthenticationMethod,
  type AuthenticationResult,
  DIRECTIONS,
  type Direction,
  METHODS,
  METRICS,
  SERIES,
  SUM,
} from "./catalogue.ts"
import { UNMATCHED } from "./labels.ts"
import { type Series, seriesKey } from "./series.ts"

/** What accounting reads of a request; every exchange is one. */
export interface Accounted {
  readonly method: string
  readonly route: { readonly id: number; readonly service: string } | undefined
  readonly answer: { readonly status: number } | undefined
  /** True when the client left before its answer was complete. */
  readonly gone: boolean
  /** Milliseconds. */
  readonly startedAt: number
  readonly upstreamMs: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Failure code; "" for none. */
  readonly failure: string
  readonly retries: number
  /** Address of the instance asked last; "" when none was. */
  readonly instance: string
}

/** nginx's status for "client closed request": nothing any client sees, only logs and metrics. */
const CLIENT_GONE = 499

/** The status to log and count: 499 when the client left early, 500 when nothing ever answered. */
export function finalStatus(exchange: Accounted): number {
  return exchange.gone ? CLIENT_GONE : (exchange.answer?.status ?? 500)
}

export interface AccountingOptions {
  /** Failure codes; their order is the contract with the exposition. */
  readonly codes: readonly string[]
  /** The label directory's number of a service; asked only when something was retried. */
  readonly serviceId: (service: string) => number
}

const METHOD_INDEX: ReadonlyMap<string, number> = new Map(METHODS.map((method, i) => [method, i]))

/** Counts requests into the series of one thread. One object a worker, for its whole life. */
export class Accounting {
  readonly #series: Series
  readonly #codes: ReadonlyMap<string, number>
  readonly #serviceId: (service: string) => number
  readonly #inFlight: number
  readonly #total: Durations
  readonly #upstream: Durations
  readonly #gateway: Durations

  /** Sets the gauges to zero: a worker that replaces a lost one has nothing in flight yet. */
  constructor(series: Series, options: AccountingOptions) {
    this.#series = series
    this.#codes = new Map(options.codes.map((code, i) => [code, i]))
    this.#serviceId = options.serviceId
    const gauges = METRICS.filter(({ type, series }) => type === "gauge" && series !== undefined)
    series.zero(new Set(gauges.map((gauge) => gauge.series!.metric)))
    this.#inFlight = series.slot(seriesKey(SERIES.inFlight))
    this.#total = new Durations(series, SERIES.requestDuration)
    this.#upstream = new Durations(series, SERIES.upstreamDuration)
    this.#gateway = new Durations(series, SERIES.gatewayDuration)
  }

  /** The request has begun. */
  begin(): void {
    this.#series.addAt(this.#inFlight, 1)
  }

  /** The last byte was sent or the client has left; `nowMs` on the scale of `startedAt`. Once for each `begin`. */
  end(exchange: Accounted, nowMs: number): void {
    const series = this.#series
    series.addAt(this.#inFlight, -1)
    const route = exchange.route === undefined ? UNMATCHED : exchange.route.id
    const method = METHOD_INDEX.get(exchange.method) ?? METHODS.length - 1
    const status = finalStatus(exchange)
    const kept = status >= 100 && status <= 599 ? status - 100 : 499
    series.add(seriesKey(SERIES.requests, route, (method << 9) | kept), 1)

    const totalMs = Math.max(nowMs - exchange.startedAt, 0)
    this.#total.record(route, totalMs)
    this.#gateway.record(route, Math.max(totalMs - exchange.upstreamMs, 0))
    if (exchange.instance !== "") this.#upstream.record(route, exchange.upstreamMs)
    if (exchange.bytesIn > 0) series.add(seriesKey(SERIES.requestBytes, route), exchange.bytesIn)
    if (exchange.bytesOut > 0) series.add(seriesKey(SERIES.responseBytes, route), exchange.bytesOut)
    if (exchange.failure !== "") this.failed(exchange.failure)
    if (exchange.retries > 0 && exchange.route !== undefined)
      series.add(seriesKey(SERIES.retries, this.#serviceId(exchange.route.service)), exchange.retries)
  }

  /** A failure outside any exchange, e.g. a head that could not be read. `end` counts the others. */
  failed(code: string): void {
    this.#series.add(seriesKey(SERIES.errors, 0, this.#codes.get(code) ?? this.#codes.size), 1)
  }
}

/** The histogram of one metric in every route's series. */
class Durations {
  readonly #series: Series
  readonly #metric: number
  readonly #boundsMs: Float64Array

  constructor(series: Series, metric: number) {
    this.#series = series
    this.#metric = metric
    const { buckets } = METRICS.find((row) => row.series?.metric === metric)!
    this.#boundsMs = Float64Array.from(buckets!, (seconds) => seconds * 1000)
  }

  record(route: number, ms: number): void {
    const bounds = this.#boundsMs
    let bucket = 0
    while (bucket < bounds.length && ms > bounds[bucket]!) bucket++
    this.#series.add(seriesKey(this.#metric, route, bucket), 1)
    this.#series.add(seriesKey(this.#metric, route, SUM), ms / 1000)
  }
}

/** Counts the attempts at one service from one thread, with its slots found beforehand. */
export class AttemptCounter {
  readonly #series: Series
  readonly #slots: Readonly<Record<AttemptOutcome, number>>

  /** `serviceId`: the label directory's number of the service. */
  constructor(series: Series, serviceId: number) {
    this.#series = series
    this.#slots = Object.fromEntries(
      ATTEMPT_OUTCOMES.map((outcome, i) => [outcome, series.slot(seriesKey(SERIES.attempts, serviceId, i))]),
    ) as Record<AttemptOutcome, number>
  }

  count(outcome: AttemptOutcome): void {
    this.#series.addAt(this.#slots[outcome], 1)
  }
}

/** Counts the WebSocket messages one thread relays, and the bytes of their payloads, with the slots found beforehand. */
export function countRelayed(series: Series): (direction: Direction, bytes: number) => void {
  const slotsOf = (metric: number): Readonly<Record<Direction, number>> => ({
    from_client: series.slot(seriesKey(metric, 0, DIRECTIONS.indexOf("from_client"))),
    to_client: series.slot(seriesKey(metric, 0, DIRECTIONS.indexOf("to_client"))),
  })
  const messages = slotsOf(SERIES.websocketMessages)
  const payload = slotsOf(SERIES.websocketBytes)
  return (direction, bytes) => {
    series.addAt(messages[direction], 1)
    series.addAt(payload[direction], bytes)
  }
}

/** Counts proofs of who is calling in one thread; a slot is found at the first of its kind. */
export function countAuthentications(
  series: Series,
): (method: AuthenticationMethod, result: AuthenticationResult) => void {
  const slots = AUTHENTICATION_METHODS.map(() => AUTHENTICATION_RESULTS.map(() => -1))
  return (method, result) => {
    const ofMethod = slots[AUTHENTICATION_METHODS.indexOf(method)]!
    const index = AUTHENTICATION_RESULTS.indexOf(result)
    if (ofMethod[index] === -1) {
      const small = (AUTHENTICATION_METHODS.indexOf(method) << 5) | index
      ofMethod[index] = series.slot(seriesKey(SERIES.authentications, 0, small))
    }
    series.addAt(ofMethod[index]!, 1)
  }
}

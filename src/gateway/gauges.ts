import type { GaugeRow } from "../observe/exposition.ts"
import type { BreakerState } from "../upstream/breaker.ts"
import type { ServiceStatus } from "../upstream/dependency_health.ts"
import type { ServiceView } from "../upstream/describe.ts"

const BREAKER_VALUES: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 }

const STATUS_VALUES: Readonly<Record<ServiceStatus, number>> = { healthy: 0, degraded: 1, down: 2 }

export interface ControlNumbers {
  readonly services: readonly ServiceView[]
  /** Moves into a state since start, by "service state". */
  readonly circuitMoves: ReadonlyMap<string, number>
  readonly reloads: { readonly ok: number; readonly rejected: number }
  readonly generation: number
  readonly restarts: number
  /** Workers running now. */
  readonly workers: number
  /** Buckets of rate limits that are not full. */
  readonly limitKeys: number
}

/** What the control plane itself knows, as rows of the metrics page. */
export function* gaugeRows(numbers: ControlNumbers): Generator<GaugeRow> {
  yield { metric: "gatehouse_config_reloads_total", labels: { result: "ok" }, value: numbers.reloads.ok }
  yield {
    metric: "gatehouse_config_reloads_total",
    labels: { result: "rejected" },
    value: numbers.reloads.rejected,
  }
  yield { metric: "gatehouse_config_generation", labels: {}, value: numbers.generation }
  yield { metric: "gatehouse_worker_restarts_total", labels: {}, value: numbers.restarts }
  yield { metric: "gatehouse_workers", labels: {}, value: numbers.workers }
  yield { metric: "gatehouse_rate_limit_keys", labels: {}, value: numbers.limitKeys }
  for (const [key, value] of numbers.circuitMoves) {
    const [service = "", to = ""] = key.split(" ")
    yield { metric: "gatehouse_breaker_transitions_total", labels: { service, to }, value }
  }
  for (const { name, status, breaker, instances } of numbers.services) {
    yield { metric: "gatehouse_service_status", labels: { service: name }, value: STATUS_VALUES[status] }
    if (breaker !== undefined) {
      yield {
        metric: "gatehouse_breaker_state",
        labels: { service: name },
        value: BREAKER_VALUES[breaker.state],
      }
    }
    for (const { url, healthy, draining, ejectedForMs, inFlight } of instances) {
      const labels = { service: name, instance: url }
      yield { metric: "gatehouse_instance_healthy", labels, value: Number(healthy) }
      yield { metric: "gatehouse_instance_draining", labels, value: Number(draining) }
      yield { metric: "gatehouse_instance_ejected", labels, value: Number(ejectedForMs > 0) }
      yield { metric: "gatehouse_instance_in_flight", labels, value: inFlight }
    }
  }
}

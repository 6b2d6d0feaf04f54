import type { Metric } from "./metric.ts"

/** Metrics the control plane gives the rows of when it is scraped. */
export const CONTROL_METRICS: readonly Metric[] = [
  {
    name: "gatehouse_quota_total",
    help: "Requests a quota was asked about: allowed, refused, unavailable (nobody knew); units returned; subjects that came to 80 or 100 %.",
    type: "counter",
    labels: ["quota", "result"],
  },
  {
    name: "gatehouse_rate_limit_keys",
    help: "Buckets of rate limits that are not full just now; limits.max_keys is the room for them.",
    type: "gauge",
    labels: [],
  },
  {
    name: "gatehouse_redis_up",
    help: "1 while Redis answers in time; only where config names one.",
    type: "gauge",
    labels: [],
  },
  {
    name: "gatehouse_limit_sync_total",
    help: "Buckets of rate limits other machines were told of; failed: tried again while it matters.",
    type: "counter",
    labels: ["result"],
  },
  {
    name: "gatehouse_blocks_total",
    help: "Blocks of clients, by the violation that was one too many; operator: by hand.",
    type: "counter",
    labels: ["reason"],
  },
  {
    name: "gatehouse_blocked_clients",
    help: "Clients blocked just now, those in shadow mode included.",
    type: "gauge",
    labels: [],
  },
  {
    name: "gatehouse_metrics_dropped_total",
    help: "Counts lost because a worker's metrics table was full.",
    type: "counter",
    labels: [],
  },
  {
    name: "gatehouse_breaker_state",
    help: "Circuit breaker: 0 closed, 1 half-open, 2 open.",
    type: "gauge",
    labels: ["service"],
  },
  {
    name: "gatehouse_breaker_transitions_total",
    help: "Moves of a circuit breaker into a state.",
    type: "counter",
    labels: ["service", "to"],
  },
  {
    name: "gatehouse_instance_healthy",
    help: "1 while active health checks find the instance healthy.",
    type: "gauge",
    labels: ["service", "instance"],
  },
  {
    name: "gatehouse_instance_in_flight",
    help: "Requests an instance is working on, all workers together.",
    type: "gauge",
    labels: ["service", "instance"],
  },
  {
    name: "gatehouse_instance_ejected",
    help: "1 while an instance is ejected for failing real traffic.",
    type: "gauge",
    labels: ["service", "instance"],
  },
  {
    name: "gatehouse_identity_events_total",
    help: "Sign-ins, tokens issued and what else happens to accounts.",
    type: "counter",
    labels: ["event", "outcome"],
  },
  {
    name: "gatehouse_store_queries_total",
    help: "Statements of the store, by how they ended.",
    type: "counter",
    labels: ["outcome"],
  },
  {
    name: "gatehouse_store_query_seconds_total",
    help: "Time statements of the store took, the wait for their turn included.",
    type: "counter",
    labels: ["outcome"],
  },
  {
    name: "gatehouse_config_reloads_total",
    help: "Reloads of the configuration, by result.",
    type: "counter",
    labels: ["result"],
  },
  {
    name: "gatehouse_config_generation",
    help: "Number of the configuration in force; it grows by one with each.",
    type: "gauge",
    labels: [],
  },
  {
    name: "gatehouse_worker_restarts_total",
    help: "Workers replaced after they were lost.",
    type: "counter",
    labels: [],
  },
  { name: "gatehouse_workers", help: "Workers answering clients.", type: "gauge", labels: [] },
  {
    name: "gatehouse_build_info",
    help: "Always 1; the labels tell the build.",
    type: "gauge",
    labels: ["version"],
  },
]

import { CONTROL_METRICS } from "./control_metrics.ts"
import type { Metric } from "./metric.ts"

/** Numbers of the metrics workers count in shared memory (1 to 31): the first part of a series key. */
export const SERIES = {
  requests: 1,
  requestDuration: 2,
  upstreamDuration: 3,
  gatewayDuration: 4,
  requestBytes: 5,
  responseBytes: 6,
  inFlight: 7,
  errors: 8,
  retries: 9,
  attempts: 10,
  pool: 11,
  logDropped: 12,
  websockets: 13,
  faults: 14,
  websocketMessages: 15,
  websocketBytes: 16,
  authentications: 17,
  limited: 18,
  limitOverflow: 19,
  connections: 20,
  connectionsRefused: 21,
  connectionsHandedOver: 22,
  shed: 24,
  concurrencyLimit: 25,
  eventLoopLag: 26,
  sheddingLevel: 27,
  violations: 28,
  blockedRequests: 29,
} as const

/** Methods told apart in labels, by index; all others are the last. */
export const METHODS = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "CONNECT",
  "TRACE",
  "other",
] as const

/** How one attempt at an upstream ended, by index; `server_error`: answered with a 5xx. */
export const ATTEMPT_OUTCOMES = [
  "answered",
  "server_error",
  "connect",
  "connect_timeout",
  "pool_full",
  "pool_timeout",
  "reset",
  "timeout",
  "protocol",
  "cancelled",
] as const
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number]

/** States of pooled connections, by index. */
export const POOL_STATES = ["idle", "busy", "waiting"] as const

/** Ways of WebSocket messages, by index. */
export const DIRECTIONS = ["from_client", "to_client"] as const
export type Direction = (typeof DIRECTIONS)[number]

/** How callers prove who they are, by index. */
export const AUTHENTICATION_METHODS = ["jwt", "session", "api_key", "certificate"] as const
export type AuthenticationMethod = (typeof AUTHENTICATION_METHODS)[number]

/** What came of a proof, by index (below 32): why it was refused, or `unavailable` when it could not be told. */
export const AUTHENTICATION_RESULTS = [
  "ok",
  "unavailable",
  /** Not a compact JWS with a header and claims that can be read, or with an extension that is not supported. */
  "malformed",
  "too_large",
  /** Not an algorithm that is supported, or not the one of the key it names. */
  "algorithm",
  /** No key with this id or for this algorithm; perhaps the keys were rotated. */
  "unknown_key",
  "signature",
  "expired",
  "not_yet_valid",
  "issuer",
  "audience",
  /** `typ`: a token made for another use. */
  "type",
  /** A claim is missing or not of its kind. */
  "claims",
  "revoked",
  /** An API key or session that was never there, or no longer is. */
  "unknown",
  /** Shown from an address it may not be used from. */
  "address",
] as const
export type AuthenticationResult = (typeof AUTHENTICATION_RESULTS)[number]

/** What comes of asking a rate limit, by index; `shadowed`: it would have been refused; `queued`: it had to wait. */
export const LIMIT_RESULTS = ["allowed", "refused", "shadowed", "queued"] as const

/** What clients do that is scored by `abuse`, by index. */
export const VIOLATIONS = [
  "unauthorized",
  "forbidden",
  "not_found",
  "rate_limited",
  "bad_request",
  "excess",
] as const
export type Violation = (typeof VIOLATIONS)[number]

/** What becomes of requests of blocked clients, by index; `shadowed`: it went on. */
export const BLOCK_RESULTS = ["refused", "shadowed"] as const

/** Why client connections are closed at once, by index: too many, too many of one address, blocked. */
export const CONNECTION_REFUSALS = ["full", "crowded", "blocked"] as const
export type ConnectionRefusal = (typeof CONNECTION_REFUSALS)[number]

/** Small number of a histogram's sum; below it are its buckets, the one past the last bound being +Inf. */
export const SUM = 8191

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30]

/** Every metric of the gateway itself. The process metrics of prom-client stand beside them. */
export const METRICS: readonly Metric[] = [
  {
    name: "gatehouse_requests_total",
    help: "Requests answered, by route template. Status 499: the client left before its answer was complete.",
    type: "counter",
    labels: ["route", "method", "status"],
    series: { metric: SERIES.requests, about: "route", small: "method_status" },
  },
  {
    name: "gatehouse_request_duration_seconds",
    help: "From the complete request head to the last byte of the answer.",
    type: "histogram",
    labels: ["route"],
    buckets: SECONDS,
    series: { metric: SERIES.requestDuration, about: "route", small: "bucket" },
  },
  {
    name: "gatehouse_upstream_duration_seconds",
    help: "From the start of the first upstream attempt to the head of the answer; only requests that asked an upstream.",
    type: "histogram",
    labels: ["route"],
    buckets: SECONDS,
    series: { metric: SERIES.upstreamDuration, about: "route", small: "bucket" },
  },
  {
    name: "gatehouse_gateway_duration_seconds",
    help: "Request duration without upstream duration: the gateway's own share and the transfer of bodies.",
    type: "histogram",
    labels: ["route"],
    buckets: [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25],
    series: { metric: SERIES.gatewayDuration, about: "route", small: "bucket" },
  },
  {
    name: "gatehouse_request_bytes_total",
    help: "Body bytes received from clients.",
    type: "counter",
    labels: ["route"],
    series: { metric: SERIES.requestBytes, about: "route", small: "nothing" },
  },
  {
    name: "gatehouse_response_bytes_total",
    help: "Body bytes sent to clients.",
    type: "counter",
    labels: ["route"],
    series: { metric: SERIES.responseBytes, about: "route", small: "nothing" },
  },
  {
    name: "gatehouse_requests_in_flight",
    help: "Requests that have begun and not ended.",
    type: "gauge",
    labels: [],
    series: { metric: SERIES.inFlight, about: "nothing", small: "nothing" },
  },
  {
    name: "gatehouse_errors_total",
    help: "Requests the gateway itself answered with a failure, by its code.",
    type: "counter",
    labels: ["code"],
    series: { metric: SERIES.errors, about: "nothing", small: "code" },
  },
  {
    name: "gatehouse_retries_total",
    help: "Upstream attempts beyond a request's first.",
    type: "counter",
    labels: ["service"],
    series: { metric: SERIES.retries, about: "service", small: "nothing" },
  },
  {
    name: "gatehouse_upstream_attempts_total",
    help: "Attempts at instances of a service, by how they ended.",
    type: "counter",
    labels: ["service", "outcome"],
    series: { metric: SERIES.attempts, about: "service", small: "outcome" },
  },
  {
    name: "gatehouse_pool_connections",
    help: "Connections to an instance, all workers together; waiting: requests in line for one.",
    type: "gauge",
    labels: ["service", "instance", "state"],
    series: { metric: SERIES.pool, about: "instance", small: "pool_state" },
  },
  {
    name: "gatehouse_access_log_dropped_total",
    help: "Access log lines dropped because the output did not keep up.",
    type: "counter",
    labels: [],
    series: { metric: SERIES.logDropped, about: "nothing", small: "nothing" },
  },
  {
    name: "gatehouse_client_connections",
    help: "Connections clients have open now, WebSockets included; 0 where the runtime's HTTP server has the port.",
    type: "gauge",
    labels: [],
    series: { metric: SERIES.connections, about: "nothing", small: "nothing" },
  },
  {
    name: "gatehouse_client_connections_refused_total",
    help: "Client connections closed at once: too many (full), too many of one address (crowded), or of a blocked client over TLS (blocked).",
    type: "counter",
    labels: ["reason"],
    series: { metric: SERIES.connectionsRefused, about: "nothing", small: "connection_refusal" },
  },
  {
    name: "gatehouse_client_connections_handed_over_total",
    help: "Client connections passed on to the runtime's HTTP server, as they asked for a WebSocket of channels, for compression of one, or for another version.",
    type: "counter",
    labels: [],
    series: { metric: SERIES.connectionsHandedOver, about: "nothing", small: "nothing" },
  },
  {
    name: "gatehouse_websockets_open",
    help: "WebSocket connections open now.",
    type: "gauge",
    labels: [],
    series: { metric: SERIES.websockets, about: "nothing", small: "nothing" },
  },
  {
    name: "gatehouse_websocket_messages_total",
    help: "WebSocket messages relayed.",
    type: "counter",
    labels: ["direction"],
    series: { metric: SERIES.websocketMessages, about: "nothing", small: "direction" },
  },
  {
    name: "gatehouse_websocket_bytes_total",
    help: "Payload bytes of the WebSocket messages relayed.",
    type: "counter",
    labels: ["direction"],
    series: { metric: SERIES.websocketBytes, about: "nothing", small: "direction" },
  },
  {
    name: "gatehouse_authentications_total",
    help: "Proofs of who is calling, by their kind and what came of them. Requests without any are not counted.",
    type: "counter",
    labels: ["method", "result"],
    series: { metric: SERIES.authentications, about: "nothing", small: "authentication" },
  },
  {
    name: "gatehouse_rate_limit_total",
    help: "Requests a rate limit was asked about; queued: they waited their turn; shadowed: it would have refused them.",
    type: "counter",
    labels: ["limit", "result"],
    series: { metric: SERIES.limited, about: "limit", small: "limit_result" },
  },
  {
    name: "gatehouse_rate_limit_overflow_total",
    help: "Requests charged to a bucket many callers share, as the table of limits was full; raise limits.max_keys.",
    type: "counter",
    labels: ["limit"],
    series: { metric: SERIES.limitOverflow, about: "limit", small: "nothing" },
  },
  {
    name: "gatehouse_violations_total",
    help: "Requests that were scored by abuse, by what was wrong with them.",
    type: "counter",
    labels: ["violation"],
    series: { metric: SERIES.violations, about: "nothing", small: "violation" },
  },
  {
    name: "gatehouse_blocked_requests_total",
    help: "Requests of blocked clients; shadowed: it went on, as abuse.mode is shadow.",
    type: "counter",
    labels: ["result"],
    series: { metric: SERIES.blockedRequests, about: "nothing", small: "block_result" },
  },
  {
    name: "gatehouse_shed_total",
    help: "Requests refused for load, by their class and what was short: room at the service (concurrency), time (lag) or memory.",
    type: "counter",
    labels: ["class", "reason"],
    series: { metric: SERIES.shed, about: "nothing", small: "shed" },
  },
  {
    name: "gatehouse_concurrency_limit",
    help: "Requests a service is given at a time, where it has `concurrency`; all workers together.",
    type: "gauge",
    labels: ["service"],
    series: { metric: SERIES.concurrencyLimit, about: "service", small: "nothing" },
  },
  {
    name: "gatehouse_event_loop_lag_seconds",
    help: "How far a worker was behind at worst in the last second.",
    type: "gauge",
    labels: ["worker"],
    series: { metric: SERIES.eventLoopLag, about: "nothing", small: "worker" },
  },
  {
    name: "gatehouse_shedding_level",
    help: "Classes of requests a worker refuses as it cannot keep up, from low upwards; 0: none, the fraction is a share of the next.",
    type: "gauge",
    labels: ["worker"],
    series: { metric: SERIES.sheddingLevel, about: "nothing", small: "worker" },
  },
  {
    name: "gatehouse_faults_total",
    help: "Bugs of the gateway that nothing caught; each is in its log as process.fault, and requests went on.",
    type: "counter",
    labels: [],
    series: { metric: SERIES.faults, about: "nothing", small: "nothing" },
  },
  ...CONTROL_METRICS,
]

import type { StaticDecode } from "typebox"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { Duration, Size } from "../lib/units.ts"
import { DependencySchema, DiscoverSchema, type InstanceEntry } from "./discovery/settings.ts"

const InstanceSchema = Type.Union(
  [
    Type.String({ description: "Shorthand: the URL alone." }),
    strictObject({
      url: Type.String({ description: "http://host:port, https://host:port or unix:/path/to.sock." }),
      weight: Type.Integer({
        minimum: 1,
        maximum: 256,
        default: 1,
        description: "Share of traffic relative to the others.",
      }),
    }),
  ],
  { description: "One running copy of the service." },
)

export const HealthSchema = strictObject(
  {
    path: Type.String({ pattern: "^/", description: "Path asked by GET." }),
    interval: Duration({
      default: "10s",
      description: "Time between checks of one instance; each is moved by up to 10 % either way.",
    }),
    timeout: Duration({ default: "2s", description: "Longest wait for the answer." }),
    unhealthy_after: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 3,
      description: "Failed checks in a row until an instance leaves.",
    }),
    healthy_after: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 2,
      description: "Passed checks in a row until it returns.",
    }),
    expect: Type.Array(Type.Integer({ minimum: 100, maximum: 599 }), {
      default: [],
      description: "Statuses that count as healthy; empty: any 2xx.",
    }),
    host: Type.Optional(Type.String({ description: "Host header of the check; default: the instance's." })),
  },
  { description: "Active health checks, started at once." },
)

const EjectionSchema = strictObject(
  {
    consecutive_failures: Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 5,
      description: "Connect errors, resets, timeouts and 5xx in a row until an instance is ejected.",
    }),
    base_time: Duration({
      default: "30s",
      description: "First ejection's length; it grows by as much with each further one.",
    }),
    max_time: Duration({ default: "5m", description: "Longest ejection." }),
    max_percent: Type.Integer({
      minimum: 0,
      maximum: 100,
      default: 50,
      description:
        "Largest share of a service's instances that may be ejected at a time; at least one may always be when there are two or more. 0 turns ejection off.",
    }),
  },
  { default: {}, description: "Passive health: instances that fail real traffic leave for a while." },
)

export const BreakerSchema = strictObject(
  {
    failure_threshold: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 5,
      description: "Failures within the window that open the circuit.",
    }),
    recovery_timeout: Duration({ default: "60s", description: "How long it stays open before a trial." }),
    half_open_timeout: Duration({
      default: "30s",
      description: "How long a trial may take before the circuit opens again.",
    }),
    failure_window: Duration({ default: "120s", description: "Span in which failures are counted." }),
    min_throughput: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 5,
      description: "Requests within the window below which the circuit never opens.",
    }),
    half_open_requests: Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 1,
      description: "Trial requests let through at a time, and successes needed to close.",
    }),
  },
  { description: "Circuit breaker: stops asking a service that keeps failing." },
)

const Share = (percent: number, name: string) =>
  Type.Integer({
    minimum: 1,
    maximum: 100,
    default: percent,
    description: `Percentage of the limit up to which \`${name}\` requests are admitted.`,
  })

export const ConcurrencySchema = strictObject(
  {
    mode: Type.Union([Type.Literal("adaptive"), Type.Literal("fixed"), Type.Literal("off")], {
      default: "adaptive",
      description:
        "`adaptive`: the limit follows how long answers take, from `min` to `max`; `fixed`: it is `max`.",
    }),
    min: Type.Integer({ minimum: 1, maximum: 100_000, default: 4, description: "Lowest limit." }),
    max: Type.Integer({
      minimum: 1,
      maximum: 100_000,
      default: 1000,
      description: "Highest limit. The three numbers are of all workers together; each has its share.",
    }),
    initial: Type.Integer({
      minimum: 1,
      maximum: 100_000,
      default: 40,
      description: "Limit to begin with.",
    }),
    tolerance: Type.Number({
      minimum: 1.05,
      maximum: 1.9,
      default: 1.5,
      description:
        "Times as long as without a queue that answers may take before the limit shrinks; 5ms are always allowed.",
    }),
    probe_interval: Duration({
      default: "30s",
      description:
        "How often, at the longest, what is in flight is let fall to a third for a moment, to learn how long answers take without a queue.",
    }),
    shares: strictObject(
      { low: Share(50, "low"), normal: Share(80, "normal"), high: Share(90, "high") },
      {
        default: {},
        description:
          "How much of the limit each class may fill; the rest is kept for those above it. `critical` requests have all of it.",
      },
    ),
  },
  {
    description:
      "Bounds the requests a service works on at a time, from their first byte to the head of the answer, retries included; 503 beyond. Not for WebSockets. Without it only the pool does.",
  },
)

export const RetrySchema = strictObject(
  {
    attempts: Type.Integer({
      minimum: 1,
      maximum: 10,
      default: 2,
      description:
        "Attempts in all, the first included; 1: no retry. Where the last of them meets a refused connection, up to three more instances are asked.",
    }),
    backoff: Duration({
      default: "25ms",
      description: "Upper bound of the first wait; doubles with each attempt (full jitter).",
    }),
    max_backoff: Duration({ default: "250ms", description: "Upper bound of any wait." }),
    budget: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.2,
      description: "Largest share of retries among a service's requests.",
    }),
    per_try_timeout: Type.Optional(
      Duration({ description: "Longest wait for one attempt; default: what is left of the timeout." }),
    ),
    on: Type.Array(
      Type.Union([
        Type.Literal("connect"),
        Type.Literal("reset"),
        Type.Literal("timeout"),
        Type.Literal("502"),
        Type.Literal("503"),
        Type.Literal("504"),
      ]),
      {
        default: ["connect", "reset", "503"],
        description:
          "What is retried. Only a request of which nothing was sent, or whose method is idempotent, is ever sent again.",
      },
    ),
  },
  { default: {}, description: "Retries, to another instance first." },
)

const PoolSchema = strictObject(
  {
    max_connections: Type.Integer({
      minimum: 1,
      maximum: 65_535,
      default: 1024,
      description: "Open connections to one instance from one worker.",
    }),
    max_idle: Type.Integer({
      minimum: 0,
      maximum: 65_535,
      default: 256,
      description: "Idle connections kept to one instance by one worker.",
    }),
    idle_timeout: Duration({ default: "55s", description: "An idle connection is closed after this." }),
    max_waiting: Type.Integer({
      minimum: 0,
      maximum: 100_000,
      default: 1024,
      description: "Requests that may wait for a connection; beyond it they fail at once.",
    }),
    wait_timeout: Duration({ default: "5s", description: "Longest wait for a connection." }),
    connect_timeout: Duration({
      default: "5s",
      description: "Longest wait for a connection to open, TLS included.",
    }),
  },
  { default: {}, description: "Connections to each instance." },
)

/** Keys of an answer config holds in whole: a route's `respond`, a service's `fallback`. */
export const STATIC_ANSWER = {
  status: Type.Integer({ minimum: 200, maximum: 599, default: 200, description: "Status of the answer." }),
  headers: Type.Record(Type.String(), Type.String(), { default: {}, description: "Headers of the answer." }),
  body: Type.String({ default: "", description: "Body of the answer." }),
}

/** Instances one service may have. */
export const MAX_SERVICE_INSTANCES = 1024

export const ServiceSchema = strictObject(
  {
    instances: Type.Array(InstanceSchema, {
      default: [],
      maxItems: MAX_SERVICE_INSTANCES,
      description:
        "Where the service runs; may be empty where `discover` finds instances. A host name is looked up anew every 30s, and never connected to at a link-local address (169.254.0.0/16, fe80::/10) its name server gives; written here as an address it is.",
    }),
    discover: Type.Optional(DiscoverSchema),
    depends_on: Type.Array(DependencySchema, {
      default: [],
      maxItems: 64,
      description:
        "Services this one needs. The health that is shown is the worst of its own and of what it cannot do without; requests are passed on all the same.",
    }),
    balance: Type.Union(
      [
        Type.Literal("round_robin"),
        Type.Literal("least_requests"),
        Type.Literal("peak_ewma"),
        Type.Literal("hash"),
      ],
      {
        default: "least_requests",
        description: "How an instance is chosen.",
      },
    ),
    hash_by: Type.String({
      default: "ip",
      pattern: "^(ip|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+|cookie:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$",
      description: "For `balance: hash`: `ip`, `header:NAME` or `cookie:NAME`.",
    }),
    slow_start: Duration({
      default: 0,
      description: "A new or recovered instance reaches its full share over this time; 0: at once.",
    }),
    panic_threshold: Type.Integer({
      minimum: 0,
      maximum: 100,
      default: 50,
      description:
        "Below this percentage of available instances all are used again, healthy or not; 0: never.",
    }),
    timeout: Duration({
      default: "30s",
      description: "Longest wait from the first attempt to the head of the answer; 504 beyond.",
    }),
    idle_timeout: Duration({
      default: "60s",
      description: "Longest silence within a body in either direction; 0: none.",
    }),
    host: Type.Optional(
      Type.String({ description: "Host header sent to the service; default: the client's." }),
    ),
    tls: Type.Optional(
      strictObject({
        ca: Type.Optional(
          Type.String({ description: "PEM file of accepted authorities; default: the system's." }),
        ),
        server_name: Type.Optional(
          Type.String({ description: "SNI and name to verify; default: the URL's host." }),
        ),
        verify: Type.Boolean({
          default: true,
          description: "Whether the certificate is verified. Leave it on.",
        }),
      }),
    ),
    pool: PoolSchema,
    health: Type.Optional(HealthSchema),
    ejection: EjectionSchema,
    breaker: Type.Optional(BreakerSchema),
    retry: RetrySchema,
    concurrency: Type.Optional(ConcurrencySchema),
    max_response_header: Size({
      default: "64KB",
      description: "Largest response head accepted from the service; 502 beyond.",
    }),
    fallback: Type.Optional(
      Type.Union(
        [
          strictObject({ service: Type.String({ description: "Service asked instead." }) }),
          strictObject(STATIC_ANSWER),
        ],
        {
          description:
            "What answers when the service cannot (circuit open, no instance, failed attempts): another service or a static answer.",
        },
      ),
    ),
  },
  {
    // TypeBox fills defaults inside a record only where the value's schema has a default itself.
    default: {},
  },
)

/** A service as it is in force: what config says, and the instances that were found. */
export type ServiceConfig = Omit<StaticDecode<typeof ServiceSchema>, "instances"> & {
  readonly instances: readonly (string | InstanceEntry)[]
}
export type BreakerConfig = StaticDecode<typeof BreakerSchema>
export type ConcurrencyConfig = StaticDecode<typeof ConcurrencySchema>
export type RetryConfig = StaticDecode<typeof RetrySchema>
export type HealthConfig = StaticDecode<typeof HealthSchema>
export type EjectionConfig = StaticDecode<typeof EjectionSchema>
export type PoolConfig = StaticDecode<typeof PoolSchema>

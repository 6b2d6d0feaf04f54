import type { StaticDecode, TOptional } from "typebox"
import { AuthSchema } from "../identity/settings.ts"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { Duration, Size } from "../lib/units.ts"
import { ORDER } from "../policies/order.ts"
import { RealtimeSchema } from "../realtime/channels/options.ts"
import { WebsocketSchema } from "../realtime/socket_settings.ts"
import { AbuseSchema } from "../safety/abuse_options.ts"
import { SafetySchema } from "../safety/safety_options.ts"
import { RedisSchema } from "../store/redis_settings.ts"
import { UsageSchema } from "../store/usage_settings.ts"
import { DiscoverySchema } from "../upstream/discovery/settings.ts"
import { type ServiceConfig, ServiceSchema, STATIC_ANSWER } from "../upstream/service.ts"

type PolicyList = (typeof ORDER)[number]
type PolicyOptions = { [P in PolicyList as P["name"]]: TOptional<P["schema"]> }

/** The options of every policy, each optional, keyed by its name. */
const policyOptions = Object.fromEntries(
  ORDER.map((policy) => [policy.name, Type.Optional(policy.schema)]),
) as PolicyOptions

const PolicyName = Type.Enum(
  ORDER.map((policy) => policy.name),
  { description: "Name of a policy." },
)

const TlsSchema = strictObject(
  {
    cert: Type.String({ description: "PEM file: the certificate, then its chain." }),
    key: Type.String({ description: "PEM file: the private key." }),
    min_version: Type.Union([Type.Literal("1.2"), Type.Literal("1.3")], {
      default: "1.2",
      description: "Oldest TLS version accepted.",
    }),
    client_ca: Type.Optional(
      Type.String({
        description:
          "PEM file: the authorities of client certificates. With it, clients are asked for one (HTTP/1.1 only).",
      }),
    ),
    client_cert: Type.Union([Type.Literal("required"), Type.Literal("optional")], {
      default: "required",
      description:
        "Whether a client without certificate may come in, where `client_ca` is set. One with a bad certificate never may.",
    }),
  },
  { description: "TLS for clients. The files are watched: new ones are taken without a restart." },
)

const SheddingSchema = strictObject(
  {
    max_lag: Duration({
      default: "500ms",
      description:
        "The event loop of a worker may be behind by so much; 0: any. Beyond it, for 0.3 s or more, requests are refused.",
    }),
    max_memory: Type.Optional(
      Size({
        description:
          "Resident memory of the process at which all `low` requests are refused: some from 90 % on, `normal` and `high` ones from 100 % and 110 %.",
      }),
    ),
  },
  {
    default: {},
    description:
      "What each worker refuses when it cannot keep up: requests to services, by their class (see `priority`), `low` first and `critical` never. 503 with Retry-After.",
  },
)

const ServerSchema = strictObject(
  {
    host: Type.String({ default: "0.0.0.0", description: "Address to listen on." }),
    port: Type.Integer({
      minimum: 0,
      maximum: 65_535,
      default: 8080,
      description: "Port for clients; 0: any free one.",
    }),
    workers: Type.Union([Type.Literal("auto"), Type.Integer({ minimum: 1, maximum: 256 })], {
      default: "auto",
      description: "Threads that answer clients; auto: one a core.",
    }),
    tls: Type.Optional(TlsSchema),
    http2: Type.Boolean({ default: false, description: "Offer HTTP/2 to TLS clients." }),
    redirect_port: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_535,
        description: "Plain port that redirects every request to https (308).",
      }),
    ),
    trusted_proxies: Type.Array(Type.String(), {
      default: [],
      description: "Addresses or CIDR ranges whose X-Forwarded-For, -Proto and -Host are believed.",
    }),
    client_cert_header: Type.Optional(
      Type.String({
        description:
          "Header in which trusted proxies pass the client's certificate on: `Client-Cert` (RFC 9440), or another with URL-encoded PEM.",
      }),
    ),
    client_cert_ca: Type.Optional(
      Type.String({
        description:
          "PEM file: who must have signed the certificate in `client_cert_header`. Without it `tls.client_ca`; without both, the proxies' check is believed.",
      }),
    ),
    lane: Type.Boolean({
      default: true,
      description:
        "Read HTTP/1.1 at byte level, which costs about two thirds of the CPU (`bench plain`); off: everything is served by the runtime's HTTP server, as HTTP/2 and the WebSockets of channels are in any case. With `http2`, TLS connections are served by that one too.",
    }),
    max_connections: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 20_000,
      description:
        "Connections each worker has open with clients; further ones are closed at once. Not counted where the runtime's HTTP server has the port (`lane: false`, `http2`), which shows none.",
    }),
    max_connections_per_ip: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      default: 0,
      description:
        "Of these, how many may be of one client address (IPv6: of its first 64 bits); 0: any number. `abuse.allow` and trusted proxies are not bounded.",
    }),
    header_timeout: Duration({
      default: "10s",
      description:
        "Longest time from the first byte of a request head to its last; the connection is closed beyond. Where the runtime's HTTP server has the port, it is 8 to 16 s.",
    }),
    keep_alive_timeout: Duration({
      default: "75s",
      description: "An idle client connection is closed after this (8s to 255s).",
    }),
    body_timeout: Duration({
      default: "30s",
      description:
        "Longest silence within a request body (408 beyond), and longest time a client may take no byte of its answer (the connection is cut).",
    }),
    min_body_rate: Size({
      default: "128B",
      description: "Slowest body accepted, bytes a second on average after the first 10 seconds; 0: any.",
    }),
    max_body: Size({
      default: "10MB",
      description: "Largest request body where a route does not say otherwise.",
    }),
    max_requests_per_ip: Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      default: 0,
      description:
        "Requests of one client address (IPv6: of its first 64 bits) that each worker handles at a time, 429 beyond; 0: any number. `abuse.allow` and trusted proxies are not bounded.",
    }),
    websocket: WebsocketSchema,
    shedding: SheddingSchema,
    shutdown_timeout: Duration({
      default: "30s",
      description: "After SIGTERM, requests in flight may take this long.",
    }),
    drain_delay: Duration({
      default: "1s",
      description:
        "After SIGTERM, how long answers still go out, with Connection: close, before the port closes.",
    }),
  },
  { default: {}, description: "The port clients come to." },
)

const AdminSchema = strictObject(
  {
    host: Type.String({ default: "127.0.0.1", description: "Address to listen on." }),
    port: Type.Integer({
      minimum: 0,
      maximum: 65_535,
      default: 9080,
      description: "Port of /metrics and the admin API.",
    }),
    token: Type.Optional(
      Type.String({
        minLength: 16,
        description: "Bearer token; without it a random one is printed once at start.",
      }),
    ),
  },
  { default: {}, description: "The port operators come to; always authenticated." },
)

const RespondSchema = strictObject(STATIC_ANSWER, { description: "Answers in place of a service." })

const PathPattern = Type.String({
  pattern: "^/",
  description:
    "Literal segments, `:name` or `{name}` for one segment, `*` at the end for the rest (also none).",
})

export const RouteSchema = strictObject({
  path: PathPattern,
  methods: Type.Array(Type.Enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]), {
    default: [],
    uniqueItems: true,
    description: "Methods served; empty: all. GET brings HEAD along.",
  }),
  hosts: Type.Array(Type.String(), {
    default: [],
    description: "Hosts served, `*.example.com` for any one label; empty: all.",
  }),
  headers: Type.Record(Type.String(), Type.String(), {
    default: {},
    description: "Request headers that must have these values.",
  }),
  service: Type.Optional(Type.String({ description: "Service that answers." })),
  respond: Type.Optional(RespondSchema),
  strip_prefix: Type.Optional(
    Type.String({ pattern: "^/", description: "Leading part of the path not sent to the service." }),
  ),
  rewrite: Type.Optional(
    Type.String({
      pattern: "^/",
      description:
        "Path sent to the service; `$1`, `$2`, … are what the parameters and the wildcard matched, in order.",
    }),
  ),
  websocket: Type.Optional(
    Type.Literal("relay", { description: "Passes WebSocket handshakes on to the service." }),
  ),
  timeout: Type.Optional(
    Duration({ description: "Longest wait for the head of the answer; default: the service's." }),
  ),
  allow_encoded: Type.Boolean({
    default: false,
    description:
      "Lets `%2F`, `%5C`, `;` and escaped escapes such as `%252F` through, as sent. Only for services that read them as data.",
  }),
  summary: Type.Optional(Type.String({ description: "One line for the API reference at /docs." })),
  description: Type.Optional(Type.String({ description: "More for the API reference." })),
  examples: Type.Optional(
    strictObject(
      {
        request: Type.Optional(Type.Unknown({ description: "Example body of a request." })),
        response: Type.Optional(Type.Unknown({ description: "Example body of an answer." })),
      },
      { description: "Examples for the API reference." },
    ),
  ),
  without: Type.Array(PolicyName, { default: [], description: "Policies of `defaults` this route drops." }),
  ...policyOptions,
})

const LogSchema = strictObject(
  {
    level: Type.Union(
      [Type.Literal("debug"), Type.Literal("info"), Type.Literal("warn"), Type.Literal("error")],
      { default: "info", description: "Least serious event written." },
    ),
  },
  {
    default: {},
    description:
      "The gateway's own log, JSON lines on standard error. The access log goes to standard output.",
  },
)

const LimitsSchema = strictObject(
  {
    max_keys: Type.Integer({
      minimum: 1000,
      maximum: 50_000_000,
      default: 100_000,
      description:
        "Callers with a bucket that is not full, at a time: 23 bytes of memory each, taken as they come. Beyond, newcomers share buckets.",
    }),
    sync_interval: Duration({
      default: "100ms",
      description:
        "With `redis`: how often machines tell each other what was taken (10ms to 5s). On several machines as much more gets through at worst as the others admit in this time.",
    }),
  },
  { default: {}, description: "Memory of the policy `rate_limit`, and how machines share it." },
)

export const ConfigSchema = strictObject({
  server: ServerSchema,
  admin: AdminSchema,
  log: LogSchema,
  store: Type.Optional(
    Type.String({
      pattern: "^(sqlite:.+|postgres(ql)?://.+)$",
      description:
        "Where accounts, keys and records are kept: `sqlite:./gatehouse.db`, or `postgres://user:password@host/db`.",
    }),
  ),
  redis: Type.Optional(RedisSchema),
  auth: Type.Optional(AuthSchema),
  limits: LimitsSchema,
  usage: Type.Optional(UsageSchema),
  abuse: Type.Optional(AbuseSchema),
  realtime: Type.Optional(RealtimeSchema),
  safety: Type.Optional(SafetySchema),
  services: Type.Record(Type.String({ pattern: "^[a-z][a-z0-9_-]{0,62}$" }), ServiceSchema, {
    default: {},
    description: "What the gateway stands in front of, by name.",
  }),
  discovery: DiscoverySchema,
  defaults: strictObject(policyOptions, {
    default: {},
    description: "Policies every route has unless it says otherwise.",
  }),
  routes: Type.Array(RouteSchema, {
    default: [],
    maxItems: 20_000,
    description: "What clients may ask for. The most specific route wins, whatever their order.",
  }),
})

/** The whole file, decoded: durations in milliseconds, sizes in bytes, defaults filled in. */
export type Config = Omit<StaticDecode<typeof ConfigSchema>, "services"> & {
  readonly services: Readonly<Record<string, ServiceConfig>>
}
export type RouteConfig = StaticDecode<typeof RouteSchema>
export type ServerConfig = StaticDecode<typeof ServerSchema>
export type TlsConfig = StaticDecode<typeof TlsSchema>

import type { StaticDecode, TOptional } from "typebox"
import { parseRate } from "../../lib/rate.ts"
import { strictObject } from "../../lib/strict_object.ts"
import { didYouMean } from "../../lib/suggest.ts"
import { Type } from "../../lib/type.ts"
import { Duration, Size } from "../../lib/units.ts"
import { MESSAGE_ORDER } from "../../policies/order.ts"
import type { ServiceCall } from "./call_service.ts"
import { compileChannelCondition } from "./condition.ts"

const list = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { default: [], uniqueItems: true, description })

const count = (description: string, value: number, maximum: number, minimum = 1) =>
  Type.Integer({ minimum, maximum, default: value, description })

const callProperties = {
  service: Type.String({ description: "Name of the service that is asked." }),
  path: Type.String({ pattern: "^/[A-Za-z0-9/_.~-]*$", description: "Path it is asked at, by POST." }),
  timeout: Duration({ default: "2s", description: "Longest wait for its answer (1ms to 30s)." }),
}

const AccessSchema = (description: string) =>
  strictObject(
    {
      roles: list("The caller must have one of these roles."),
      scopes: list("The caller must have all of these scopes."),
      when: Type.Optional(
        Type.String({
          description:
            "Condition in CEL on `principal`, `channel` and `key` (the channel's name after the prefix), e.g. `key == principal.id`. What cannot be told is refused.",
        }),
      ),
      ask: Type.Optional(
        strictObject(callProperties, {
          description:
            "A service that has the last word: it gets `action`, `channel` and `user` as JSON. 2xx: the caller may; without an answer it may not.",
        }),
      ),
      anonymous: Type.Boolean({
        default: false,
        description: "Callers who did not say who they are may, too; see `realtime.anonymous`.",
      }),
    },
    { description },
  )

const HistorySchema = strictObject(
  {
    size: count("Publications kept of each channel; 0: none, and nobody can recover.", 100, 100_000, 0),
    ttl: Duration({ default: "10m", description: "How long a publication is kept (1s to 30d)." }),
  },
  { default: {}, description: "What clients that come back can get, and `history` gives." },
)

const ForwardSchema = strictObject(
  {
    ...callProperties,
    from: Type.Union([Type.Literal("clients"), Type.Literal("everybody")], {
      default: "clients",
      description: "`everybody`: what services publish, too.",
    }),
    retry_for: Duration({
      default: "10m",
      description: "How long after it was accepted a message that failed is tried again (1s to 1d).",
    }),
    max_queue: count(
      "Messages that wait at a time in one process; those beyond are not sent.",
      10_000,
      1_000_000,
    ),
    max_queue_bytes: Size({ default: "64MB", description: "Bytes of them, about (64KB to 1GB)." }),
  },
  {
    description:
      "A service that gets each message after it is published: `channel`, `epoch`, `offset`, `user` and `data` as JSON, with `Idempotency-Key`. One after another in a channel, at least once while the gateway runs: no answer, 5xx, 408, 425 and 429 are tried again, with backoff; another status refuses the message.",
  },
)

type MessagePolicies = (typeof MESSAGE_ORDER)[number]

/** The options of every policy of messages, each optional, keyed by its name. */
const MessagesSchema = strictObject(
  Object.fromEntries(MESSAGE_ORDER.map((policy) => [policy.name, Type.Optional(policy.schema)])) as {
    [P in MessagePolicies as P["name"]]: TOptional<P["schema"]>
  },
  {
    default: {},
    description:
      "What has a say in messages clients publish, in this order: `schema`, `rules`, then the service in `screen`. Messages of services pass.",
  },
)

const NamespaceSchema = strictObject(
  {
    prefix: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z0-9_.@~-]{1,63}:$",
        description: "What names of its channels begin with; default: the name of the namespace and a colon.",
      }),
    ),
    subscribe: Type.Optional(
      AccessSchema("Who may subscribe, read history and see who is there; absent: no client."),
    ),
    publish: Type.Optional(
      AccessSchema("Which clients may publish; absent: none. Services need the scope `realtime:publish`."),
    ),
    history: HistorySchema,
    presence: Type.Boolean({ default: false, description: "Clients may ask who is there." }),
    join_leave: Type.Boolean({ default: false, description: "Subscribers are told who comes and goes." }),
    delivery: Type.Union([Type.Literal("best_effort"), Type.Literal("at_least_once")], {
      default: "best_effort",
      description:
        "`at_least_once`: each user (or session of one) acknowledges, and gets again what it did not, also after it was away.",
    }),
    ack_timeout: Duration({
      default: "10s",
      description: "What is not acknowledged after this long is sent again (1s to 1h).",
    }),
    max_deliveries: count(
      "After so many redeliveries a publication is put on the list of dead letters.",
      10,
      1000,
    ),
    messages: MessagesSchema,
    screen: Type.Optional(
      strictObject(callProperties, {
        description:
          "A service that sees each message before it is published: `channel`, `user` and `data` as JSON. 2xx without `data` lets it through, with `data` puts that in its place; 403 refuses it, with its `message` for the sender. With `escalate: { category, severity }` it becomes a safety event, too. Without an answer nothing is published.",
      }),
    ),
    forward: Type.Optional(ForwardSchema),
    max_message: Size({ default: "32KB", description: "Largest message, in bytes of JSON text." }),
  },
  { default: {} },
)

/** Bounds of channels in memory, where config has no section `realtime` at the start. */
export const MEMORY_BOUNDS = { max_channels: 100_000, max_memory: 256 * 1024 * 1024 }

/** The section `realtime`. */
export const RealtimeSchema = strictObject(
  {
    path: Type.String({
      pattern: "^/[A-Za-z0-9/_.-]*[A-Za-z0-9_-]$",
      default: "/api/v1/realtime",
      description: "Where clients connect; other endpoints are below.",
    }),
    anonymous: Type.Boolean({
      default: false,
      description: "Takes clients that do not say who they are, for namespaces with `anonymous`.",
    }),
    max_connections: count("Connections at a time, all workers together.", 20_000, 1_000_000),
    max_connections_per_user: count("Of one user at a time.", 20, 100_000),
    max_connections_per_ip: count("From one address at a time.", 500, 1_000_000),
    max_subscriptions: count("Channels one connection may be subscribed to.", 128, 10_000),
    max_message: Size({
      default: "64KB",
      description: "Largest frame a client may send; beyond it the connection is closed with 4505.",
    }),
    rate: Type.String({
      default: "50/s",
      description:
        "Commands one connection may send; what is beyond is refused, and who goes on is closed with 4004.",
    }),
    max_buffered: Size({
      default: "1MB",
      description:
        "A client with more than this waiting to be sent reads too slowly and is closed with 4001.",
    }),
    ping_interval: Duration({
      default: "25s",
      description: "Silent clients are pinged this often, and given up after twice as long (1s to 60s).",
    }),
    max_channels: count("Channels kept in memory at a time.", MEMORY_BOUNDS.max_channels, 10_000_000),
    max_memory: Size({ default: "256MB", description: "Bytes of publications kept in memory, about." }),
    rpc: Type.Record(
      Type.String({ pattern: "^[A-Za-z0-9_.-]{1,64}$" }),
      strictObject({
        ...callProperties,
        roles: list("The caller must have one of these roles."),
        scopes: list("The caller must have all of these scopes."),
      }),
      {
        default: {},
        description:
          "Methods of `rpc`, by name: the service gets `method`, `user` and `data` as JSON; what it answers with 2xx is the result. Callers who are known only.",
      },
    ),
    namespaces: Type.Record(Type.String({ pattern: "^[a-z][a-z0-9_-]{0,62}$" }), NamespaceSchema, {
      default: {},
      description: "Kinds of channels, by name. A channel that belongs to none does not exist.",
    }),
  },
  { description: "Channels over WebSocket. Absent: there are none." },
)

export type RealtimeOptions = StaticDecode<typeof RealtimeSchema>
export type NamespaceOptions = StaticDecode<typeof NamespaceSchema>
export type ForwardOptions = NonNullable<NamespaceOptions["forward"]>
export type AccessOptions = NonNullable<NamespaceOptions["subscribe"]>

export interface RealtimeFault {
  readonly at: readonly (string | number)[]
  readonly message: string
}

const DAY_MS = 86_400_000

/** What the schema cannot say. `secured`: config has a section `auth`. `services`: the names there are. */
export function checkRealtime(
  options: RealtimeOptions,
  secured: boolean,
  services: ReadonlySet<string>,
): readonly RealtimeFault[] {
  const found: RealtimeFault[] = []
  const report = (message: string, ...at: (string | number)[]) => found.push({ at, message })
  for (const [at, call] of callsOf(options)) {
    if (!services.has(call.service))
      report(
        `there is no service "${call.service}"${didYouMean(call.service, [...services])}`,
        ...at,
        "service",
      )
    if (call.timeout < 1 || call.timeout > 30_000) report("must be from 1ms to 30s", ...at, "timeout")
  }
  const rate = parseRate(options.rate)
  if (typeof rate === "string") report(rate, "rate")
  if (options.ping_interval < 1000 || options.ping_interval > 60_000)
    report("must be from 1s to 60s", "ping_interval")
  if (options.max_message < 256 || options.max_message > 16 * 1024 * 1024)
    report("must be from 256B to 16MB", "max_message")
  if (options.max_buffered < 16_384 || options.max_buffered > 8 * 1024 * 1024)
    report("must be from 16KB to 8MB", "max_buffered")
  if (!secured && !options.anonymous)
    report("nobody could connect: write a section auth, or set anonymous", "anonymous")
  const prefixes = new Map<string, string>()
  for (const [name, namespace] of Object.entries(options.namespaces)) {
    const prefix = prefixOf(name, namespace)
    const other = prefixes.get(prefix)
    if (other !== undefined)
      report(`is the one of the namespace "${other}" too`, "namespaces", name, "prefix")
    prefixes.set(prefix, name)
    checkNamespace(namespace, options, (message, ...at) => report(message, "namespaces", name, ...at))
  }
  return found
}

function checkNamespace(
  namespace: NamespaceOptions,
  { anonymous, max_message }: RealtimeOptions,
  report: (message: string, ...at: string[]) => void,
): void {
  const { history, delivery, forward } = namespace
  if (history.ttl < 1000 || history.ttl > 30 * DAY_MS) report("must be from 1s to 30d", "history", "ttl")
  if (namespace.ack_timeout < 1000 || namespace.ack_timeout > 3_600_000)
    report("must be from 1s to 1h", "ack_timeout")
  if (namespace.max_message < 1 || namespace.max_message > max_message)
    report("must be at least 1B and at most realtime.max_message", "max_message")
  if (forward !== undefined) {
    if (forward.retry_for < 1000 || forward.retry_for > DAY_MS)
      report("must be from 1s to 1d", "forward", "retry_for")
    if (forward.max_queue_bytes < 65_536 || forward.max_queue_bytes > 1024 ** 3)
      report("must be from 64KB to 1GB", "forward", "max_queue_bytes")
  }
  if (delivery === "at_least_once" && history.size === 0)
    report("what is not kept cannot be sent again; give it a history", "delivery")
  for (const policy of MESSAGE_ORDER) {
    const options = namespace.messages[policy.name] as never
    if (options !== undefined)
      for (const message of policy.check?.(options) ?? []) report(message, "messages", policy.name)
  }
  for (const key of ["subscribe", "publish"] as const) {
    const access = namespace[key]
    if (access === undefined) continue
    if (access.anonymous && !anonymous) report("needs realtime.anonymous", key, "anonymous")
    if (
      access.anonymous &&
      (access.roles.length > 0 || access.scopes.length > 0 || access.when !== undefined)
    )
      report("cannot be had together with roles, scopes or when", key, "anonymous")
    if (access.anonymous && key === "subscribe" && delivery === "at_least_once")
      report("somebody unknown cannot acknowledge; drop it, or at_least_once", key, "anonymous")
    const condition = access.when === undefined ? undefined : compileChannelCondition(access.when)
    if (typeof condition === "string") report(condition, key, "when")
  }
}

/** Every service that is asked something, with its place. */
export function* callsOf({
  rpc,
  namespaces,
}: RealtimeOptions): Generator<readonly [readonly string[], ServiceCall]> {
  for (const [method, call] of Object.entries(rpc)) yield [["rpc", method], call]
  for (const [name, { subscribe, publish, screen, forward }] of Object.entries(namespaces)) {
    if (subscribe?.ask !== undefined) yield [["namespaces", name, "subscribe", "ask"], subscribe.ask]
    if (publish?.ask !== undefined) yield [["namespaces", name, "publish", "ask"], publish.ask]
    if (screen !== undefined) yield [["namespaces", name, "screen"], screen]
    if (forward !== undefined) yield [["namespaces", name, "forward"], forward]
  }
}

export const prefixOf = (name: string, { prefix }: Pick<NamespaceOptions, "prefix">): string =>
  prefix ?? `${name}:`

/** Namespaces with a policy that raises safety events, and the place of that policy. */
export function* escalatingPolicies({
  namespaces,
}: RealtimeOptions): Generator<readonly [namespace: string, policy: string]> {
  for (const [name, { messages }] of Object.entries(namespaces))
    for (const policy of MESSAGE_ORDER) {
      const options = messages[policy.name] as never
      if (options !== undefined && "escalates" in policy && policy.escalates?.(options))
        yield [name, policy.name]
    }
}

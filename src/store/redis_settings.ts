import type { StaticDecode } from "typebox"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { Duration } from "../lib/units.ts"

const hosts = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 64, description }))

export const RedisSchema = Type.Union(
  [
    Type.String({ pattern: "^rediss?://.+$" }),
    strictObject({
      url: Type.Optional(
        Type.String({
          pattern: "^rediss?://.+$",
          description: "One server: `redis://user:password@host:6379/0`; `rediss://` by TLS.",
        }),
      ),
      sentinels: hosts("Sentinels as `host:port`; they tell where the master `name` is."),
      name: Type.Optional(
        Type.String({ minLength: 1, description: "What the sentinels call the master; default: mymaster." }),
      ),
      nodes: hosts("Some nodes of a Redis Cluster as `host:port`; the others are found by them."),
      username: Type.Optional(
        Type.String({ description: "With `sentinels` or `nodes`; a URL has its own." }),
      ),
      password: Type.Optional(
        Type.String({ description: "With `sentinels` or `nodes`; a URL has its own." }),
      ),
      sentinel_password: Type.Optional(Type.String({ description: "Of the sentinels themselves." })),
      tls: Type.Boolean({
        default: false,
        description: "Connect by TLS, with `sentinels` or `nodes`; certificates are verified.",
      }),
      ca: Type.Optional(
        Type.String({
          minLength: 1,
          description:
            "PEM file of the authorities its certificate must come from, instead of those of the system; by TLS.",
        }),
      ),
      prefix: Type.String({
        pattern: "^[A-Za-z0-9_.:-]{1,64}$",
        default: "gatehouse",
        description:
          "What the names of all keys begin with. Gateways with the same prefix share their state.",
      }),
      connect_timeout: Duration({
        default: "2s",
        description: "Longest wait for a connection (10ms to 60s).",
      }),
      command_timeout: Duration({
        default: "500ms",
        description:
          "Redis counts as away when an answer takes longer (10ms to 60s). No request waits for it.",
      }),
    }),
  ],
  {
    description:
      "What several machines share: rate limits, blocks of clients, registered instances, channels. `redis://host:6379`, or a mapping with one of `url`, `sentinels` and `nodes`. Absent: every machine is on its own.",
  },
)

/** As config has it. */
export type RedisConfig = StaticDecode<typeof RedisSchema>

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** How to reach Redis. */
export interface RedisSettings {
  readonly target:
    | { readonly kind: "server"; readonly url: string }
    | { readonly kind: "sentinel"; readonly sentinels: readonly HostPort[]; readonly name: string }
    | { readonly kind: "cluster"; readonly nodes: readonly HostPort[] }
  readonly username: string | undefined
  readonly password: string | undefined
  readonly sentinelPassword: string | undefined
  readonly tls: boolean
  /** PEM file; `undefined`: the authorities of the system. */
  readonly ca: string | undefined
  readonly prefix: string
  readonly connectTimeoutMs: number
  /** Redis counts as away when an answer takes longer. */
  readonly commandTimeoutMs: number
}

const SENTINEL_PORT = 26_379
const REDIS_PORT = 6379
const SHORTEST_MS = 10
const LONGEST_MS = 60_000

/** Settings of a section that config was taken with, so that nothing is wrong with it. Throws `Error` otherwise. */
export function checkedRedisSettings(config: RedisConfig): RedisSettings {
  const settings = toRedisSettings(config)
  if (typeof settings === "string") throw new Error(`redis: ${settings}`)
  return settings
}

/** What the section says, or what is wrong with it, without passwords. */
export function toRedisSettings(config: RedisConfig): RedisSettings | string {
  const all =
    typeof config === "string"
      ? { url: config, tls: false, prefix: "gatehouse", connect_timeout: 2000, command_timeout: 500 }
      : config
  const { url, sentinels, nodes, name, username, password, sentinel_password, tls, ca, prefix } = {
    ca: undefined,
    sentinels: undefined,
    nodes: undefined,
    name: undefined,
    username: undefined,
    password: undefined,
    sentinel_password: undefined,
    ...all,
  }
  const { connect_timeout: connectTimeoutMs, command_timeout: commandTimeoutMs } = all
  for (const ms of [connectTimeoutMs, commandTimeoutMs])
    if (ms < SHORTEST_MS || ms > LONGEST_MS) return "connect_timeout and command_timeout are 10ms to 60s"
  const rest = {
    username,
    password,
    sentinelPassword: sentinel_password,
    tls,
    ca,
    prefix,
    connectTimeoutMs,
    commandTimeoutMs,
  }
  if ([url, sentinels, nodes].filter((each) => each !== undefined).length !== 1)
    return "needs exactly one of url, sentinels and nodes"
  if (ca !== undefined && !tls && !url?.startsWith("rediss:"))
    return "ca says whom to trust by TLS: write rediss:// in the URL, or tls: true"
  if (url !== undefined) {
    const problem = urlProblem(url, username ?? password, tls)
    return problem ?? { target: { kind: "server", url }, ...rest }
  }
  const places = (sentinels ?? nodes ?? []).map((text) =>
    toHostPort(text, sentinels === undefined ? REDIS_PORT : SENTINEL_PORT),
  )
  const known = places.filter((place) => place !== undefined)
  if (known.length < places.length) return "write each host as host:port, IPv6 as [::1]:6379"
  if (sentinels !== undefined)
    return { target: { kind: "sentinel", sentinels: known, name: name ?? "mymaster" }, ...rest }
  return { target: { kind: "cluster", nodes: known }, ...rest }
}

function urlProblem(url: string, beside: string | undefined, tls: boolean): string | undefined {
  const parsed = URL.parse(url)
  if (parsed === null || parsed.hostname === "")
    return "not a URL; in a password, @ : / are written %40 %3A %2F"
  if (!/^(\/\d{0,3})?$/.test(parsed.pathname)) return "after the host a URL has a database number at most: /0"
  if (beside !== undefined) return "username and password stand in the URL: redis://user:password@host:6379"
  return tls ? "by TLS the URL begins with rediss://" : undefined
}

function toHostPort(text: string, defaultPort: number): HostPort | undefined {
  const parsed = URL.parse(`redis://${text}`)
  if (parsed === null || !/^[^/@?#]+$/.test(text) || parsed.hostname === "") return undefined
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ""),
    port: parsed.port === "" ? defaultPort : Number(parsed.port),
  }
}

import type { StaticDecode } from "typebox"
import { compileLate } from "../../lib/compile_late.ts"
import { isIPv6 } from "../../lib/ip.ts"
import { parseJsonObject } from "../../lib/json_object.ts"
import { late } from "../../lib/late.ts"
import { strictObject } from "../../lib/strict_object.ts"
import { Type } from "../../lib/type.ts"
import { parseDuration } from "../../lib/units.ts"
import { parseAddress } from "../address.ts"
import type { AddressRule } from "./address_rule.ts"
import type { Dependency, FoundCheck } from "./source.ts"

/** One instance as the registry keeps it. */
export interface Registered {
  /** Made of service and URL: the same instance has the same id on every gateway. */
  readonly id: string
  readonly service: string
  /** As in config: http://host:port. */
  readonly url: string
  readonly weight: number
  /** "": unknown; the version too. */
  readonly zone: string
  readonly version: string
  readonly tags: readonly string[]
  readonly dependsOn: readonly Dependency[]
  readonly check: FoundCheck | undefined
  /** Longest time between heartbeats, in ms; 0: it stays until it is deregistered. */
  readonly ttlMs: number
  /** Wall clock in ms when it came, or last came with other words. */
  readonly registeredAt: number
  readonly draining: boolean
}

export const MIN_TTL_MS = 5000
export const MAX_TTL_MS = 3_600_000
const DEFAULT_TTL_MS = 30_000
const MIN_CHECK_MS = 1000
const MAX_CHECK_MS = 3_600_000
const DEFAULT_CHECK_MS = 10_000

/** Name of a service, as config has it. */
const Name = Type.String({ pattern: "^[a-z][a-z0-9_-]{0,62}$" })
const Word = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9_.:+/=@-]{0,63}$" })
const Tags = Type.Array(Word, { maxItems: 32, uniqueItems: true })
const Path = Type.String({ pattern: "^/[\\x21-\\x22\\x24-\\x7e]{0,511}$" })
const Weight = Type.Integer({ minimum: 1, maximum: 256 })
const Kind = Type.Union([Type.Literal("hard"), Type.Literal("soft")])
const Span = Type.Union([Type.Number({ minimum: 0 }), Type.String({ maxLength: 16 })])

/** What a service sends to register an instance of itself. */
export const RegistrationSchema = strictObject({
  service_name: Name,
  host: Type.Optional(Type.String({ minLength: 1, maxLength: 253 })),
  port: Type.Integer({ minimum: 1, maximum: 65_535 }),
  scheme: Type.Optional(Type.Union([Type.Literal("http"), Type.Literal("https")])),
  check_endpoint: Type.Optional(Path),
  check_interval: Type.Optional(Span),
  weight: Type.Optional(Weight),
  version: Type.Optional(Word),
  zone: Type.Optional(Word),
  tags: Type.Optional(Tags),
  depends_on: Type.Optional(
    Type.Array(Type.Union([Name, strictObject({ service: Name, kind: Type.Optional(Kind) })]), {
      maxItems: 32,
    }),
  ),
  ttl: Type.Optional(Span),
})
export type Registration = StaticDecode<typeof RegistrationSchema>

/** A field that will not do. Never holds its value. */
interface Unfit {
  readonly kind: "unfit"
  /** JSON pointer. */
  readonly field: string
  readonly message: string
}

const REFUSED =
  "is a loopback, link-local, metadata or multicast address; the operator may list it in `discovery.allow`"

const unfit = (field: string, message: string): Unfit => ({ kind: "unfit", field, message })

/** Id of an instance: the same wherever and however often it is registered. */
export function instanceId(service: string, url: string): string {
  return late.crypto.createHash("sha256").update(`${service}\n${url}`).digest("hex").slice(0, 16)
}

export interface Registrar {
  /** Address of the caller: the host where the request names none. */
  readonly client: string
  readonly rule: Pick<AddressRule, "problem">
  /** Wall clock in ms. */
  readonly at: number
}

/** The instance a request means, or the first thing in it that will not do. */
export function toRegistered(
  request: Registration,
  { client, rule, at }: Registrar,
): { readonly kind: "instance"; readonly instance: Registered } | Unfit {
  const { service_name: service, scheme = "http", port } = request
  const url = urlOf(scheme, request.host ?? client, port)
  if (url === undefined) return unfit("/host", "is no host name and no IP address")
  if (rule.problem(url) !== undefined) return unfit("/host", REFUSED)
  const interval = parseDuration(request.check_interval ?? DEFAULT_CHECK_MS / 1000)
  if (interval === undefined || interval < MIN_CHECK_MS || interval > MAX_CHECK_MS)
    return unfit("/check_interval", "is in seconds or a duration such as 10s, from 1s to 1h")
  const path = request.check_endpoint
  const ttlMs = request.ttl === undefined ? defaultTtl(path) : parseDuration(request.ttl)
  if (ttlMs === undefined || (ttlMs !== 0 && (ttlMs < MIN_TTL_MS || ttlMs > MAX_TTL_MS)) || request.ttl === 0)
    return unfit("/ttl", "is in seconds or a duration such as 30s, from 5s to 1h")
  const dependsOn = (request.depends_on ?? []).map((each) =>
    typeof each === "string"
      ? ({ service: each, kind: "hard" } as const)
      : { service: each.service, kind: each.kind ?? "hard" },
  )
  if (new Set(dependsOn.map((each) => each.service)).size < dependsOn.length)
    return unfit("/depends_on", "names a service twice")
  if (dependsOn.some((each) => each.service === service))
    return unfit("/depends_on", "names the service itself")
  const instance: Registered = {
    id: instanceId(service, url),
    service,
    url,
    weight: request.weight ?? 1,
    zone: request.zone ?? "",
    version: request.version ?? "",
    tags: request.tags ?? [],
    dependsOn,
    check: path === undefined ? undefined : { path, interval: Math.round(interval) },
    ttlMs: Math.round(ttlMs),
    registeredAt: at,
    draining: false,
  }
  return { kind: "instance", instance }
}

/** What is checked need not send heartbeats. */
const defaultTtl = (check: string | undefined): number => (check === undefined ? DEFAULT_TTL_MS : 0)

/** `undefined`: the host is none. Only names and addresses get as far as the URL parser, which takes much more. */
function urlOf(scheme: string, host: string, port: number): string | undefined {
  const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? host
  const v6 = isIPv6(bare) && !bare.includes("%")
  if (!v6 && (host !== bare || !HOST_NAME.test(bare) || bare.includes(".."))) return undefined
  try {
    return parseAddress(`${scheme}://${v6 ? `[${bare}]` : bare}:${port}`).text
  } catch {
    // Its message is for whoever writes config, and names the address.
    return undefined
  }
}

const HOST_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$/

/** An instance as gateways write it for each other, without what is kept beside it. */
const SharedSchema = strictObject({
  service: Name,
  url: Type.String({ maxLength: 300 }),
  weight: Weight,
  zone: Type.Union([Type.Literal(""), Word]),
  version: Type.Union([Type.Literal(""), Word]),
  tags: Tags,
  dependsOn: Type.Array(strictObject({ service: Name, kind: Kind }), { maxItems: 32 }),
  check: Type.Optional(
    strictObject({ path: Path, interval: Type.Integer({ minimum: MIN_CHECK_MS, maximum: MAX_CHECK_MS }) }),
  ),
  ttlMs: Type.Union([Type.Literal(0), Type.Integer({ minimum: MIN_TTL_MS, maximum: MAX_TTL_MS })]),
  registeredAt: Type.Integer({ minimum: 0 }),
})
const shared = compileLate(SharedSchema)
const MAX_SHARED_BYTES = 8192
const encoder = new TextEncoder()

/** The text of an instance for other gateways; whether it drains stands beside it. */
export function toShared({ id, draining, ...rest }: Registered): string {
  return JSON.stringify(rest)
}

/** Reads what another gateway, or whoever else may write there, has written. `undefined`: it is no such instance. */
export function parseShared(id: string, text: string, draining: boolean): Registered | undefined {
  if (text.length > MAX_SHARED_BYTES) return undefined
  const value = parseJsonObject(encoder.encode(text), 4)
  if (value === undefined || !shared().Check(value)) return undefined
  const { service, url, check } = value
  if (instanceId(service, url) !== id || canonical(url) !== url) return undefined
  return { ...value, id, check, draining }
}

function canonical(url: string): string | undefined {
  try {
    return parseAddress(url).text
  } catch {
    // Told as what cannot be read.
    return undefined
  }
}

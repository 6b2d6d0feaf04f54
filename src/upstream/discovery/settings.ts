import type { StaticDecode } from "typebox"
import { strictObject } from "../../lib/strict_object.ts"
import { Type } from "../../lib/type.ts"
import { Duration } from "../../lib/units.ts"

/** Where instances come from beside those config lists. */
export const DiscoverSchema = strictObject(
  {
    registry: Type.Boolean({
      default: false,
      description: "Instances registered under the service's name (see /api/v1/registry).",
    }),
    file: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          "YAML or JSON file: a list of instances, each a URL or a mapping of `url`, `weight`, `zone`, `tags` and `draining`; or lists of several services by name. It is watched; a file with a mistake changes nothing.",
      }),
    ),
    dns: Type.Optional(
      strictObject(
        {
          name: Type.String({
            pattern:
              "^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\\.?$",
            maxLength: 253,
            description: "Name that is looked up, whole: no search domains are tried.",
          }),
          type: Type.Union([Type.Literal("A"), Type.Literal("AAAA"), Type.Literal("SRV")], {
            default: "A",
            description:
              "Records asked for. Each address is an instance; SRV records give ports and weights, and only those of the lowest priority are used.",
          }),
          port: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 65_535,
              description: "Port of the instances; SRV has its own.",
            }),
          ),
          refresh: Duration({
            default: "30s",
            description:
              "Time between lookups of SRV records (1s to 1h). A and AAAA records say themselves how long they hold.",
          }),
          stale: Duration({
            default: "1h",
            description:
              "How long what was found last stays in use while the name server fails or no longer knows the name.",
          }),
        },
        { description: "Instances a name server knows. https where the service has a section `tls`." },
      ),
    ),
  },
  { description: "Where instances come from beside `instances`, while the gateway runs." },
)

/** Another service that one needs. */
export const DependencySchema = strictObject({
  service: Type.String({ description: "Name of the service." }),
  kind: Type.Union([Type.Literal("hard"), Type.Literal("soft")], {
    default: "hard",
    description: "hard: this service is down when that one is. soft: it is degraded then.",
  }),
})

/** What holds for all instances that are found. */
export const DiscoverySchema = strictObject(
  {
    routes: Type.Optional(
      Type.String({
        pattern: "^/",
        description:
          "Path of a route for each registered service that config does not name, e.g. `/api/v1/{service}/*`. Without it they have none.",
      }),
    ),
    allow: Type.Array(Type.String(), {
      default: [],
      description:
        "Addresses or CIDR ranges found instances may have although they are loopback, link-local or metadata addresses.",
    }),
    dns_servers: Type.Array(Type.String(), {
      default: [],
      maxItems: 8,
      description: "Name servers asked for instances, `address` or `address:port`; empty: the system's.",
    }),
  },
  {
    default: {},
    description: "Instances that come and go while the gateway runs; see `services.*.discover`.",
  },
)

export type DiscoverConfig = StaticDecode<typeof DiscoverSchema>
export type DnsConfig = NonNullable<DiscoverConfig["dns"]>

/** Where an instance is known from that config does not list. */
export interface FoundOrigin {
  /** Name of the source. */
  readonly source: string
  /** "": unknown. */
  readonly zone: string
  readonly tags: readonly string[]
}

/** An instance in its long form. */
export interface InstanceEntry {
  readonly url: string
  /** 1 to 256. */
  readonly weight: number
  /** `undefined`: config lists it. */
  readonly found?: FoundOrigin
}

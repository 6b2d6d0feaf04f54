import type { StaticDecode } from "typebox"
import { Type } from "../lib/type.ts"
import { NORMAL, PRIORITIES, type Priority, type PriorityClass, priorityOf } from "../observe/priority.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { isFieldName } from "./header_rules.ts"
import { definePolicy } from "./policy.ts"

const strict = { additionalProperties: false } as const
const ClassName = Type.Enum([...PRIORITIES], {
  description: "Class of the requests, the most important first.",
})

const PrioritySchema = Type.Union(
  [
    ClassName,
    Type.Object(
      {
        class: Type.Enum([...PRIORITIES], {
          default: "normal",
          description: "Class of those of which nothing below says another.",
        }),
        roles: Type.Record(Type.String(), ClassName, {
          default: {},
          description: "Classes of callers with these roles; the first that fits.",
        }),
        header: Type.Optional(
          Type.String({
            description:
              "Header whose value, if it is a class, goes before all else: from peers in `server.trusted_proxies` alone.",
          }),
        ),
      },
      strict,
    ),
  ],
  { description: "`critical`, `high`, `normal` or `low`; requests without the policy are `normal`." },
)

/**
 * How important requests are when there are more than the gateway or a service bears. Whatever refuses for load
 * reads `exchange.priority`: `services.<name>.concurrency` and `server.shedding`; so do the queues of `rate_limit`, and
 * what exempts classes from limits and quotas. No client can choose its class: it comes from config, from the roles its
 * credentials prove, and from a header of trusted peers.
 */
export const priority = definePolicy({
  name: "priority",
  doc: "Says how important requests are under load: the less important ones are refused first (503).",
  failsClosed: false,
  schema: PrioritySchema,
  check(options) {
    if (typeof options === "string" || options.header === undefined || isFieldName(options.header)) return []
    return [`header: no header can have the name ${JSON.stringify(options.header)}`]
  },
  compile(options) {
    const {
      class: name,
      roles,
      header,
    } = typeof options === "string" ? { class: options, roles: {}, header: undefined } : options
    const base = priorityOf(name)
    const byRole = Object.entries(roles).map(([role, of]) => [role, priorityOf(of)] as const)
    const field = header?.toLowerCase()
    if (byRole.length === 0 && field === undefined) {
      return {
        request(exchange) {
          exchange.priority = base
          return undefined
        },
      }
    }
    return {
      request(exchange) {
        const told =
          field === undefined || !exchange.trusted ? undefined : BY_NAME.get(exchange.header(field))
        exchange.priority = told ?? ofRoles(exchange, byRole) ?? base
        return undefined
      },
    }
  },
})

const BY_NAME: ReadonlyMap<string | undefined, Priority> = new Map(
  PRIORITIES.map((name) => [name, priorityOf(name)]),
)

function ofRoles(
  { principal }: Exchange,
  byRole: readonly (readonly [role: string, of: Priority])[],
): Priority | undefined {
  if (principal === undefined) return undefined
  for (let i = 0; i < byRole.length; i++) {
    const row = byRole[i]!
    if (principal.roles.includes(row[0])) return row[1]
  }
  return undefined
}

/** The classes requests of a route may have; `undefined`: it has no such policy. */
export function classesOf(
  options: StaticDecode<typeof PrioritySchema> | undefined,
): readonly PriorityClass[] {
  if (options === undefined) return [PRIORITIES[NORMAL]]
  if (typeof options === "string") return [options]
  if (options.header !== undefined) return PRIORITIES
  const found = new Set([options.class, ...Object.values(options.roles)])
  return PRIORITIES.filter((name) => found.has(name))
}

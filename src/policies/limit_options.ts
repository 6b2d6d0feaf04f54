import type { StaticDecode } from "typebox"
import { isAddressRange } from "../lib/address_list.ts"
import { parseRate } from "../lib/rate.ts"
import { didYouMean } from "../lib/suggest.ts"
import { Type } from "../lib/type.ts"
import { Duration, Size } from "../lib/units.ts"
import { exemptCallers, exemptClasses, names } from "./exempt_options.ts"
import { isFieldName } from "./header_rules.ts"
import { allOf, oneOrSeveral } from "./one_or_several.ts"
import type { PolicyRoute } from "./policy.ts"

const strict = { additionalProperties: false } as const

const rate = Type.String({ description: "Count and time: `10/s`, `100/min`, `5000/h`, `1/d`, `100/15m`." })
const burst = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: 1_000_000_000,
    description: "Most that may come at once; default: the count of the rate.",
  }),
)

const byRank = (description: string) =>
  Type.Record(Type.String(), Type.Object({ rate, burst }, strict), { default: {}, description })

export const LimitSchema = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        pattern: "^[A-Za-z][A-Za-z0-9_.-]{0,62}$",
        description: "Name in answers, logs and metrics; default: what it counts by.",
      }),
    ),
    by: Type.Union(
      [Type.String(), Type.Array(Type.String(), { minItems: 1, maxItems: 4, uniqueItems: true })],
      {
        default: "user",
        description:
          "Who shares a bucket: `user`, `ip`, `api_key`, `tier`, `route`, `header:X`, `claim:x`, or a list of these: each combination has its own. Callers without `api_key`, or without `claim:x`, are told apart as users; callers that are not known, or without `header:X`, by `ip`; IPv6 addresses by their first 64 bits.",
      },
    ),
    rate,
    burst,
    cost: Type.Union(
      [
        Type.Integer({ minimum: 1, maximum: 1_000_000 }),
        Type.Object({ per_body: Size({ description: "A token for each so many bytes begun." }) }, strict),
      ],
      {
        default: 1,
        description:
          "Tokens a request takes; with `per_body` by the size of its body, but never more than the burst.",
      },
    ),
    tiers: byRank("Other rates for callers of these tiers."),
    roles: byRank("Other rates for callers with these roles; the first that fits, before `tiers`."),
    exempt: Type.Object(
      {
        ...exemptCallers("are not limited"),
        ips: names("Clients with these addresses, or in these ranges, are not limited."),
        methods: names("Methods that are not limited."),
        paths: names("Paths that are not limited; `/a/*`: all below `/a/`."),
        priority: exemptClasses("are not limited"),
      },
      { ...strict, default: {}, description: "What is neither limited nor counted." },
    ),
    scope: Type.Enum(["route", "service", "global"], {
      default: "route",
      description:
        "Where it is counted: for each route, for each service, or once for all that use the name.",
    }),
    mode: Type.Enum(["enforce", "shadow"], {
      default: "enforce",
      description: "`shadow` counts and logs what it would refuse, refuses nothing and adds no headers.",
    }),
    exact: Type.Boolean({
      default: false,
      description:
        "With `redis`: ask it at every request, so that not one too many gets through on several machines. Takes a round trip, at most 50 ms; without an answer in time this machine decides.",
    }),
    queue: Type.Optional(
      Type.Object(
        {
          max: Type.Integer({
            minimum: 1,
            maximum: 100_000,
            default: 100,
            description: "Requests that may wait at a time, on a route, in each worker.",
          }),
          timeout: Duration({ default: "5s", description: "Longest wait; at most 60s." }),
        },
        {
          ...strict,
          description:
            "A request a little over the limit waits its turn instead of failing: the most important class of the policy `priority` first, in a class first come first served. When no more may wait, the last of the least important class gives way to a more important one (429). A client that leaves gives up its place.",
        },
      ),
    ),
    headers: Type.Boolean({
      default: true,
      description: "Tell clients by `X-RateLimit-*`, `RateLimit-Policy` and `RateLimit`.",
    }),
  },
  strict,
)

export type LimitOptions = StaticDecode<typeof LimitSchema>

export const LimitsSchema = oneOrSeveral(LimitSchema, "Several limits: a request needs all of them.")

/** One limit or several, as a list. */
export function limitsOf(options: StaticDecode<typeof LimitsSchema>): readonly LimitOptions[] {
  return allOf(options)
}

/** What a limit counts by, as a list. */
export function partsOf({ by }: LimitOptions): readonly string[] {
  return typeof by === "string" ? [by] : by
}

/** Its name, or what it counts by: "user", "ip.header-x-tenant". */
export function nameOf(limit: LimitOptions): string {
  return limit.name ?? partsOf(limit).join(".").toLowerCase().replaceAll(":", "-")
}

const PLAIN = ["user", "ip", "api_key", "tier", "route"]
const LONGEST_WAIT_MS = 60_000
/** Buckets that take longer to fill outlive any process. */
const LONGEST_FILL_MS = 366 * 86_400_000

/** What the schema cannot say of the limits of a route. */
export function checkLimits(limits: readonly LimitOptions[], route: PolicyRoute): readonly string[] {
  const found: string[] = []
  const seen = new Set<string>()
  for (const limit of limits) {
    const name = nameOf(limit)
    const where = limits.length === 1 ? "" : `${name}: `
    const say = (message: string) => void found.push(where + message)
    if (seen.has(name)) say(`there are two limits of this name; give each a \`name\` of its own`)
    seen.add(name)
    for (const part of partsOf(limit)) checkPart(part, say)
    checkRate("", limit, limit, say)
    for (const [tier, each] of Object.entries(limit.tiers)) checkRate(`tiers.${tier}.`, each, limit, say)
    for (const [role, each] of Object.entries(limit.roles)) checkRate(`roles.${role}.`, each, limit, say)
    if (typeof limit.cost === "object" && limit.cost.per_body === 0)
      say("cost.per_body: 0 bytes cannot have a price; write for example 16KB")
    if (limit.queue !== undefined && (limit.queue.timeout === 0 || limit.queue.timeout > LONGEST_WAIT_MS))
      say("queue.timeout: must be over 0 and at most 60s")
    if (limit.queue !== undefined && limit.mode === "shadow")
      say("queue: a limit in shadow lets everything through, so nothing can wait")
    if (limit.exact && limit.mode === "shadow") say("exact: a limit in shadow refuses nobody; leave it out")
    if (limit.exact && limits.some((each) => each.queue !== undefined))
      say("exact: nobody can wait for their turn on the same route; leave out queue or exact")
    for (const entry of limit.exempt.ips)
      if (!isAddressRange(entry))
        say(`exempt.ips: ${entry} is neither an address nor a range such as 10.0.0.0/8`)
    for (const method of limit.exempt.methods)
      if (!/^[A-Z]+$/.test(method)) say(`exempt.methods: ${method} is no method; write for example GET`)
    for (const path of limit.exempt.paths)
      if (!/^\/[^*?#]*\*?$/.test(path) || (path.endsWith("*") && !path.endsWith("/*")))
        say(`exempt.paths: ${path} is no path; write /a/b, or /a/* for all below it`)
    if (limit.scope === "service" && route.service === "")
      say(`scope: service needs a service, and ${route.path} has none`)
  }
  return found
}

function checkPart(part: string, say: (message: string) => void): void {
  const [kind, rest] = part.split(/:(.*)/s)
  if (rest === undefined) {
    if (!PLAIN.includes(part))
      say(
        `by: unknown ${JSON.stringify(part)}${didYouMean(part, PLAIN)}; known are ${PLAIN.join(", ")}, header:X, claim:x`,
      )
  } else if (kind === "header") {
    if (!isFieldName(rest)) say(`by: no header can have the name ${JSON.stringify(rest)}`)
  } else if (kind !== "claim" || rest === "") {
    say(`by: unknown ${JSON.stringify(part)}; with a colon there are header:X and claim:x`)
  }
}

function checkRate(
  at: string,
  { rate: text, burst: most }: Pick<LimitOptions, "rate" | "burst">,
  { cost }: LimitOptions,
  say: (message: string) => void,
): void {
  const parsed = parseRate(text)
  if (typeof parsed === "string") {
    say(`${at}rate: ${parsed}`)
    return
  }
  const size = most ?? parsed.count
  if ((size * parsed.perMs) / parsed.count > LONGEST_FILL_MS)
    say(`${at}burst: at ${text} a bucket of ${size} takes over a year to fill`)
  if (typeof cost === "number" && cost > size)
    say(`${at}burst: a request costs ${cost} and the bucket holds ${size}, so none would ever pass`)
}

import type { StaticDecode } from "typebox"
import { isTimeZone, PERIODS } from "../lib/calendar.ts"
import { didYouMean } from "../lib/suggest.ts"
import { Type } from "../lib/type.ts"
import { exemptCallers, exemptClasses } from "./exempt_options.ts"
import { allOf, oneOrSeveral } from "./one_or_several.ts"

const strict = { additionalProperties: false } as const

const QuotaSchema = Type.Object(
  {
    name: Type.String({
      pattern: "^[A-Za-z][A-Za-z0-9_.-]{0,62}$",
      description: "Name in answers, logs and metrics. Routes with a quota of the same name share its units.",
    }),
    by: Type.String({
      default: "user",
      description:
        "Who shares the units: `user`, `api_key`, or `claim:x` for all callers with the same value, such as a tenant. Callers without API key, or without that claim, are told apart as users.",
    }),
    per: Type.Enum([...PERIODS], { description: "How long the units are for. Weeks begin on Monday." }),
    timezone: Type.String({
      default: "UTC",
      description:
        "Zone (IANA) whose days, weeks and months count, as `Europe/Berlin`. Minutes and hours are UTC's.",
    }),
    limits: Type.Record(Type.String(), Type.Integer({ minimum: 0, maximum: 1_000_000_000_000 }), {
      minProperties: 1,
      description: "Units of a period by tier; `default` for those that are not named.",
    }),
    count: Type.Enum(["request", "success"], {
      default: "request",
      description:
        "`success` gives back what a request took when it is answered with 400 or more. A client that leaves before it is answered has used its units.",
    }),
    cost: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 1,
      description: "Units a request takes.",
    }),
    exempt: Type.Object(
      {
        ...exemptCallers("take no units"),
        priority: exemptClasses("take no units"),
      },
      { ...strict, default: {}, description: "Who is not limited." },
    ),
    on_failure: Type.Enum(["refuse", "allow"], {
      default: "refuse",
      description:
        "While the store cannot be asked: `refuse` answers 503, so that never more units are used than there are; `allow` lets requests through without counting them.",
    }),
    headers: Type.Boolean({
      default: true,
      description: "Tell clients by `X-Quota-*`, `RateLimit-Policy` and `RateLimit`.",
    }),
  },
  strict,
)

export type QuotaOptions = StaticDecode<typeof QuotaSchema>

export const QuotasSchema = oneOrSeveral(QuotaSchema, "Several quotas: a request needs all of them.")

/** One quota or several, as a list, by name. All who take from several take in this order. */
export function quotasOf(options: StaticDecode<typeof QuotasSchema>): readonly QuotaOptions[] {
  return allOf(options).toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

/** Units a caller of this tier has in a period, without allowances. */
export function limitFor({ limits }: Pick<QuotaOptions, "limits">, tier: string): number {
  return (Object.hasOwn(limits, tier) ? limits[tier] : limits.default) ?? 0
}

/** What the schema cannot say of the quotas of a route. */
export function checkQuotas(quotas: readonly QuotaOptions[]): readonly string[] {
  const found: string[] = []
  const seen = new Set<string>()
  for (const quota of quotas) {
    const { name, by, timezone, limits, cost } = quota
    const where = quotas.length === 1 ? "" : `${name}: `
    const say = (message: string) => void found.push(where + message)
    if (seen.has(name)) say("there are two quotas of this name; give each its own")
    seen.add(name)
    if (!(by === "user" || by === "api_key" || /^claim:./s.test(by)))
      say(
        `by: unknown ${JSON.stringify(by)}${didYouMean(by, ["user", "api_key"])}; known are user, api_key, claim:x`,
      )
    if (!isTimeZone(timezone))
      say(
        `timezone: there is no zone ${JSON.stringify(timezone)}; write for example Europe/Berlin, or leave it out for UTC`,
      )
    for (const [tier, limit] of Object.entries(limits))
      if (limit > 0 && cost > limit)
        say(
          `limits.${tier}: a request costs ${cost} and there are ${limit}, so none would ever pass; 0 would say so`,
        )
  }
  return found
}

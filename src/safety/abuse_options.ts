import type { StaticDecode } from "typebox"
import { isAddressRange } from "../lib/address_list.ts"
import { parseRate } from "../lib/rate.ts"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { Duration } from "../lib/units.ts"

const weight = (points: number, what: string) =>
  Type.Number({
    minimum: 0,
    maximum: 1_000_000,
    default: points,
    description: `Points for ${what}; 0: none.`,
  })

const WeightsSchema = strictObject(
  {
    unauthorized: weight(2, "an answer 401"),
    forbidden: weight(2, "an answer 403"),
    not_found: weight(1, "an answer 404"),
    rate_limited: weight(1, "an answer 429"),
    bad_request: weight(2, "an answer 400, 405, 408, 413, 414, 417 or 431"),
    excess: weight(1, "a request over `request_rate`"),
  },
  { default: {}, description: "Points each kind of violation adds to the score of a client." },
)

const BlockSchema = strictObject(
  {
    first: Duration({ default: "1m", description: "How long a client is blocked the first time." }),
    factor: Type.Number({
      minimum: 1,
      maximum: 100,
      default: 4,
      description: "Each further block lasts so many times as long as the one before.",
    }),
    max: Duration({ default: "24h", description: "Longest block." }),
    forgive_after: Duration({
      default: "24h",
      description: "Earlier blocks are forgotten when this long has passed since the end of the last.",
    }),
  },
  { default: {}, description: "How long clients are blocked." },
)

/** The section `abuse`. */
export const AbuseSchema = strictObject(
  {
    mode: Type.Enum(["enforce", "shadow"], {
      default: "enforce",
      description: "`shadow` scores, counts and tells whom it would block, and blocks nobody.",
    }),
    threshold: Type.Number({
      minimum: 1,
      maximum: 1_000_000,
      default: 200,
      description: "A client whose score would rise above this is blocked.",
    }),
    window: Duration({
      default: "1m",
      description: "The score sinks steadily, by the threshold in this time.",
    }),
    weights: WeightsSchema,
    request_rate: Type.String({
      default: "1000/s",
      description: "Requests of one client beyond this are violations of the kind `excess`.",
    }),
    from_services: Type.Boolean({
      default: false,
      description: "Score the answers of services too, not only what the gateway itself refuses.",
    }),
    block: BlockSchema,
    allow: Type.Array(Type.String(), {
      default: ["127.0.0.1", "::1"],
      description:
        "Addresses and CIDR ranges that are neither scored nor blocked, beside all of `server.trusted_proxies`. The default are those of programs on the machine itself.",
    }),
  },
  {
    description:
      "Blocks clients that misbehave, by address (IPv6: by its first 64 bits). Without this section nobody is, except by hand in the admin API.",
  },
)

export type AbuseOptions = StaticDecode<typeof AbuseSchema>

const DAY_MS = 86_400_000
const LONGEST_MS = 366 * DAY_MS

export interface AbuseFault {
  readonly at: readonly (string | number)[]
  readonly message: string
  readonly value?: string
}

/** What the schema cannot say of the section. */
export function checkAbuse({
  window,
  weights,
  request_rate,
  block,
  allow,
}: AbuseOptions): readonly AbuseFault[] {
  const found: AbuseFault[] = []
  if (window < 1000 || window > DAY_MS) found.push({ at: ["window"], message: "must be from 1s to 1d" })
  if (Object.values(weights).every((points) => points === 0))
    found.push({ at: ["weights"], message: "are all 0, so nobody would ever be blocked" })
  const rate = parseRate(request_rate)
  if (typeof rate === "string") found.push({ at: ["request_rate"], message: rate })
  if (block.first < 1000) found.push({ at: ["block", "first"], message: "must be 1s or more" })
  if (block.max < block.first) found.push({ at: ["block", "max"], message: "is shorter than block.first" })
  for (const name of ["max", "forgive_after"] as const)
    if (block[name] > LONGEST_MS) found.push({ at: ["block", name], message: "must be 366d or less" })
  for (const [i, entry] of allow.entries())
    if (!isAddressRange(entry))
      found.push({
        at: ["allow", i],
        message: "is neither an address nor a range; write 10.0.0.1 or 10.0.0.0/8",
        value: entry,
      })
  return found
}

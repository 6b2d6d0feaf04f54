import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import { Duration } from "../lib/units.ts"

/** Section `usage`. */
export const UsageSchema = strictObject(
  {
    enabled: Type.Boolean({
      default: true,
      description: "Count the requests of every caller by route and day, for bills.",
    }),
    retention: Duration({ default: "400d", description: "How long it is kept (1d to 10 years)." }),
  },
  { description: "What callers have used, in the store; see /admin/v1/usage." },
)

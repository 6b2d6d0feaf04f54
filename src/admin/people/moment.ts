import { Type } from "../../lib/type.ts"

/** A point in time as RFC 3339 writes it, with its zone. */
export const Moment = Type.String({
  pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(?:\\.\\d{1,9})?(?:Z|[+-]\\d{2}:\\d{2})$",
})

/** Milliseconds since the epoch; `undefined`: there is no such day or hour. */
export function momentOf(text: string): number | undefined {
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : at
}

import { isSecret, type Path } from "../config/problem.ts"
import { child, type Schema } from "../config/schema_walk.ts"
import { durationText, sizeText } from "../config/written.ts"

/** Decoded options in one line, as config would have them; secrets are left out. */
export function inline(schema: Schema, value: unknown, path: Path = []): string {
  if (typeof value === "string" && isSecret(path)) return "***"
  if (typeof value === "number" && schema.unit === "duration") return durationText(value)
  if (typeof value === "number" && schema.unit === "size") return sizeText(value)
  if (typeof value !== "object" || value === null) return String(value)
  if (Array.isArray(value)) {
    const items = value.map((each, i) => inline(schema.items ?? {}, each, [...path, i]))
    return `[${items.join(", ")}]`
  }
  const pairs = Object.entries(value).map(([key, each]) => {
    return `${key}: ${inline(child(schema, key) ?? {}, each, [...path, key])}`
  })
  return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`
}

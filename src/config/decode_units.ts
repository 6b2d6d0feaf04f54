import { parseDuration, parseSize } from "../lib/units.ts"
import { fits } from "./fits.ts"
import { child, innerSchemas, type Schema } from "./schema_walk.ts"

/**
 * Decodes a value that has been checked: durations to milliseconds, sizes to bytes, all else as it is. Equal
 * to `Value.Decode` for schemas whose only codecs are those two (a test compares them), but that one copies,
 * completes, converts, cleans and checks all over again, which takes seconds for thousands of routes. Parts in
 * which there can be neither are not copied.
 */
export function decodeUnits(schema: Schema, value: unknown): unknown {
  if (schema.unit === "duration") return parseDuration(value as string | number)
  if (schema.unit === "size") return parseSize(value as string | number)
  if (typeof value !== "object" || value === null || !hasUnits(schema)) return value
  if (schema.anyOf) {
    const variant = schema.anyOf.find((each) => fits(each, value))
    return variant ? decodeUnits(variant, value) : value
  }
  if (Array.isArray(value)) {
    const { items } = schema
    return items ? value.map((each) => decodeUnits(items, each)) : value
  }
  const decoded: Record<string, unknown> = {}
  for (const [key, each] of Object.entries(value)) {
    const inner = child(schema, key)
    decoded[key] = inner ? decodeUnits(inner, each) : each
  }
  return decoded
}

const known = new WeakMap<Schema, boolean>()

function hasUnits(schema: Schema): boolean {
  let found = known.get(schema)
  if (found === undefined) {
    found = schema.unit !== undefined || innerSchemas(schema).some(hasUnits)
    known.set(schema, found)
  }
  return found
}

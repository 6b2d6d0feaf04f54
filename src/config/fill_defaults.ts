import { fits } from "./fits.ts"
import { nameRules, type Schema } from "./schema_walk.ts"

/**
 * A copy of the value with the schema's defaults filled in; the value is left as it is. Equal to
 * `Value.Default` for the keywords configs are made of (a test compares them), but that one works on a copy
 * and looks at every schema anew, which takes a second for 10,000 routes. Lists and mappings that are
 * defaults are shared by all who have them: nothing may change them.
 */
export function fillDefaults(schema: Schema, value: unknown): unknown {
  if (value === undefined) {
    if (schema.default === undefined) return undefined
    return defaultOf(schema)
  }
  if (typeof value !== "object" || value === null) return value
  if (schema.anyOf) {
    for (const variant of schema.anyOf) {
      const filled = fillDefaults(variant, value)
      if (fits(variant, filled)) return filled
    }
    return value
  }
  if (Array.isArray(value)) {
    const { items } = schema
    return items ? value.map((each) => fillDefaults(items, each)) : value
  }
  return fillMapping(schema, value as Readonly<Record<string, unknown>>)
}

function fillMapping(schema: Schema, value: Readonly<Record<string, unknown>>): unknown {
  const filled: Record<string, unknown> = { ...value }
  if (schema.properties) {
    for (const [key, inner] of fillable(schema)) {
      const each = fillDefaults(inner, filled[key])
      if (each !== undefined) filled[key] = each
    }
  }
  for (const [rule, inner] of nameRules(schema)) {
    for (const key of Object.keys(filled)) {
      if (rule.test(key)) filled[key] = fillDefaults(inner, filled[key])
    }
  }
  return filled
}

const defaults = new WeakMap<Schema, unknown>()

/** The schema's default, with the defaults within it. */
function defaultOf(schema: Schema): unknown {
  if (defaults.has(schema)) return defaults.get(schema)
  const filled = fillDefaults(schema, schema.default)
  defaults.set(schema, filled)
  return filled
}

const properties = new WeakMap<Schema, readonly (readonly [string, Schema])[]>()

function fillable(schema: Schema): readonly (readonly [string, Schema])[] {
  let found = properties.get(schema)
  if (found === undefined) {
    found = Object.entries(schema.properties!)
    properties.set(schema, found)
  }
  return found
}

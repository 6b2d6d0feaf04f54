import type { TSchema } from "typebox"
import { late } from "../lib/late.ts"
import { nameRules, type Schema } from "./schema_walk.ts"

/** Whether the value is as the schema wants it, exactly as `Value.Check` of TypeBox says. */
export function fits(schema: Schema, value: unknown): boolean {
  if (surelyFits(schema, value)) return true
  const noMapping = typeof value !== "object" && schema.type === "object"
  return !noMapping && late.typebox.Value.Check(schema as TSchema, value)
}

/** The keywords looked at below, and those that say nothing of what fits; TypeBox's own begin with "~". */
const KNOWN = new Set([
  ...["type", "const", "enum", "anyOf", "~kind"],
  ...["properties", "patternProperties", "additionalProperties", "required", "minProperties", "~optional"],
  ...["items", "minItems", "maxItems", "uniqueItems"],
  ...["minimum", "maximum", "exclusiveMinimum"],
  ...["minLength", "maxLength", "pattern"],
  ...["default", "description", "unit", "~codec"],
])

/**
 * Whether the value fits for certain; false leaves the question open. TypeBox builds a pattern of all keys for each
 * mapping it meets: of a start with a small config, that was a sixth.
 */
export function surelyFits(schema: Schema, value: unknown): boolean {
  if (!isPlain(schema)) return false
  if (schema.const !== undefined && value !== schema.const) return false
  if (schema.enum !== undefined && !schema.enum.includes(value as string)) return false
  if (schema.anyOf !== undefined && !schema.anyOf.some((variant) => surelyFits(variant, value))) return false
  switch (schema.type) {
    case undefined:
      // Without a type, no other keyword would be asked.
      return schema.properties === undefined && schema.items === undefined
    case "string":
      return typeof value === "string" && textFits(schema, value)
    case "integer":
      return Number.isInteger(value) && inRange(schema, value as number)
    case "number":
      return Number.isFinite(value) && inRange(schema, value as number)
    case "boolean":
      return typeof value === "boolean"
    case "array":
      return Array.isArray(value) && listFits(schema, value)
    case "object":
      return (
        typeof value === "object" &&
        value !== null &&
        !Array.isArray(value) &&
        mappingFits(schema, value as Record<string, unknown>)
      )
    default:
      return false
  }
}

const plain = new WeakMap<Schema, boolean>()

function isPlain(schema: Schema): boolean {
  let found = plain.get(schema)
  if (found === undefined) {
    found = Object.getOwnPropertyNames(schema).every((keyword) => KNOWN.has(keyword))
    plain.set(schema, found)
  }
  return found
}

const patterns = new WeakMap<Schema, RegExp>()

function textFits(schema: Schema, text: string): boolean {
  const { minLength, maxLength, pattern } = schema
  if (minLength !== undefined || maxLength !== undefined) {
    // TypeBox counts what readers see as one character; only of ASCII it is sure how many those are.
    for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7e) return false
    if (minLength !== undefined && text.length < minLength) return false
    if (maxLength !== undefined && text.length > maxLength) return false
  }
  if (pattern === undefined) return true
  let rule = patterns.get(schema)
  if (rule === undefined) {
    rule = new RegExp(pattern, "u")
    patterns.set(schema, rule)
  }
  return rule.test(text)
}

function inRange({ minimum, maximum, exclusiveMinimum }: Schema, value: number): boolean {
  return (
    (minimum === undefined || value >= minimum) &&
    (maximum === undefined || value <= maximum) &&
    (exclusiveMinimum === undefined || value > exclusiveMinimum)
  )
}

function listFits({ items, minItems, maxItems, uniqueItems }: Schema, list: readonly unknown[]): boolean {
  if (minItems !== undefined && list.length < minItems) return false
  if (maxItems !== undefined && list.length > maxItems) return false
  if (uniqueItems === true) {
    if (list.some((each) => typeof each !== "string")) return false
    if (new Set(list).size < list.length) return false
  }
  return items === undefined || list.every((each) => surelyFits(items, each))
}

function mappingFits(schema: Schema, mapping: Readonly<Record<string, unknown>>): boolean {
  const { properties, required = [], additionalProperties, minProperties } = schema
  const keys = Object.keys(mapping)
  if (minProperties !== undefined && keys.length < minProperties) return false
  if (!required.every((key) => Object.hasOwn(mapping, key))) return false
  // TypeBox asks every rule, not the first that matches.
  const rules = nameRules(schema)
  if (rules.length > 1 || (rules.length > 0 && properties !== undefined)) return false
  return keys.every((key) => {
    const value = mapping[key]
    if (properties !== undefined && Object.hasOwn(properties, key)) {
      return surelyFits(properties[key]!, value)
    }
    if (rules.length > 0 && rules[0]![0].test(key)) return surelyFits(rules[0]![1], value)
    return additionalProperties === undefined
  })
}

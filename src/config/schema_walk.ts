import type { TSchema } from "typebox"
import type { Path } from "./problem.ts"

/**
 * The keywords of JSON Schema that config schemas are made of, for code that walks them. TypeBox schemas are
 * plain JSON Schema, so this is only another view of the same objects.
 */
export interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: unknown
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly const?: string | number | boolean
  readonly enum?: readonly (string | number | boolean)[]
  readonly default?: unknown
  readonly description?: string
  readonly unit?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly pattern?: string
  readonly uniqueItems?: boolean
  readonly minProperties?: number
}

export function asSchema(schema: TSchema): Schema {
  return schema as Schema
}

/** Schema of a place, looking into each variant of a union; `undefined`: no such place. */
export function schemaAt(schema: Schema, path: Path): Schema | undefined {
  const [head, ...rest] = path
  if (head === undefined) return schema
  for (const variant of schema.anyOf ?? [schema]) {
    const next = child(variant, head)
    const found = next && schemaAt(next, rest)
    if (found) return found
  }
  return undefined
}

/** Schema of one key or list item. */
export function child(schema: Schema, key: string | number): Schema | undefined {
  if (typeof key === "number") return schema.items
  if (schema.properties && Object.hasOwn(schema.properties, key)) return schema.properties[key]
  for (const [rule, each] of nameRules(schema)) {
    if (rule.test(key)) return each
  }
  return undefined
}

/** Schemas of all there can be within. */
export function innerSchemas(schema: Schema): Schema[] {
  const { properties = {}, patternProperties = {}, items, anyOf = [] } = schema
  return [
    ...Object.values(properties),
    ...Object.values(patternProperties),
    ...(items ? [items] : []),
    ...anyOf,
  ]
}

type NameRules = readonly (readonly [rule: RegExp, schema: Schema])[]
const NO_RULES: NameRules = []
const rulesOf = new WeakMap<Schema, NameRules>()

/** Rules for names of a mapping that knows no keys of its own, each with the schema of what has such a name. */
export function nameRules(schema: Schema): NameRules {
  if (schema.patternProperties === undefined) return NO_RULES
  let rules = rulesOf.get(schema)
  if (rules === undefined) {
    rules = Object.entries(schema.patternProperties).map(([rule, each]) => [new RegExp(rule, "u"), each])
    rulesOf.set(schema, rules)
  }
  return rules
}

/** Whether the schema is a list of fixed words. */
export function choices(schema: Schema): string[] | undefined {
  if (schema.const !== undefined) return [String(schema.const)]
  if (schema.enum) return schema.enum.map(String)
  if (!schema.anyOf) return undefined
  const each = schema.anyOf.map(choices)
  return each.every((words) => words !== undefined) ? each.flat() : undefined
}

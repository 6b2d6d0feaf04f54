import type TypeBox from "typebox"

type Kinds = "Array" | "Boolean" | "Codec" | "Enum" | "Integer" | "Literal" | "Null" | "Number" | "Object"
type Made = Pick<typeof TypeBox, Kinds | "Optional" | "Record" | "String" | "Union" | "Unknown">

interface Built {
  readonly "~kind"?: string
  readonly "~optional"?: true
  readonly "~codec"?: object
  readonly pattern?: string
}

/** What TypeBox keeps of a schema beside its JSON Schema: not enumerable, so it shows in no text. */
const MARKS = ["~kind", "~optional", "~codec"] as const

function mark(schema: object, key: (typeof MARKS)[number], value: unknown): object {
  return Object.defineProperty(schema, key, { value, configurable: true, writable: true })
}

const build = (kind: string, keywords: object, options?: object): object =>
  mark({ ...keywords, ...options }, "~kind", kind)

/** The same schema with one more mark; schemas are shared, so never the schema itself. */
function marked(schema: Built, key: (typeof MARKS)[number], value: unknown): object {
  const copy = { ...schema }
  for (const each of MARKS) if (Object.hasOwn(schema, each)) mark(copy, each, schema[each])
  return mark(copy, key, value)
}

const builderOf = (kind: string, type: string) => (options?: object) => build(kind, { type }, options)

/**
 * TypeBox's builders of schemas, for the kinds used here: the same types, and equal schemas (the test compares them).
 * Every start builds all schemas of the configuration, in every thread. TypeBox's own would take a fifth of it, most of
 * that to load an interpreter of types; it is loaded when something is checked that `surelyFits` cannot decide, see
 * `late`.
 */
export const Type = {
  String: builderOf("String", "string"),
  Integer: builderOf("Integer", "integer"),
  Number: builderOf("Number", "number"),
  Boolean: builderOf("Boolean", "boolean"),
  Null: builderOf("Null", "null"),
  Unknown: (options?: object) => build("Unknown", {}, options),
  Literal: (value: string | number | boolean, options?: object) =>
    build("Literal", { type: typeof value, const: value }, options),
  Enum: (values: readonly (string | number)[], options?: object) => build("Enum", { enum: values }, options),
  Array: (items: object, options?: object) => build("Array", { type: "array", items }, options),
  Union: (anyOf: readonly object[], options?: object) => build("Union", { anyOf }, options),
  Record: (key: Built, value: object, options?: object) =>
    build("Record", { type: "object", patternProperties: { [key.pattern ?? "^.*$"]: value } }, options),
  Object(properties: Readonly<Record<string, Built>>, options?: object) {
    const required = Object.keys(properties).filter((name) => properties[name]!["~optional"] === undefined)
    const keywords = required.length === 0 ? { properties } : { required, properties }
    return build("Object", { type: "object", ...keywords }, options)
  },
  Optional: (schema: Built) => marked(schema, "~optional", true),
  Codec: (schema: Built) => ({
    Decode: (decode: unknown) => ({
      Encode: (encode: unknown) => marked(schema, "~codec", { decode, encode }),
    }),
  }),
} as unknown as Made

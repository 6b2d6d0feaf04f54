import { ConfigSchema } from "./schema.ts"
import { asSchema, type Schema } from "./schema_walk.ts"

type JsonSchema = { [keyword: string]: unknown }

const PLACEHOLDER = "\\$\\{[^{}]+\\}"

/**
 * The JSON Schema (draft 2020-12) of the file as people write it: durations and sizes as text or numbers,
 * and nothing required that has a default. Editors take it for completion and checks.
 */
export function configJsonSchema(): JsonSchema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Gatehouse configuration",
    ...written(asSchema(ConfigSchema)),
  }
}

function written(schema: Schema): JsonSchema {
  const { unit: _, ...result } = schema as Schema & JsonSchema
  const out: JsonSchema = result
  if (schema.properties) {
    out.properties = mapValues(schema.properties, written)
    const required = (schema.required ?? []).filter((key) => schema.properties![key]?.default === undefined)
    if (required.length > 0) out.required = required
    else delete out.required
  }
  if (schema.patternProperties) {
    out.patternProperties = mapValues(schema.patternProperties, written)
    out.additionalProperties = false
  }
  if (schema.pattern !== undefined) out.pattern = `${schema.pattern}|${PLACEHOLDER}`
  if (schema.items) out.items = written(schema.items)
  if (schema.anyOf) out.anyOf = schema.anyOf.map(written)
  return isPlaceholderFriendly(schema) ? { ...out, ...orPlaceholder(out) } : out
}

/** Numbers and booleans may also be written as one placeholder. */
function isPlaceholderFriendly(schema: Schema): boolean {
  return schema.type === "integer" || schema.type === "number" || schema.type === "boolean"
}

function orPlaceholder(schema: JsonSchema): JsonSchema {
  const type = schema.type as string
  return { type: [type, "string"], pattern: `^${PLACEHOLDER}$` }
}

function mapValues(
  record: Readonly<Record<string, Schema>>,
  map: (schema: Schema) => JsonSchema,
): JsonSchema {
  return Object.fromEntries(Object.entries(record).map(([key, each]) => [key, map(each)]))
}

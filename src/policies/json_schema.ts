import type { Compile, XSchema } from "typebox/schema"
import { late } from "../lib/late.ts"
import { compileRegex } from "../lib/safe_regex.ts"

/** One thing wrong with a value. `pointer`: where (RFC 6901); `message`: what was expected, never what was found. */
export interface ValueProblem {
  readonly pointer: string
  readonly message: string
}

/** Compiled JSON Schema: what is wrong with a value, everything at once (at most 64 problems); [] when nothing. */
export type SchemaCheck = (value: unknown) => readonly ValueProblem[]

/** Longest text a format is looked for in. None of them is longer, and some checks take quadratic time. */
const FORMAT_MAX_CHARS = 4096
const MAX_POINTER_CHARS = 256
const MAX_MESSAGE_CHARS = 256

interface Refinement {
  check(value: unknown): boolean
  error(): string
}

/** A value as text that is equal for equal JSON values, whatever the order of keys. */
function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`
}

function isUnique(items: readonly unknown[]): boolean {
  const seen = new Set<unknown>()
  for (const item of items) {
    // Objects as text with a mark no JSON text has, so that they never equal a plain string.
    const key = typeof item === "object" && item !== null ? `\0${canonical(item)}` : item
    if (seen.has(key)) return false
    seen.add(key)
  }
  return true
}

/** The keywords done here instead of by the library: their time must be bounded whatever the client sends. */
function refinementsOf(schema: Record<string, unknown>): Refinement[] {
  const found: Refinement[] = []
  const { pattern, format, uniqueItems } = schema
  const { Format } = late.typebox
  if (typeof pattern === "string") {
    const regex = compileRegex(pattern)
    found.push({
      check: (value) => typeof value !== "string" || regex.test(value),
      error: () => `must match pattern "${pattern}"`,
    })
  }
  if (typeof format === "string" && Format.Has(format)) {
    found.push({
      check: (value) =>
        typeof value !== "string" || (value.length <= FORMAT_MAX_CHARS && Format.Test(format, value)),
      error: () => `must match format "${format}"`,
    })
  }
  if (uniqueItems === true) {
    found.push({
      check: (value) => !Array.isArray(value) || isUnique(value),
      error: () => "must not have duplicate items",
    })
  }
  return found
}

/** Keywords whose value is data, not a schema. */
const DATA = new Set(["const", "enum", "default", "examples", "example", "required", "dependentRequired"])
/** Keywords that map names of the author's choice to schemas. */
const MAPS = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"])

function prepare(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(prepare)
  if (typeof schema !== "object" || schema === null) return schema
  const out: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(schema)) {
    if (key === "pattern" || key === "format" || key === "uniqueItems" || key.startsWith("x-")) continue
    if (DATA.has(key)) out[key] = value
    else if (MAPS.has(key))
      out[key] = Object.fromEntries(
        Object.entries(value as object).map(([name, inner]) => [name, prepare(inner)]),
      )
    else out[key] = prepare(value)
  }
  const refinements = refinementsOf(schema as Record<string, unknown>)
  if (refinements.length > 0) out["~refine"] = refinements
  return out
}

/** Compiles a schema in which `schemaProblems` has found nothing. */
export function compileSchema(schema: Readonly<Record<string, unknown>>): SchemaCheck {
  const validator = late.typebox.CompileJsonSchema(prepare(schema) as XSchema)
  return (value) => {
    if (validator.Check(value)) return []
    const [, errors] = validator.Errors(value)
    const found = errors.flatMap(explain)
    // Every failed check must refuse, also one that the library finds no words for.
    return found.length > 0 ? found : [{ pointer: "", message: "does not match the schema" }]
  }
}

type LibraryError = ReturnType<ReturnType<typeof Compile>["Errors"]>[1][number]

const problem = (pointer: string, message: string): ValueProblem => ({
  pointer: pointer.slice(0, MAX_POINTER_CHARS),
  message: message.slice(0, MAX_MESSAGE_CHARS),
})

function explain(error: LibraryError): ValueProblem[] {
  const at = error.instancePath
  switch (error.keyword) {
    case "required":
      return error.params.requiredProperties.map((name) =>
        problem(`${at}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`, "is required"),
      )
    case "additionalProperties":
    case "unevaluatedProperties":
      // Each such property has an error of its own, of keyword "boolean" or by its schema.
      return []
    case "boolean":
      return [problem(at, "is not allowed here")]
    case "propertyNames":
      // The library's message lists the names, which come from the client.
      return [problem(at, "has a property name that is not allowed")]
    case "enum":
      return [
        problem(at, `must be one of: ${error.params.allowedValues.map((v) => JSON.stringify(v)).join(", ")}`),
      ]
    default:
      return [problem(at, error.message)]
  }
}

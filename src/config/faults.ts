import type { TSchema } from "typebox"
import { late } from "../lib/late.ts"
import { didYouMean } from "../lib/suggest.ts"
import type { Path } from "./problem.ts"
import { asSchema, choices, type Schema, schemaAt } from "./schema_walk.ts"

/** One place where a value does not fit its schema. */
export interface Fault {
  readonly path: Path
  readonly message: string
}

/** More raw errors than this are not collected: the file is something else altogether. */
const MAX_ERRORS = 5000

/**
 * Every place where the value does not fit, one message each. TypeBox finds the faults; a union is described
 * by what it takes as a whole, or by the one variant that was evidently meant.
 */
export function findFaults(schema: TSchema, value: unknown): Fault[] {
  const faults: Fault[] = []
  collect(asSchema(schema), value, [], faults)
  const seen = new Set<string>()
  return faults.filter((fault) => {
    const key = JSON.stringify(fault.path)
    return !seen.has(key) && seen.add(key)
  })
}

interface RawError {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly params: Readonly<Record<string, unknown>>
}

function rawErrors(schema: Schema, value: unknown): readonly RawError[] {
  // The bound is a setting of the whole process; others (request validation) rely on their own.
  const { Settings, Value } = late.typebox
  const { maxErrors } = Settings.Get()
  Settings.Set({ maxErrors: MAX_ERRORS })
  try {
    return [...Value.Errors(schema as TSchema, value)] as RawError[]
  } finally {
    Settings.Set({ maxErrors })
  }
}

function collect(schema: Schema, value: unknown, base: Path, faults: Fault[]): void {
  const errors = rawErrors(schema, value)
  const unions = errors.filter((each) => each.keyword === "anyOf").map((each) => `${each.schemaPath}/anyOf/`)
  for (const error of errors) {
    if (unions.some((prefix) => error.schemaPath.startsWith(prefix))) continue
    const path = parsePointer(error.instancePath, value)
    const found = valueAt(value, path)
    const expected = schemaAt(schema, path) ?? schema
    const at = [...base, ...path]
    if (error.keyword === "required") {
      for (const name of error.params.requiredProperties as string[]) {
        // Defaults are not filled in where no variant of a union fits: that is another fault's consequence.
        if (expected.properties?.[name]?.default !== undefined) continue
        faults.push({
          path: [...at, name],
          message: `required but missing${hint(expected.properties?.[name])}`,
        })
      }
    } else if (error.keyword === "boolean") {
      // The schema of a key that is not allowed is `false`.
      const parent = schemaAt(schema, path.slice(0, -1)) ?? schema
      faults.push({ path: at, message: unknownKey(String(path.at(-1)), parent) })
    } else if (error.keyword === "anyOf") {
      const meant = variantMeant(expected, found)
      if (meant) collect(meant, found, at, faults)
      else faults.push({ path: at, message: expectation(expected, found) })
    } else if (error.keyword !== "additionalProperties") {
      faults.push({ path: at, message: expectation(expected, found) })
    }
  }
}

function unknownKey(name: string, schema: Schema): string {
  const known = Object.keys(schema.properties ?? {})
  const near = didYouMean(name, known)
  if (near !== "") return `unknown key${near}`
  const listed = known.length <= 12 ? `; known are ${known.join(", ")}` : ""
  return `unknown key${listed}`
}

/** The variant of a union somebody had in mind: the mapping that shares the most keys with theirs. */
function variantMeant(union: Schema, found: unknown): Schema | undefined {
  const variants = union.anyOf ?? []
  if (Array.isArray(found)) return variants.find((each) => each.type === "array")
  if (typeof found !== "object" || found === null) return undefined
  let best: Schema | undefined
  let bestScore = -Infinity
  for (const variant of variants) {
    if (variant.type !== "object") continue
    const known = Object.keys(variant.properties ?? {})
    const score = Object.keys(found).reduce((sum, key) => sum + (known.includes(key) ? 1 : -1), 0)
    if (score > bestScore) {
      best = variant
      bestScore = score
    }
  }
  return best
}

function expectation(schema: Schema, found: unknown): string {
  const words = choices(schema)
  if (words && typeof found === "string") return `expected ${describe(schema)}${didYouMean(found, words)}`
  if (found === null && schema.type === "object") {
    return `expected ${describe(schema)}, found nothing; write {} for the defaults`
  }
  return `expected ${describe(schema)}`
}

/** What a place takes, in words: "a whole number from 0 to 65535". */
export function describe(schema: Schema): string {
  if (schema.unit === "duration") return "a duration such as 250ms, 30s or 5m"
  if (schema.unit === "size") return "a size such as 64KB or 10MB"
  const words = choices(schema)
  if (words) return words.length === 1 ? JSON.stringify(words[0]) : `one of ${words.join(", ")}`
  if (schema.anyOf) return [...new Set(schema.anyOf.map(describe))].join(" or ")
  switch (schema.type) {
    case "integer":
      return `a whole number${range(schema)}`
    case "number":
      return `a number${range(schema)}`
    case "boolean":
      return "true or false"
    case "array":
      return `a list${count(schema)}`
    case "object":
      return "a mapping"
    case "string":
      return describeText(schema)
    default:
      return "another value"
  }
}

function describeText(schema: Schema): string {
  if (schema.pattern === "^/") return "a path that starts with /"
  if (schema.minLength !== undefined && schema.maxLength !== undefined) {
    return `text of ${schema.minLength} to ${schema.maxLength} characters`
  }
  if (schema.minLength !== undefined) return `text of at least ${schema.minLength} characters`
  if (schema.maxLength !== undefined) return `text of at most ${schema.maxLength} characters`
  return schema.pattern === undefined ? "text" : `text that matches ${schema.pattern}`
}

/** " from 1 to 5", " of at least 1", or "". */
export function range(schema: Schema): string {
  const { minimum, maximum } = schema
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`
  if (minimum !== undefined) return ` of at least ${minimum}`
  if (maximum !== undefined) return ` of at most ${maximum}`
  return ""
}

function count(schema: Schema): string {
  const { minItems, maxItems } = schema
  const unique = "uniqueItems" in schema ? ", none twice" : ""
  if (minItems !== undefined && maxItems !== undefined) return ` of ${minItems} to ${maxItems} items${unique}`
  if (minItems !== undefined) return ` of at least ${minItems} items${unique}`
  if (maxItems !== undefined) return ` of at most ${maxItems} items${unique}`
  return unique
}

function hint(schema: Schema | undefined): string {
  return schema?.description === undefined ? "" : ` (${schema.description.replace(/\.$/, "")})`
}

function parsePointer(pointer: string, root: unknown): (string | number)[] {
  const path: (string | number)[] = []
  let at = root
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~")
    path.push(Array.isArray(at) ? Number(key) : key)
    at = valueAt(at, path.slice(-1))
  }
  return path
}

export function valueAt(root: unknown, path: Path): unknown {
  let at = root
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as Record<string | number, unknown>)[key]
  }
  return at
}

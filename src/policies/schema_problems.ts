import { judgeRegex } from "../lib/safe_regex.ts"

type Kind =
  | "any"
  | "array"
  | "boolean"
  | "count"
  | "format"
  | "map"
  | "number"
  | "pattern"
  | "patterns"
  | "positive"
  | "ref"
  | "schema"
  | "schemas"
  | "string"
  | "strings"
  | "string_lists"
  | "type"

/** The keywords understood (JSON Schema 2020-12, and `definitions` of older drafts) and what each holds. */
const KEYWORDS: Readonly<Record<Kind, readonly string[]>> = {
  type: ["type"],
  any: ["const", "default", "$comment", "example", "readOnly", "writeOnly", "deprecated"],
  array: ["enum", "examples"],
  boolean: ["uniqueItems"],
  count: [
    ...["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"],
    ...["minContains", "maxContains"],
  ],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  positive: ["multipleOf"],
  pattern: ["pattern"],
  patterns: ["patternProperties"],
  format: ["format"],
  string: ["title", "description", "$schema", "$id", "contentMediaType", "contentEncoding"],
  strings: ["required"],
  string_lists: ["dependentRequired"],
  ref: ["$ref"],
  map: ["properties", "$defs", "definitions", "dependentSchemas"],
  schema: [
    ...["items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"],
    ...["unevaluatedProperties", "unevaluatedItems"],
  ],
  schemas: ["allOf", "anyOf", "oneOf", "prefixItems"],
}
const KIND_OF = new Map<string, Kind>(
  Object.entries(KEYWORDS).flatMap(([kind, names]) => names.map((name) => [name, kind as Kind] as const)),
)

const TYPES = new Set(["string", "number", "integer", "boolean", "object", "array", "null"])
const FORMATS = new Set([
  ...["date", "date-time", "time", "duration", "email", "idn-email", "hostname", "idn-hostname"],
  ...["ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "url", "uuid"],
  ...["json-pointer", "json-pointer-uri-fragment", "relative-json-pointer"],
  // Notes of OpenAPI: accepted, not checked.
  ...["int32", "int64", "float", "double", "byte", "binary", "password"],
])
const MAX_DEPTH = 64

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isSchema = (value: unknown) => isObject(value) || typeof value === "boolean"

/** What a reference within the document points to; `undefined` when to nothing or outside the document. */
export function resolvePointer(root: unknown, ref: string): unknown {
  if (ref === "#") return root
  if (!ref.startsWith("#/")) return undefined
  let at: unknown = root
  for (const raw of ref.slice(2).split("/")) {
    const key = raw.replaceAll("~1", "/").replaceAll("~0", "~")
    if (Array.isArray(at)) at = at[Number(key)]
    else if (isObject(at) && Object.hasOwn(at, key)) at = at[key]
    else return undefined
  }
  return at
}

/**
 * What is wrong with a JSON Schema written in config, one message a problem; [] when it can be compiled.
 * Unknown keywords are wrong (a misspelt `required` would let everything through), and so are references to
 * other documents and patterns that could block the gateway.
 */
export function schemaProblems(schema: Readonly<Record<string, unknown>>, at: string): string[] {
  const found: string[] = []
  walk(schema, schema, at, 0, found)
  return found
}

function walk(schema: unknown, root: unknown, at: string, depth: number, found: string[]): void {
  if (typeof schema === "boolean") return
  if (!isObject(schema)) {
    found.push(`${at}: not a schema; write an object`)
    return
  }
  if (depth > MAX_DEPTH) {
    found.push(`${at}: nested deeper than ${MAX_DEPTH} schemas`)
    return
  }
  for (const [key, value] of Object.entries(schema)) {
    if (key.startsWith("x-")) continue
    const kind = KIND_OF.get(key)
    const place = `${at}.${key}`
    const wrong = kind === undefined ? "not a keyword that is understood" : problemOf(kind, value, root)
    if (wrong !== undefined) {
      found.push(`${place}: ${wrong}`)
      continue
    }
    if (kind === "schema") walk(value, root, place, depth + 1, found)
    if (kind === "schemas" || kind === "map" || kind === "patterns") {
      for (const [name, inner] of Object.entries(value as object))
        walk(inner, root, `${place}.${name}`, depth + 1, found)
    }
  }
}

const isStrings = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === "string")

function problemOf(kind: Kind, value: unknown, root: unknown): string | undefined {
  switch (kind) {
    case "any":
      return undefined
    case "array":
      return Array.isArray(value) ? undefined : "must be a list"
    case "boolean":
      return typeof value === "boolean" ? undefined : "must be true or false"
    case "count":
      return Number.isSafeInteger(value) && (value as number) >= 0
        ? undefined
        : "must be 0 or a positive integer"
    case "number":
      return typeof value === "number" ? undefined : "must be a number"
    case "positive":
      return typeof value === "number" && value > 0 ? undefined : "must be a number over 0"
    case "string":
      return typeof value === "string" ? undefined : "must be a string"
    case "strings":
      return isStrings(value) ? undefined : "must be a list of strings"
    case "string_lists":
      return isObject(value) && Object.values(value).every(isStrings)
        ? undefined
        : "must map names to lists of names"
    case "schema":
      return isSchema(value) ? undefined : "must be a schema"
    case "schemas":
      return Array.isArray(value) && value.length > 0 ? undefined : "must be a list of schemas"
    case "map":
      return isObject(value) ? undefined : "must map names to schemas"
    case "type": {
      const types = Array.isArray(value) ? value : [value]
      return types.length > 0 && types.every((type) => TYPES.has(type as string))
        ? undefined
        : `must be one of ${[...TYPES].join(", ")}, or a list of them`
    }
    case "format":
      return FORMATS.has(value as string) ? undefined : `must be one of ${[...FORMATS].join(", ")}`
    case "pattern": {
      if (typeof value !== "string") return "must be a string"
      const cost = judgeRegex(value)
      return cost.kind === "refused" ? `the pattern ${cost.reason}` : undefined
    }
    case "patterns":
      return isObject(value) ? patternNamesProblem(Object.keys(value)) : "must map patterns to schemas"
    case "ref":
      if (typeof value !== "string" || !value.startsWith("#"))
        return "must point into this schema, as in `#/$defs/name`; other documents are not fetched"
      return isSchema(resolvePointer(root, value)) ? undefined : "points to nothing"
  }
}

/** Names of properties come from the client in any length: their patterns must be of linear time. */
function patternNamesProblem(patterns: readonly string[]): string | undefined {
  for (const pattern of patterns) {
    const cost = judgeRegex(pattern)
    if (cost.kind === "refused") return `the pattern ${pattern} ${cost.reason}`
    if (cost.kind === "quadratic") return `the pattern ${pattern} takes quadratic time; begin it with ^`
  }
  return undefined
}

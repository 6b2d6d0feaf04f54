import { resolvePointer } from "./schema_problems.ts"

type Scalar = "text" | "number" | "boolean"

/** How the text of one parameter becomes a value. */
export interface Coercion {
  readonly scalar: Scalar
  /** The schema asks for an array: each repetition is an item. */
  readonly list: boolean
}

const NUMBER = /^-?(?:0|[1-9]\d{0,308})(?:\.\d{1,308})?(?:[eE][+-]?\d{1,3})?$/
const TEXT: Coercion = { scalar: "text", list: false }

type JsonObject = Record<string, unknown>

function follow(schema: unknown, root: JsonObject): JsonObject {
  let at = schema
  // A reference may lead to another; a ring of them ends here.
  for (let i = 0; i < 16; i++) {
    const ref = (at as JsonObject | undefined)?.$ref
    if (typeof ref !== "string") break
    at = resolvePointer(root, ref)
  }
  return typeof at === "object" && at !== null ? (at as JsonObject) : {}
}

function scalarOf(schema: JsonObject): Scalar {
  const types = [schema.type].flat()
  if (types.includes("string")) return "text"
  if (types.includes("integer") || types.includes("number")) return "number"
  return types.includes("boolean") ? "boolean" : "text"
}

/** Reads off a schema how each of its properties is written as text. */
export function compileCoercions(schema: JsonObject): ReadonlyMap<string, Coercion> {
  const properties = follow(schema, schema).properties as JsonObject | undefined
  const entries = Object.entries(properties ?? {}).map(([name, property]) => {
    const resolved = follow(property, schema)
    const list = [resolved.type].flat().includes("array")
    const scalar = scalarOf(list ? follow(resolved.items, schema) : resolved)
    return [name, { scalar, list }] as const
  })
  return new Map(entries)
}

function toScalar(text: string, scalar: Scalar): unknown {
  if (scalar === "number") {
    const value = NUMBER.test(text) ? Number(text) : Number.NaN
    // What is no number stays text: the schema then says what it wanted.
    return Number.isFinite(value) ? value : text
  }
  if (scalar === "boolean") return text === "true" ? true : text === "false" ? false : text
  return text
}

/** The value of a parameter that was given `texts.length` times (at least once). */
export function coerce(texts: readonly string[], { scalar, list }: Coercion = TEXT): unknown {
  // Given twice where one was asked for: it stays a list, which no scalar schema accepts. Which of the two
  // the service would take is anybody's guess.
  if (list || texts.length > 1) return texts.map((text) => toScalar(text, scalar))
  return toScalar(texts[0]!, scalar)
}

/** Name to values of a query string (`+` is a space); `undefined` when an escape is malformed. */
export function parseQuery(query: string): Map<string, string[]> | undefined {
  const found = new Map<string, string[]>()
  if (query === "") return found
  try {
    for (const pair of query.split("&")) {
      if (pair === "") continue
      const equals = pair.indexOf("=")
      const name = decode(equals < 0 ? pair : pair.slice(0, equals))
      const value = equals < 0 ? "" : decode(pair.slice(equals + 1))
      const values = found.get(name)
      if (values === undefined) found.set(name, [value])
      else values.push(value)
    }
  } catch {
    // decodeURIComponent throws for bad escapes and for what is not UTF-8.
    return undefined
  }
  return found
}

const decode = (text: string) => decodeURIComponent(text.includes("+") ? text.replaceAll("+", " ") : text)

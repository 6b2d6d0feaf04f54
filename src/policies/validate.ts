import { readBody } from "../http1/read_body.ts"
import { parseMediaType } from "../lib/accept.ts"
import { parseJson } from "../lib/json_parse.ts"
import { Type } from "../lib/type.ts"
import { Size } from "../lib/units.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { limitOf } from "./body_limit.ts"
import { coerce, compileCoercions, parseQuery } from "./coerce.ts"
import { DECODABLE, decodeBody, isDecodable, isPlain } from "./decode_body.ts"
import { CUT_SHORT, type Failure, fail } from "./failure.ts"
import { compileSchema, type SchemaCheck, type ValueProblem } from "./json_schema.ts"
import { definePolicy, type Verdict } from "./policy.ts"
import { schemaProblems } from "./schema_problems.ts"

type Place = "params" | "query" | "headers" | "body"
interface FoundError extends ValueProblem {
  readonly in: Place
}
type JsonSchema = Record<string, unknown>

/** Collects what is wrong with one part of the request. */
type PartCheck = (exchange: Exchange, errors: FoundError[]) => void

/** Methods that may come without the body a schema describes. */
const BODY_OPTIONAL: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "OPTIONS"])
const PLACES = ["params", "query", "headers", "body"] as const

function report(place: Place, problems: readonly ValueProblem[], errors: FoundError[]): void {
  for (const { pointer, message } of problems) errors.push({ in: place, pointer, message })
}

/** A map without a prototype: names come from the client, and `__proto__` is one a query can have. */
const emptyRecord = (): Record<string, unknown> => Object.create(null)

function compileParams(schema: JsonSchema): PartCheck {
  const check = compileSchema(schema)
  const coercions = compileCoercions(schema)
  return (exchange, errors) => {
    const values = emptyRecord()
    for (const [name, text] of Object.entries(exchange.params))
      values[name] = coerce([text], coercions.get(name))
    report("params", check(values), errors)
  }
}

function compileQuery(schema: JsonSchema): PartCheck {
  const check = compileSchema(schema)
  const coercions = compileCoercions(schema)
  return (exchange, errors) => {
    const given = parseQuery(exchange.query)
    if (given === undefined) {
      errors.push({ in: "query", pointer: "", message: "has a malformed percent escape" })
      return
    }
    const values = emptyRecord()
    for (const [name, texts] of given) values[name] = coerce(texts, coercions.get(name))
    report("query", check(values), errors)
  }
}

/** Header names are the same in any case: those of the schema are lowered, as those of the request are. */
function lowerNames(schema: JsonSchema): JsonSchema {
  const properties = Object.entries((schema.properties as JsonSchema | undefined) ?? {})
  const required = (schema.required as string[] | undefined) ?? []
  return {
    ...schema,
    properties: Object.fromEntries(properties.map(([name, inner]) => [name.toLowerCase(), inner])),
    required: required.map((name) => name.toLowerCase()),
  }
}

function compileHeaders(written: JsonSchema): PartCheck {
  const schema = lowerNames(written)
  const check = compileSchema(schema)
  const coercions = compileCoercions(schema)
  const names = [...new Set([...coercions.keys(), ...(schema.required as string[])])]
  return (exchange, errors) => {
    const values = emptyRecord()
    for (const name of names) {
      const text = exchange.header(name)
      if (text === undefined) continue
      const coercion = coercions.get(name)
      const texts = coercion?.list ? text.split(",").map((item) => item.trim()) : [text]
      values[name] = coerce(texts, coercion)
    }
    report("headers", check(values), errors)
  }
}

interface BodyRules {
  readonly check: SchemaCheck
  readonly types: ReadonlySet<string>
  readonly maxBytes: number
  readonly badType: Failure
  readonly badEncoding: Failure
  readonly tooLarge: Failure
}

function compileBody(schema: JsonSchema, contentTypes: readonly string[], maxBytes: number): BodyRules {
  return {
    check: compileSchema(schema),
    types: new Set(contentTypes.map((type) => type.toLowerCase())),
    maxBytes,
    badType: fail("UNSUPPORTED_MEDIA_TYPE", { details: { supported: contentTypes } }),
    badEncoding: fail("UNSUPPORTED_MEDIA_TYPE", {
      message: "The content coding of the body is not supported.",
      details: { supported: DECODABLE },
    }),
    tooLarge: fail("PAYLOAD_TOO_LARGE", { details: { limit: maxBytes } }),
  }
}

const refusal = (errors: readonly FoundError[]): Verdict =>
  errors.length === 0 ? undefined : fail("VALIDATION_FAILED", { details: { errors } })

function judge(bytes: Uint8Array, rules: BodyRules, errors: FoundError[]): Verdict {
  const parsed = parseJson(bytes)
  report("body", parsed.ok ? rules.check(parsed.value) : [parsed], errors)
  return refusal(errors)
}

/** Reads the body, looks into it, and puts it back as it came. */
async function judgeLater(exchange: Exchange, rules: BodyRules, errors: FoundError[]): Promise<Verdict> {
  const bytes = await readBody(exchange.body, rules.maxBytes)
  if (bytes === "too_large") return rules.tooLarge
  if (bytes === "aborted") {
    // Broken off by a limit of the gateway, or by the client.
    if (exchange.uploadFault === "PAYLOAD_TOO_LARGE")
      return fail("PAYLOAD_TOO_LARGE", { details: { limit: limitOf(exchange.body) } })
    if (exchange.uploadFault !== "") return fail(exchange.uploadFault)
    return CUT_SHORT
  }
  exchange.body = bytes
  if (bytes.byteLength === 0) return judgeMissing(exchange, errors)
  const encoding = exchange.header("content-encoding")
  if (isPlain(encoding)) return judge(bytes, rules, errors)
  const decoded = await decodeBody(bytes, encoding!, rules.maxBytes)
  if (decoded === "too_large") return rules.tooLarge
  if (decoded === "malformed") {
    errors.push({ in: "body", pointer: "", message: "does not have the coding Content-Encoding names" })
    return refusal(errors)
  }
  return judge(decoded, rules, errors)
}

function judgeMissing(exchange: Exchange, errors: FoundError[]): Verdict {
  if (!BODY_OPTIONAL.has(exchange.method)) errors.push({ in: "body", pointer: "", message: "is required" })
  return refusal(errors)
}

function essence(contentType: string | undefined): string {
  if (contentType === undefined) return ""
  const semicolon = contentType.indexOf(";")
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase()
}

function judgeBody(exchange: Exchange, rules: BodyRules, errors: FoundError[]): Verdict | Promise<Verdict> {
  const { body } = exchange
  if (body === undefined) return judgeMissing(exchange, errors)
  if (body instanceof Uint8Array && body.byteLength === 0) return judgeMissing(exchange, errors)
  if (!rules.types.has(essence(exchange.header("content-type")))) return rules.badType
  const encoding = exchange.header("content-encoding")
  if (!isDecodable(encoding)) return rules.badEncoding
  if (body instanceof Uint8Array && isPlain(encoding))
    return body.byteLength > rules.maxBytes ? rules.tooLarge : judge(body, rules, errors)
  return judgeLater(exchange, rules, errors)
}

const schemaOf = (what: string) =>
  Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: `JSON Schema of ${what}.` }))

export const validate = definePolicy({
  name: "validate",
  doc: "Checks parameters, query, headers and JSON body against JSON Schemas, and names every error at once (400).",
  failsClosed: true,
  schema: Type.Object(
    {
      params: schemaOf("the path parameters, as an object"),
      query: schemaOf("the query, as an object; a repeated key is an array"),
      headers: schemaOf("the request headers it names, as an object; names in any case"),
      body: schemaOf("the body, which must then be JSON"),
      content_types: Type.Array(Type.String(), {
        default: ["application/json"],
        minItems: 1,
        description: "Media types of the body that are accepted (415 otherwise); all are read as JSON.",
      }),
      max_body: Size({
        default: "1MB",
        description: "Largest body that is checked, as sent and decoded (413 beyond).",
      }),
    },
    { additionalProperties: false },
  ),
  check(options) {
    const found: string[] = []
    for (const place of PLACES) {
      const schema = options[place]
      if (schema !== undefined) found.push(...schemaProblems(schema, place))
    }
    for (const type of options.content_types) {
      const parsed = parseMediaType(type)
      if (parsed === undefined || parsed.params.length > 0)
        found.push(`content_types: "${type}" is not a media type without parameters`)
    }
    if (PLACES.every((place) => options[place] === undefined))
      found.push("checks nothing; give a schema for params, query, headers or body")
    return found.length > 0 ? found : PLACES.flatMap((place) => trial(options[place], place))
  },
  compile(options) {
    const parts: PartCheck[] = []
    if (options.params !== undefined) parts.push(compileParams(options.params))
    if (options.query !== undefined) parts.push(compileQuery(options.query))
    if (options.headers !== undefined) parts.push(compileHeaders(options.headers))
    const body =
      options.body === undefined
        ? undefined
        : compileBody(options.body, options.content_types, options.max_body)
    return {
      request(exchange) {
        const errors: FoundError[] = []
        for (let i = 0; i < parts.length; i++) parts[i]!(exchange, errors)
        return body === undefined ? refusal(errors) : judgeBody(exchange, body, errors)
      },
    }
  },
})

/** Compiles and runs the schema once: one that refers to itself without end shows here, not under traffic. */
function trial(schema: JsonSchema | undefined, place: Place): string[] {
  if (schema === undefined) return []
  try {
    const check = compileSchema(schema)
    for (const value of [{}, [], "", 0, true, null]) check(value)
    return []
  } catch (error) {
    if (error instanceof RangeError) return [`${place}: the schema refers to itself without end`]
    return [`${place}: the schema cannot be compiled: ${error instanceof Error ? error.message : "unknown"}`]
  }
}

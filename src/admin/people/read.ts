import type { StaticDecode, TObject, TProperties } from "typebox"
import { compileLate } from "../../lib/compile_late.ts"
import { isoDate } from "../../lib/iso_date.ts"
import { parseJsonObject } from "../../lib/json_object.ts"
import { Type } from "../../lib/type.ts"
import { refuse } from "../answer.ts"
import { type FieldError, fieldErrors } from "../field_errors.ts"

const MAX_DEPTH = 4
const DEFAULT_LIMIT = 50

/** An object that knows all its fields. */
export const fields = <P extends TProperties>(properties: P) =>
  Type.Object(properties, { additionalProperties: false })

/** Parameters of every list. A cursor is an id of the list: whoever may read one place of it may read all. */
export const PAGE = {
  limit: Type.Optional(Type.String({ pattern: "^(?:[1-9][0-9]?|1[0-9]{2}|200)$" })),
  cursor: Type.Optional(Type.String({ pattern: "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$" })),
}

/** Pattern of texts that are looked for: PostgreSQL takes none with a NUL. */
export const NO_NUL = "^[^\\u0000]*$"

export const limitOf = (limit: string | undefined): number =>
  limit === undefined ? DEFAULT_LIMIT : Number(limit)

export const unfitFields = (request: Request, errors: readonly FieldError[]): Response =>
  refuse(request, 422, "VALIDATION_FAILED", "Some fields do not fit; `details` names them.", { errors })

/** Reads bodies of one shape: one JSON object, without repeated keys and unknown fields; else a refusal. */
export function compileBody<S extends TObject>(
  schema: S,
): (request: Request) => Promise<StaticDecode<S> | Response> {
  const validator = compileLate(schema)
  return async (request) => {
    const bytes = await request.bytes()
    // Where every field has a default, no body is as good as an empty one.
    const body = bytes.length === 0 ? {} : parseJsonObject(bytes, MAX_DEPTH)
    if (body === undefined)
      return refuse(request, 400, "INVALID_REQUEST", "The body must be one JSON object that repeats no key.")
    return validator().Check(body)
      ? (body as StaticDecode<S>)
      : unfitFields(request, fieldErrors(validator(), body))
  }
}

/** Reads queries of one shape: each parameter once, none that is unknown; else a refusal. */
export function compileQuery<S extends TObject>(schema: S): (request: Request) => StaticDecode<S> | Response {
  const validator = compileLate(schema)
  return (request) => {
    const query: Record<string, string> = Object.create(null)
    for (const [name, value] of new URL(request.url).searchParams) {
      if (name in query) return unfitFields(request, [{ field: "/", message: "a parameter is there twice" }])
      query[name] = value
    }
    return validator().Check(query)
      ? (query as StaticDecode<S>)
      : unfitFields(request, fieldErrors(validator(), query))
  }
}

/** What `PAGE` read. */
interface PageQuery {
  readonly limit?: string | undefined
  readonly cursor?: string | undefined
}

/** `after`: id of the last item of the page before; `undefined`: from the beginning. */
type Find<T> = (page: { readonly after: string | undefined; readonly limit: number }) => Promise<readonly T[]>

/** `next`: where the next page begins when there are more. One more than is shown is looked for to know. */
export async function readPage<T extends { readonly id: string }>(
  query: PageQuery,
  find: Find<T>,
): Promise<{ readonly items: readonly T[]; readonly next: string | null }> {
  const limit = limitOf(query.limit)
  const found = await find({ after: query.cursor, limit: limit + 1 })
  const items = found.slice(0, limit)
  return { items, next: found.length > limit ? items.at(-1)!.id : null }
}

export const isoDateOrNull = (at: number | undefined): string | null =>
  at === undefined ? null : isoDate(at)

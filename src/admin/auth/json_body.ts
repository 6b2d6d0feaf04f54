import type { StaticDecode, TObject } from "typebox"
import type { IdentityRequest } from "../../identity/messages.ts"
import { compileLate } from "../../lib/compile_late.ts"
import { parseJsonObject } from "../../lib/json_object.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import { fieldErrors } from "../field_errors.ts"
import { fieldOf } from "./asking.ts"

const MAX_DEPTH = 4
const JSON_TYPE = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i

/**
 * Reads bodies of one shape. Only JSON of UTF-8, as a form of another site can send anything else without asking;
 * no repeated keys; unknown fields are refused. Failures name fields and rules, never values.
 */
export function compileBody<S extends TObject>(
  schema: S,
): (asked: IdentityRequest) => { readonly kind: "body"; readonly body: StaticDecode<S> } | Failure {
  const validator = compileLate(schema)
  return (asked) => {
    if (!JSON_TYPE.test(fieldOf(asked, "content-type") ?? ""))
      return fail("UNSUPPORTED_MEDIA_TYPE", { details: { supported: ["application/json"] } })
    const body = asked.body && parseJsonObject(asked.body, MAX_DEPTH)
    if (body === undefined) return fail("INVALID_REQUEST", { message: "The body must be one JSON object." })
    if (validator().Check(body)) return { kind: "body", body: body as StaticDecode<S> }
    return fail("INVALID_FIELD", { details: { errors: fieldErrors(validator(), body) } })
  }
}

/** A refusal of one field's value. */
export const unfit = (field: string, ...messages: readonly string[]): Failure =>
  fail("INVALID_FIELD", { details: { errors: messages.map((message) => ({ field, message })) } })

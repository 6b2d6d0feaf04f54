import { compileLate } from "../../lib/compile_late.ts"
import { parseJson } from "../../lib/json_parse.ts"
import { strictObject } from "../../lib/strict_object.ts"
import { Type } from "../../lib/type.ts"

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/
const MAX_DEPTH = 32

export interface Unfit {
  readonly code: "INVALID_REQUEST" | "INVALID_FIELD"
  readonly message: string
}

const validator = compileLate(strictObject({ data: Type.Unknown() }))

/** The body of a request that publishes. */
export function parseMessage(body: Uint8Array): { readonly data: unknown } | Unfit {
  const parsed = parseJson(body, MAX_DEPTH)
  if (!parsed.ok) return { code: "INVALID_REQUEST", message: `The body ${parsed.message}.` }
  if (!validator().Check(parsed.value))
    return { code: "INVALID_FIELD", message: 'The body must be an object with "data" and nothing else.' }
  return { data: (parsed.value as { readonly data: unknown }).data }
}

/** What is wrong with the field of this name; `undefined`: nothing. */
export const idempotencyKeyFault = (key: string | undefined): Unfit | undefined =>
  key === undefined || IDEMPOTENCY_KEY.test(key)
    ? undefined
    : { code: "INVALID_REQUEST", message: "Idempotency-Key must be 1 to 128 visible characters." }

import type { Fields } from "../http1/fields.ts"
import { type CanonicalPath, canonicalPath } from "../lib/target.ts"

// Doors join the lines of one field with a comma, also where the field may come only once. Two readers of such a
// request could take different halves of it.
const TWO_CREDENTIALS = /^(?:basic|bearer) [^,]*,/i
/** A comma outside a quoted parameter. */
const TWO_TYPES = /^(?:[^",]|"(?:[^"\\]|\\.)*")*,/

/** Several credentials where there may be one. */
export function hasTwoCredentials(fields: Fields): boolean {
  const authorization = fields.get("authorization")
  return authorization?.includes(",") === true && TWO_CREDENTIALS.test(authorization)
}

/** Several media types where there may be one. Asked of requests with a body only. */
export function hasTwoTypes(fields: Fields): boolean {
  const type = fields.get("content-type")
  return type?.includes(",") === true && TWO_TYPES.test(type)
}

/** A target of path and query in its canonical form. */
export interface OriginForm {
  readonly path: CanonicalPath
  /** Without the `?`; "" when there is none. */
  readonly query: string
  /** The path came in its canonical form. */
  readonly asCame: boolean
}

/** Takes a target apart (`target` from `at` on); `undefined` when it is malformed or has a fragment. */
export function originForm(target: string, at = 0): OriginForm | undefined {
  const question = target.indexOf("?", at)
  const raw = question === -1 ? target.slice(at) : target.slice(at, question)
  const path = canonicalPath(raw)
  if (path === undefined || (question !== -1 && target.includes("#", question))) return undefined
  const query = question === -1 ? "" : target.slice(question + 1)
  return { path, query, asCame: path.path === raw }
}

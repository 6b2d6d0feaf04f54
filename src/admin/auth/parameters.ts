import type { IdentityRequest } from "../../identity/messages.ts"
import { parseJsonObject } from "../../lib/json_object.ts"
import { fieldOf } from "./asking.ts"

/** Parameters of an OAuth request. One without a value counts as left out (RFC 6749 section 3.1). */
export type Parameters =
  | { readonly ok: true; readonly form: boolean; readonly values: ReadonlyMap<string, string> }
  /** `form`: how the answer is written. `message`: without values. */
  | { readonly ok: false; readonly form: boolean; readonly message: string }

const MAX_PARAMETERS = 32
/** PostgreSQL takes no text with one. */
const NUL = "A parameter holds a NUL."
const FORM = "application/x-www-form-urlencoded"
const JSON_TYPE = "application/json"

/** Reads a body of form fields, or a JSON object of texts. A parameter that comes twice is refused. */
export function readParameters(asked: IdentityRequest): Parameters {
  const type = (fieldOf(asked, "content-type") ?? "").split(";")[0]!.trim().toLowerCase()
  const body = asked.body ?? new Uint8Array(0)
  if (type === FORM) return readForm(body)
  if (type === JSON_TYPE) return readJson(body)
  return { ok: false, form: false, message: `The body must be ${FORM} or ${JSON_TYPE}.` }
}

function readForm(body: Uint8Array): Parameters {
  const refuse = (message: string) => ({ ok: false, form: true, message }) as const
  const values = new Map<string, string>()
  const seen = new Set<string>()
  const text = Buffer.from(body).toString("latin1")
  for (const pair of text === "" ? [] : text.split("&")) {
    const equals = pair.indexOf("=")
    const name = decodeFormText(equals === -1 ? pair : pair.slice(0, equals))
    const value = equals === -1 ? "" : decodeFormText(pair.slice(equals + 1))
    if (name === undefined || value === undefined) return refuse("The form cannot be read.")
    if (seen.has(name)) return refuse("A parameter was sent more than once.")
    if (seen.size >= MAX_PARAMETERS) return refuse("There are too many parameters.")
    if (value.includes("\0")) return refuse(NUL)
    seen.add(name)
    if (value !== "") values.set(name, value)
  }
  return { ok: true, form: true, values }
}

/** "+" is a space, %XX are bytes of UTF-8; `undefined`: it is neither, or no UTF-8. */
export function decodeFormText(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "))
  } catch {
    // It says only that an escape is wrong.
    return undefined
  }
}

function readJson(body: Uint8Array): Parameters {
  const object = parseJsonObject(body, 4)
  if (object === undefined)
    return { ok: false, form: false, message: "The body must be a JSON object that repeats no key." }
  const values = new Map<string, string>()
  for (const [name, value] of Object.entries(object)) {
    if (value === null || value === "") continue
    if (typeof value !== "string")
      return { ok: false, form: false, message: "Every parameter must be a text." }
    if (value.includes("\0")) return { ok: false, form: false, message: NUL }
    values.set(name, value)
  }
  return { ok: true, form: false, values }
}

const SCOPES = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/
const MAX_SCOPE_LENGTH = 1024

/** Whether it is a list of scopes (RFC 6749 section 3.3), or "". */
export function isScopeList(scope: string): boolean {
  return scope === "" || (scope.length <= MAX_SCOPE_LENGTH && SCOPES.test(scope))
}

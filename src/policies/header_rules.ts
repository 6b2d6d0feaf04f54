import { HOP_BY_HOP } from "../http1/fields.ts"

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/
/** Visible characters, spaces and tabs inside, Latin-1 at most: what can be written to the wire as it is. */
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,8190}[\x21-\x7e\x80-\xff])?)?$/

/** Whether the text can be a header name (RFC 9110 section 5.1), at most 128 characters. */
export function isFieldName(name: string): boolean {
  return FIELD_NAME.test(name)
}

/** Whether the text can be a header value (RFC 9110 section 5.5), at most 8 KB, without outer spaces. */
export function isFieldValue(value: string): boolean {
  return FIELD_VALUE.test(value)
}

/** Fields that frame a message or say who asks; the gateway alone writes them. */
const RESERVED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "host",
  "content-length",
  "expect",
  "forwarded",
  "x-real-ip",
  "x-client-id",
  "x-api-key-id",
])
const RESERVED_PREFIXES = ["x-user-", "x-forwarded-"]

/**
 * Whether config may not touch the field: hop-by-hop fields, framing, and the names by which services learn
 * who is calling. `X_User_Id` counts as `X-User-Id`, because CGI-like servers read it so.
 */
export function isReservedField(name: string): boolean {
  const plain = name.toLowerCase().replaceAll("_", "-")
  return RESERVED.has(plain) || RESERVED_PREFIXES.some((prefix) => plain.startsWith(prefix))
}

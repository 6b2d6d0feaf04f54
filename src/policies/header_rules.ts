import { HOP_BY_HOP } from "../http1/fields.ts"
import { TOKEN } from "../lib/token.ts"

const MAX_NAME = 128
/** Visible characters, spaces and tabs inside, Latin-1 at most: what can be written to the wire as it is. */
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,8190}[\x21-\x7e\x80-\xff])?)?$/

/** Whether the text can be a header name (RFC 9110 section 5.1), at most 128 characters. */
export function isFieldName(name: string): boolean {
  return name.length <= MAX_NAME && TOKEN.test(name)
}

/** Whether the text can be a header value (RFC 9110 section 5.5), at most 8 KB, without outer spaces. */
export function isFieldValue(value: string): boolean {
  return FIELD_VALUE.test(value)
}

/** Written anew for each hop by the upstream client. */
const FRAMING = ["host", "content-length", "expect"]

/** Who the client is, in the gateway's own words: never taken from the client. Also all of `x-user-*` and `x-auth-*`. */
const IDENTITY = ["x-client-id", "x-api-key-id", "client-cert", "client-cert-chain"]

/** Where the request comes from, in the gateway's own words (gateway/proxies.ts). Also all of `x-forwarded-*`. */
const FORWARDED = ["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"]

/** Fields that frame a message or say who asks; the gateway alone writes them. With `isOwnPrefix`. */
export const OWN_FIELDS: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...FRAMING, ...IDENTITY, ...FORWARDED])

/** The families of names beside `OWN_FIELDS`. `name` in lower case. */
export function isOwnPrefix(name: string): boolean {
  if (name.startsWith("x-user-") || name.startsWith("x-forwarded-")) return true
  // A token proves something to whoever verifies it; the other names of this family only claim something.
  return name.startsWith("x-auth-") && name !== "x-auth-token"
}

/**
 * Whether config may not touch the field: hop-by-hop fields, framing, and the names by which services learn
 * who is calling. `X_User_Id` counts as `X-User-Id`, because CGI-like servers read it so.
 */
export function isReservedField(name: string): boolean {
  const plain = name.toLowerCase().replaceAll("_", "-")
  return OWN_FIELDS.has(plain) || isOwnPrefix(plain)
}

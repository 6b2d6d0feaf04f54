import { type TokenFault, tokenFault } from "./token_fault.ts"

/** Longest value taken. */
const MAX_VALUE_LENGTH = 512
/** RFC 6265 section 4.1.1, without quotes. */
const VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+$/

const TWICE = tokenFault("malformed", "the session cookie was sent more than once")
const UNFIT = tokenFault("malformed", "the session cookie cannot be read")

/**
 * The value of a cookie out of a Cookie header (RFC 6265 section 4.2); `undefined`: there is none of this name.
 * A name that comes twice is a fault: two readers could take different ones, and another site of the same
 * domain may have planted one.
 */
export function readCookie(header: string, name: string): string | undefined | TokenFault {
  if (!header.includes(name)) return undefined
  let found: string | undefined
  for (const pair of header.split(";")) {
    const equals = pair.indexOf("=")
    if ((equals === -1 ? pair : pair.slice(0, equals)).trim() !== name) continue
    if (found !== undefined) return TWICE
    found = equals === -1 ? "" : pair.slice(equals + 1).trim()
  }
  if (found === undefined) return undefined
  return found.length <= MAX_VALUE_LENGTH && VALUE.test(found) ? found : UNFIT
}

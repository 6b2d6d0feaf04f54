/** Longest place to return to, in characters: it travels in a cookie. */
const MAX_LENGTH = 1024
/** Printable ASCII without backslash: browsers drop tabs and newlines, and take "\" for "/". */
const PLAIN = /^[\x21-\x5b\x5d-\x7e]+$/
/** Stands for the gateway's own host, whatever that is. */
const HERE = "http://here.invalid"

/**
 * Where a browser may be sent after a sign-in, in its one spelling; `undefined`: nowhere it was told. A path of
 * this host, or an address whose origin is among `origins`. What begins like a path but leads elsewhere
 * (`//host`, `/\host`, `/..//host`) is refused.
 */
export function parseReturnTo(text: string, origins: readonly string[]): string | undefined {
  if (text.length > MAX_LENGTH || !PLAIN.test(text)) return undefined
  const url = URL.parse(text, text.startsWith("/") ? HERE : undefined)
  if (url === null || url.username !== "" || url.password !== "") return undefined
  if (url.origin === HERE && text.startsWith("/")) return pathOf(url)
  return !text.startsWith("/") && origins.includes(url.origin) ? url.href : undefined
}

/** The same place, told why nobody is signed in. `returnTo`: what `parseReturnTo` gave. */
export function withError(returnTo: string, code: string): string {
  const url = new URL(returnTo, HERE)
  url.searchParams.set("error", code)
  return returnTo.startsWith("/") ? pathOf(url)! : url.href
}

function pathOf({ pathname, search, hash }: URL): string | undefined {
  return pathname.startsWith("//") ? undefined : pathname + search + hash
}

import { LineNames } from "../http1/fields.ts"
import { looksLikeApiKey } from "../identity/api_key_format.ts"
import type { Identity } from "../identity/authenticated.ts"
import type { Principal } from "../identity/principal.ts"
import { sessionCookieName, withoutCookie } from "../identity/session_cookie.ts"
import type { AuthSettings, FORWARD_MODES } from "../identity/settings.ts"
import type { Exchange } from "../upstream/exchange.ts"

export type ForwardMode = (typeof FORWARD_MODES)[number]

/** Tells a service who calls. `principal` undefined: nobody proved anything, and nobody had to. */
export type Forward = (exchange: Exchange, principal: Principal | undefined) => void

/** Longest value of an identity header, in characters. Roles beyond are not told; a text as long is left out. */
const MAX_VALUE = 4096

/** Compiles how the service of a route learns who calls. `service`: its name, the audience of the token. */
export function compileForward(
  mode: ForwardMode,
  settings: Pick<AuthSettings, "session">,
  identity: Identity,
  service: string,
): Forward {
  const withholdCookie = compileWithholdCookie(settings)
  return (exchange, principal) => {
    const { requestEdits } = exchange
    if (exchange.header("x-api-key") !== undefined) requestEdits.drop("x-api-key")
    // A JWT was all that Authorization holds.
    if (principal?.method !== "jwt") withholdApiKey(exchange)
    withholdCookie(exchange)
    if (mode === "jwt") {
      requestEdits.drop("authorization")
      if (principal !== undefined)
        requestEdits.add("authorization", `Bearer ${identity.tokenFor(principal, service)}`)
      return
    }
    // Beside another proof, what Authorization holds was not verified: no service may take it for granted.
    if (
      principal !== undefined &&
      principal.method !== "jwt" &&
      exchange.header("authorization") !== undefined
    )
      requestEdits.drop("authorization")
    if (mode === "none" || principal === undefined) return
    const { names, lines } = fieldsOf(principal)
    requestEdits.put(names, lines)
  }
}

/**
 * Compiles what is kept back from every service, also on routes that ask nobody: credentials of the gateway itself,
 * with which a service, or whoever reads its logs, could act as the caller.
 */
export function compileWithhold(settings: Pick<AuthSettings, "session">): (exchange: Exchange) => void {
  const withholdCookie = compileWithholdCookie(settings)
  return (exchange) => {
    // Another key is the service's own business here.
    const key = exchange.header("x-api-key")
    if (key !== undefined && looksLikeApiKey(key.trim())) exchange.requestEdits.drop("x-api-key")
    withholdApiKey(exchange)
    withholdCookie(exchange)
  }
}

/** One in `Authorization`. */
function withholdApiKey(exchange: Exchange): void {
  const authorization = exchange.header("authorization")
  if (authorization === undefined) return
  if (looksLikeApiKey(authorization.slice(authorization.lastIndexOf(" ") + 1)))
    exchange.requestEdits.drop("authorization")
}

/** The session cookie. */
function compileWithholdCookie(settings: Pick<AuthSettings, "session">): (exchange: Exchange) => void {
  const cookie = settings.session.cookie
  const names = [sessionCookieName(settings, "https"), sessionCookieName(settings, "http")]
  return (exchange) => {
    const { requestEdits } = exchange
    const cookies = exchange.header("cookie")
    if (cookies === undefined || !cookies.includes(cookie)) return
    let rest: string | undefined = cookies
    for (const name of names) rest = rest === undefined ? undefined : withoutCookie(rest, name)
    if (rest === cookies) return
    if (rest === undefined) requestEdits.drop("cookie")
    else requestEdits.set("cookie", rest)
  }
}

interface KnownFields {
  readonly names: LineNames
  /** As they go on the wire. */
  readonly lines: string
}

/** As long as the principal itself is kept: it is the same object for every request with the same token. */
const known = new WeakMap<Principal, KnownFields>()

/** The headers that say who calls. */
function fieldsOf(principal: Principal): KnownFields {
  let fields = known.get(principal)
  if (fields === undefined) {
    const flat = identityFields(principal)
    const names = flat.filter((_, i) => i % 2 === 0)
    fields = {
      names: new LineNames(names),
      lines: names.map((name, i) => `${name}: ${flat[i * 2 + 1]}\r\n`).join(""),
    }
    known.set(principal, fields)
  }
  return fields
}

/**
 * name, value, … Ids, roles and scopes may come from another issuer, so they are made fit for a header: what is not visible ASCII,
 * and `%` itself, is percent-encoded, in lists commas and spaces too. What there is none of is left out.
 */
export function identityFields(principal: Principal): readonly string[] {
  const { id, kind, method, roles, scopes, tier, parentId, ageLimit, blockedContent, tokenId } = principal
  const fields = ["x-user-kind", kind, "x-auth-method", method]
  const put = (name: string, value: string) => {
    if (value !== "") fields.push(name, value)
  }
  put("x-user-id", headerText(id))
  put("x-user-roles", list(roles, ",", MAX_VALUE))
  put("x-user-scopes", list(scopes, " ", MAX_VALUE))
  put("x-user-tier", headerText(tier))
  put("x-user-parent-id", headerText(parentId))
  put("x-user-age-limit", ageLimit === undefined ? "" : String(ageLimit))
  // Never cut: to know fewer of these would allow more.
  put("x-user-blocked-content", list(blockedContent, ",", Number.POSITIVE_INFINITY))
  if (method === "api_key") put("x-api-key-id", headerText(tokenId))
  else if (kind === "service") put("x-client-id", headerText(id))
  return fields
}

/** A text of whatever characters fit for a header, as `identityFields` has it; "" where it would be too long. */
export function headerText(value: string): string {
  const encoded = encode(value, /[^\x21-\x24\x26-\x7e]/gu)
  // Two long ids could be alike once they are cut.
  return encoded.length <= MAX_VALUE ? encoded : ""
}

function list(values: readonly string[], separator: string, maxLength: number): string {
  let joined = ""
  for (const value of values) {
    const item = encode(value, /[^\x21-\x24\x26-\x2b\x2d-\x7e]/gu)
    if (item === "") continue
    if (joined.length + item.length >= maxLength) break
    joined += joined === "" ? item : separator + item
  }
  return joined
}

function encode(value: string, unsafe: RegExp): string {
  // A lone surrogate has no UTF-8; encodeURIComponent would throw.
  return value.toWellFormed().replace(unsafe, (found) => encodeURIComponent(found))
}

import { HOP_BY_HOP, type NameSet } from "../http1/fields.ts"
import { remember } from "../lib/remember.ts"
import { TOKEN } from "../lib/token.ts"
import { isOwnPrefix, OWN_FIELDS } from "../policies/header_rules.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** Make some services take the request for another one than the gateway decided on. */
const OVERRIDES = [
  "x-original-url",
  "x-rewrite-url",
  "x-http-method-override",
  "x-http-method",
  "x-method-override",
]

const names: ReadonlySet<string> = new Set([...OWN_FIELDS, ...OVERRIDES])

/** Names whose answer is kept. */
const MAX_NAMES = 1024

const isDropped = remember((name) => names.has(name) || name.includes("_") || isOwnPrefix(name), MAX_NAMES)

/**
 * Client fields no service ever sees. A name with an underscore is dropped too: CGI-like servers read
 * `X_User_Id` as `X-User-Id`.
 */
export const DROPPED_FROM_REQUEST: NameSet = { has: isDropped }

/** Service fields no client sees: hop-by-hop; the door writes the framing anew. */
export const DROPPED_FROM_RESPONSE: NameSet = new Set([...HOP_BY_HOP, "content-length"])

/** End-to-end fields that a `Connection` header may not take away. */
const PROTECTED: ReadonlySet<string> = new Set([
  "authorization",
  "cookie",
  "content-type",
  "content-encoding",
  "cache-control",
  "date",
  "origin",
  "traceparent",
  "tracestate",
])

/**
 * Drops the fields the client's `Connection` header names (RFC 9110 section 7.6.1). Only those that are there:
 * a list of thousands of made-up names must not make every later look at the edits slow.
 */
export function dropNominated(exchange: Exchange): void {
  const connection = exchange.header("connection")
  if (connection === undefined || connection === "keep-alive" || connection === "close") return
  for (const option of connection.toLowerCase().split(",")) {
    const name = option.trim()
    // The runtime throws when asked for a header whose name is no token.
    if (!TOKEN.test(name) || PROTECTED.has(name) || isDropped(name)) continue
    if (exchange.header(name) !== undefined) exchange.requestEdits.drop(name)
  }
}

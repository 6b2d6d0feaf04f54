import { NO_FIELDS } from "../http1/field_list.ts"
import { Type } from "../lib/type.ts"
import { Duration } from "../lib/units.ts"
import type { Answer, Exchange } from "../upstream/exchange.ts"
import { fail } from "./failure.ts"
import { isFieldName } from "./header_rules.ts"
import { compileOrigins, originProblem } from "./origins.ts"
import { type Answered, definePolicy } from "./policy.ts"
import { addVary } from "./vary.ts"

const ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

/** What a service says of CORS is left out: two voices could together allow what neither meant. */
const SERVICE_FIELDS = [
  "access-control-allow-origin",
  "access-control-allow-credentials",
  "access-control-allow-methods",
  "access-control-allow-headers",
  "access-control-allow-private-network",
  "access-control-expose-headers",
  "access-control-max-age",
]

function isPreflight(exchange: Exchange): boolean {
  return exchange.method === "OPTIONS" && exchange.header("access-control-request-method") !== undefined
}

function asksForWebSocket(exchange: Exchange): boolean {
  return exchange.header("upgrade")?.toLowerCase().includes("websocket") ?? false
}

/** Whether the page comes from the gateway's own address. */
function isOwn(origin: string, { scheme, host }: Exchange): boolean {
  return origin === `${scheme}://${host}`
}

const list = (description: string, initial: string[]) =>
  Type.Array(Type.String(), { default: initial, description })

export const cors = definePolicy({
  name: "cors",
  doc: "Tells browsers which other origins may use the route, answers their preflight requests, and refuses WebSocket handshakes of origins that may not (403).",
  failsClosed: true,
  schema: Type.Object(
    {
      origins: Type.Array(Type.String(), {
        minItems: 1,
        description:
          "Origins allowed: exact ones, `https://*.example.com` for any one label, or `*` for all. `null` only if listed.",
      }),
      methods: list("Methods allowed; empty: those of the route.", []),
      allow_headers: list("Request headers allowed; `*` for all.", [
        "authorization",
        "content-type",
        "x-request-id",
      ]),
      expose_headers: list("Response headers scripts may read.", ["x-request-id", "retry-after"]),
      credentials: Type.Boolean({
        default: false,
        description: "Lets browsers send cookies and client certificates.",
      }),
      max_age: Duration({ default: "10m", description: "How long browsers keep the answer to a preflight." }),
    },
    { additionalProperties: false },
  ),
  check(options) {
    const found: string[] = []
    for (const origin of options.origins) {
      const problem = originProblem(origin)
      if (problem !== undefined) found.push(`origins: ${problem}`)
    }
    if (options.credentials) {
      // Any site could act in the name of the user: browsers refuse it, and reflection would allow it.
      if (options.origins.includes("*"))
        found.push("origins: `*` cannot go with `credentials: true`; list the origins")
      if (options.origins.includes("null"))
        found.push("origins: `null` cannot go with `credentials: true`; any page can make itself that origin")
      for (const key of ["methods", "allow_headers", "expose_headers"] as const) {
        if (options[key].includes("*"))
          found.push(`${key}: \`*\` means nothing to browsers with \`credentials: true\`; list them`)
      }
    }
    for (const key of ["methods", "allow_headers", "expose_headers"] as const) {
      for (const name of options[key]) {
        if (!isFieldName(name)) found.push(`${key}: "${name}" is not a valid name`)
      }
    }
    return found
  },
  compile(options, _deps, route) {
    const any = options.origins.includes("*")
    const isAllowed = any ? () => true : compileOrigins(options.origins)
    const methods = options.methods.length > 0 ? options.methods : route.methods
    const allowMethods = (methods.length > 0 ? methods : ALL_METHODS).join(", ")
    const allowHeaders = options.allow_headers.join(", ")
    const exposeHeaders = options.expose_headers.join(", ")
    const maxAge = String(Math.floor(options.max_age / 1000))
    const preflight: Answer = { status: 204, fields: NO_FIELDS, body: undefined }
    const answered: Answered = { kind: "answer", answer: preflight }
    const refusal = fail("ORIGIN_NOT_ALLOWED")

    return {
      request(exchange) {
        const origin = exchange.header("origin")
        if (origin === undefined) return undefined
        if (isPreflight(exchange)) return isAllowed(origin) ? answered : refusal
        // Browsers ask nobody before they open a WebSocket to another site, with the user's cookies.
        if (asksForWebSocket(exchange) && !isAllowed(origin) && !isOwn(origin, exchange)) return refusal
        return undefined
      },

      response(exchange) {
        const edits = exchange.responseEdits
        for (let i = 0; i < SERVICE_FIELDS.length; i++) edits.drop(SERVICE_FIELDS[i]!)
        // Also without Origin: a cache must not give this answer to a page that sends one.
        if (!any) addVary(exchange, "Origin")
        const origin = exchange.header("origin")
        // An origin that is not allowed gets its answer without CORS headers: the browser keeps it back.
        if (origin === undefined || !isAllowed(origin)) return
        edits.add("access-control-allow-origin", any ? "*" : origin)
        if (options.credentials) edits.add("access-control-allow-credentials", "true")
        if (exchange.answer === preflight) {
          edits.add("access-control-allow-methods", allowMethods)
          if (allowHeaders !== "") edits.add("access-control-allow-headers", allowHeaders)
          edits.add("access-control-max-age", maxAge)
        } else if (exposeHeaders !== "") edits.add("access-control-expose-headers", exposeHeaders)
      },
    }
  },
})

import { Type } from "../lib/type.ts"
import { definePolicy } from "./policy.ts"

const DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}Z)?$/
const DAY_MS = 86_400_000

/** "2026-01-31" or "2026-01-31T12:00:00Z" in milliseconds since the epoch; `undefined` when it is neither. */
function parseDate(text: string): number | undefined {
  if (!DATE.test(text)) return undefined
  const ms = Date.parse(text)
  // Date.parse turns February 30 into March 2; the way back shows it.
  if (Number.isNaN(ms) || !new Date(ms).toISOString().startsWith(text.slice(0, 10))) return undefined
  return ms
}

const date = (description: string) => Type.Optional(Type.String({ pattern: DATE.source, description }))

/** Whether the text can stand between the angle brackets of a Link header. */
const isLink = (link: string) => /^[\x21-\x7e]+$/.test(link) && !/[<>"]/.test(link) && URL.canParse(link)

export const deprecated = definePolicy({
  name: "deprecated",
  doc: "Tells clients that the route is going away: Deprecation (RFC 9745), Sunset (RFC 8594) and a link.",
  failsClosed: false,
  schema: Type.Object(
    {
      since: date("Day the route was deprecated, `2026-01-31`; without it, the day the config was loaded."),
      sunset: date("Day the route stops working."),
      link: Type.Optional(Type.String({ description: "http(s) address where people read what to do." })),
    },
    { additionalProperties: false },
  ),
  check({ since, sunset, link }) {
    const found: string[] = []
    const sinceMs = since === undefined ? undefined : parseDate(since)
    const sunsetMs = sunset === undefined ? undefined : parseDate(sunset)
    if (since !== undefined && sinceMs === undefined) found.push(`since: "${since}" is not a date`)
    if (sunset !== undefined && sunsetMs === undefined) found.push(`sunset: "${sunset}" is not a date`)
    if (sinceMs !== undefined && sunsetMs !== undefined && sunsetMs < sinceMs)
      found.push("sunset: lies before `since` (RFC 9745 section 4)")
    if (link !== undefined && !(isLink(link) && /^https?:/.test(link)))
      found.push(`link: "${link}" is not an http(s) address`)
    return found
  },
  compile({ since, sunset, link }, deps) {
    const today = Math.floor(deps.wallClock() / DAY_MS) * DAY_MS
    const sinceMs = (since === undefined ? undefined : parseDate(since)) ?? today
    const deprecation = `@${Math.floor(sinceMs / 1000)}`
    const sunsetMs = sunset === undefined ? undefined : parseDate(sunset)
    const sunsetDate = sunsetMs === undefined ? undefined : new Date(sunsetMs).toUTCString()
    const linkValue = link === undefined ? undefined : `<${link}>; rel="deprecation"`
    return {
      response(exchange) {
        const edits = exchange.responseEdits
        edits.set("deprecation", deprecation)
        if (sunsetDate !== undefined) edits.set("sunset", sunsetDate)
        // The service may have links of its own: this one goes beside them.
        if (linkValue !== undefined) edits.add("link", linkValue)
      },
    }
  },
})

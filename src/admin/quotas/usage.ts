import { Elysia } from "elysia"
import { negotiateType, parseMediaType } from "../../lib/accept.ts"
import { Type } from "../../lib/type.ts"
import type { Store } from "../../store/sql.ts"
import { listUsage, type UsageCount, type UsageFilter, type UsagePlace } from "../../store/usage_counts.ts"
import { HEADERS, ok } from "../answer.ts"
import { compileQuery, fields, limitOf, NO_NUL, PAGE, unfitFields } from "../people/read.ts"
import { csvLine } from "./csv.ts"
import type { Quotas } from "./quotas.ts"

const Day = Type.Optional(Type.String({ pattern: "^\\d{4}-\\d{2}-\\d{2}$" }))
const Text = Type.Optional(Type.String({ maxLength: 512, pattern: NO_NUL }))
const readList = compileQuery(
  fields({
    limit: PAGE.limit,
    cursor: Type.Optional(Type.String({ pattern: "^[A-Za-z0-9_-]{1,4000}$" })),
    from: Day,
    to: Day,
    subject: Text,
    route: Text,
  }),
)

/** Rows of a CSV read at a time. */
const CSV_BATCH = 500
const COLUMNS = ["day", "subject", "route", "requests", "errors", "bytes_in", "bytes_out"]

/** What was used, for bills: as JSON in pages, or all of it as CSV (`Accept: text/csv`). */
export function usageRoutes({ context: { store } }: Quotas) {
  return new Elysia({ prefix: "/admin/v1/usage" }).get("/", async ({ request }) => {
    const query = readList(request)
    if (query instanceof Response) return query
    const { from, to, subject, route } = query
    const filter: UsageFilter = { from, to, subject, route }
    const errors = (["from", "to"] as const)
      .filter((name) => query[name] !== undefined && !isDay(query[name]))
      .map((name) => ({ field: `/${name}`, message: "is no day" }))
    const after = query.cursor === undefined ? undefined : placeOf(query.cursor)
    if (after === "unfit") errors.push({ field: "/cursor", message: "is none of a page of this list" })
    if (errors.length > 0 || after === "unfit") return unfitFields(request, errors)
    if (wantsCsv(request)) return csvOf(store, filter, after)
    const limit = limitOf(query.limit)
    const found = await listUsage(store, filter, { after, limit: limit + 1 })
    const items = found.slice(0, limit)
    return ok({
      usage: items.map(toView),
      next_cursor: found.length > limit ? cursorOf(items.at(-1)!) : null,
    })
  })
}

const JSON_TYPE = parseMediaType("application/json")!
const CSV_TYPE = parseMediaType("text/csv")!

const wantsCsv = (request: Request): boolean =>
  negotiateType(request.headers.get("accept") ?? undefined, [JSON_TYPE, CSV_TYPE]) === CSV_TYPE

/** Read as it is taken, so that a long one takes no memory. A store that fails in between breaks the connection. */
function csvOf(store: Store, filter: UsageFilter, from: UsagePlace | undefined): Response {
  const encoder = new TextEncoder()
  let after = from
  const rows = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode(csvLine(COLUMNS)))
    },
    async pull(controller) {
      const found = await listUsage(store, filter, { after, limit: CSV_BATCH })
      if (found.length > 0)
        controller.enqueue(encoder.encode(found.map((each) => csvLine(Object.values(toView(each)))).join("")))
      if (found.length < CSV_BATCH) controller.close()
      after = found.at(-1)
    },
  })
  return new Response(rows, {
    headers: {
      ...HEADERS,
      "content-type": "text/csv; charset=utf-8; header=present",
      "content-disposition": 'attachment; filename="usage.csv"',
      vary: "accept",
    },
  })
}

/** In the order of the columns. */
function toView({ day, subject, route, requests, errors, bytesIn, bytesOut }: UsageCount) {
  return { day, subject, route, requests, errors, bytes_in: bytesIn, bytes_out: bytesOut }
}

function isDay(text: string): boolean {
  const at = Date.parse(`${text}T00:00:00Z`)
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(text)
}

const cursorOf = ({ day, subject, route }: UsagePlace): string =>
  Buffer.from(JSON.stringify([day, subject, route])).toString("base64url")

function placeOf(cursor: string): UsagePlace | "unfit" {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString())
    if (!Array.isArray(place) || place.length !== 3) return "unfit"
    const [day, subject, route] = place as unknown[]
    const isText = (each: unknown): each is string => typeof each === "string" && !each.includes("\0")
    return isText(day) && isText(subject) && isText(route) ? { day, subject, route } : "unfit"
  } catch {
    // Somebody made it up.
    return "unfit"
  }
}

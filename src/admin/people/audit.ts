import { Elysia } from "elysia"
import { isoDate } from "../../lib/iso_date.ts"
import { Type } from "../../lib/type.ts"
import { type KeptRecord, listAudit } from "../../safety/list_audit.ts"
import { ok } from "../answer.ts"
import { Moment, momentOf } from "./moment.ts"
import type { People } from "./people.ts"
import { compileQuery, fields, limitOf, NO_NUL, PAGE, unfitFields } from "./read.ts"

const Text = Type.Optional(Type.String({ minLength: 1, maxLength: 512, pattern: NO_NUL }))

const readList = compileQuery(
  fields({
    ...PAGE,
    action: Text,
    actor: Text,
    subject: Text,
    outcome: Type.Optional(Type.Enum(["success", "failure"])),
    from: Type.Optional(Moment),
    to: Type.Optional(Moment),
  }),
)

/** The record of who did what, the latest first. Nobody changes it here. */
export function auditRoutes({ context: { store } }: People) {
  return new Elysia({ prefix: "/admin/v1/audit" }).get("/", async ({ request }) => {
    const query = readList(request)
    if (query instanceof Response) return query
    const { action, actor, subject, outcome, cursor } = query
    const from = query.from === undefined ? undefined : momentOf(query.from)
    const to = query.to === undefined ? undefined : momentOf(query.to)
    const errors = (["from", "to"] as const)
      .filter((name) => query[name] !== undefined && momentOf(query[name]) === undefined)
      .map((name) => ({ field: `/${name}`, message: "is no point in time" }))
    if (errors.length > 0) return unfitFields(request, errors)
    const page = { before: cursor, limit: limitOf(query.limit) }
    const { records, next } = await listAudit(store, { action, actor, subject, outcome, from, to }, page)
    return ok({ records: records.map(toView), next_cursor: next ?? null })
  })
}

function toView({ id, at, action, outcome, actor, subject, client, requestId, details }: KeptRecord) {
  return { id, at: isoDate(at), action, outcome, actor, subject, client, request_id: requestId, details }
}

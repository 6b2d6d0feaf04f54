import { Elysia } from "elysia"
import { acknowledgeMailEvent, type MailEvent, readMailEvents } from "../../identity/mail_events.ts"
import { isoDate } from "../../lib/iso_date.ts"
import { ok, operatorOf, refuse } from "../answer.ts"
import type { People } from "./people.ts"
import { compileQuery, fields, limitOf, PAGE, pageOf } from "./read.ts"

const readList = compileQuery(fields(PAGE))

/**
 * Mail nobody has sent, as there is no mail server or it did not take it: for operators, or a program of theirs that
 * delivers it. Payloads hold tokens of one use.
 */
export function eventRoutes({ context }: People) {
  return new Elysia({ prefix: "/admin/v1/events" })
    .get("/", async ({ request }) => {
      const query = readList(request)
      if (query instanceof Response) return query
      const limit = limitOf(query.limit)
      const page = { after: query.cursor, limit: limit + 1 }
      const { items, next } = pageOf(await readMailEvents(context, page, operatorOf(request)), limit)
      return ok({ events: items.map(toView), next_cursor: next })
    })
    .delete("/:id", async ({ request, params: { id } }) =>
      (await acknowledgeMailEvent(context, id, operatorOf(request)))
        ? ok({ id, acknowledged: true })
        : refuse(request, 404, "NOT_FOUND", "There is no event with this id."),
    )
}

function toView({ id, type, payload, createdAt, expiresAt }: MailEvent) {
  return { id, type, payload, created_at: isoDate(createdAt), expires_at: isoDate(expiresAt) }
}

import { Elysia } from "elysia"
import { acknowledgeEvent, type EventView, listEvents } from "../../identity/event_list.ts"
import { isoDate } from "../../lib/iso_date.ts"
import { Type } from "../../lib/type.ts"
import { ok, operatorOf, refuse } from "../answer.ts"
import type { People } from "./people.ts"
import { compileQuery, fields, PAGE, readPage } from "./read.ts"

/** What types begin with. */
const Kind = Type.Optional(Type.String({ maxLength: 64, pattern: "^[a-z][a-z0-9_.]*$" }))
const readList = compileQuery(fields({ ...PAGE, kind: Kind }))

/**
 * What operators should hear of: quotas that come to their end (`quota.`), blocks (`abuse.`), and mail nobody has sent, as
 * there is no mail server or it did not take it (`auth.`), which a program of theirs may deliver: its payloads hold tokens
 * of one use.
 */
export function eventRoutes({ context }: People) {
  return new Elysia({ prefix: "/admin/v1/events" })
    .get("/", async ({ request }) => {
      const query = readList(request)
      if (query instanceof Response) return query
      const { kind } = query
      const by = operatorOf(request)
      const { items, next } = await readPage(query, (page) => listEvents(context, { ...page, kind }, by))
      return ok({ events: items.map(toView), next_cursor: next })
    })
    .delete("/:id", async ({ request, params: { id } }) =>
      (await acknowledgeEvent(context, id, operatorOf(request)))
        ? ok({ id, acknowledged: true })
        : refuse(request, 404, "NOT_FOUND", "There is no event with this id."),
    )
}

function toView({ id, type, payload, createdAt, expiresAt }: EventView) {
  return { id, type, payload, created_at: isoDate(createdAt), expires_at: isoDate(expiresAt) }
}

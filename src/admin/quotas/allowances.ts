import { Elysia } from "elysia"
import { definedQuotas } from "../../config/quotas.ts"
import { recordOf } from "../../identity/accounts.ts"
import { isoDate } from "../../lib/iso_date.ts"
import { Type } from "../../lib/type.ts"
import {
  type Allowance,
  deleteAllowance,
  insertAllowance,
  listAllowances,
  MAX_ALLOWANCES,
} from "../../store/quota_allowances.ts"
import { ok, operatorOf, refuse } from "../answer.ts"
import type { FieldError } from "../field_errors.ts"
import { Moment, momentOf } from "../people/moment.ts"
import { compileBody, compileQuery, fields, PAGE, readPage, unfitFields } from "../people/read.ts"
import type { Quotas } from "./quotas.ts"

const QuotaName = Type.String({ minLength: 1, maxLength: 63 })
/** As answers and warnings name it: percent-encoded parts with ":" between. */
export const Subject = Type.String({ pattern: "^[A-Za-z_]+:[\\x21-\\x7e]{1,300}$" })

const readList = compileQuery(
  fields({ ...PAGE, quota: Type.Optional(QuotaName), subject: Type.Optional(Subject) }),
)
const readNew = compileBody(
  fields({
    quota: QuotaName,
    subject: Subject,
    extra: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
    starts_at: Type.Optional(Moment),
    ends_at: Moment,
    reason: Type.String({ minLength: 1, maxLength: 200, pattern: "^[^\\x00-\\x1f\\x7f]*$" }),
  }),
)

/** Units beyond the limit for occasions: granted, listed and taken back by operators. */
export function allowanceRoutes({ context, config }: Quotas) {
  const { store, wallClock, audit } = context
  return new Elysia({ prefix: "/admin/v1/quotas/allowances" })
    .get("/", async ({ request }) => {
      const query = readList(request)
      if (query instanceof Response) return query
      const { quota, subject } = query
      const { items, next } = await readPage(query, (page) =>
        listAllowances(store, { ...page, quota, subject }),
      )
      return ok({ allowances: items.map(toView), next_cursor: next })
    })
    .post(
      "/",
      async ({ request }) => {
        const body = await readNew(request)
        if (body instanceof Response) return body
        const { quota, subject, extra, reason } = body
        const at = wallClock()
        const startsAt = body.starts_at === undefined ? at : momentOf(body.starts_at)
        const endsAt = momentOf(body.ends_at)
        const errors: FieldError[] = []
        if (!definedQuotas(config()).has(quota)) errors.push({ field: "/quota", message: "is not in config" })
        if (startsAt === undefined) errors.push({ field: "/starts_at", message: "is no point in time" })
        if (endsAt === undefined || endsAt <= Math.max(at, startsAt ?? at))
          errors.push({ field: "/ends_at", message: "must be a time to come, after starts_at" })
        if (errors.length > 0 || startsAt === undefined || endsAt === undefined)
          return unfitFields(request, errors)
        const actor = operatorOf(request)
        const id = Bun.randomUUIDv7("hex", at)
        const times = { startsAt, endsAt, createdAt: at }
        const allowance: Allowance = { id, quota, subject, extra, reason, grantedBy: actor.id, ...times }
        const outcome = await store.transaction(async (sql) => {
          const done = await insertAllowance(sql, allowance)
          if (done === "granted")
            await audit(sql, recordOf(actor, "allowance.grant", "success", subject, { id, quota, extra }))
          return done
        })
        if (outcome === "too_many")
          return refuse(
            request,
            409,
            "LIMIT_REACHED",
            `There are ${MAX_ALLOWANCES} allowances of this subject; take some back.`,
          )
        return ok(toView(allowance), 201)
      },
      { parse: "none" },
    )
    .delete("/:id", async ({ request, params: { id } }) => {
      if (!isId(id)) return noAllowance(request)
      const actor = operatorOf(request)
      const gone = await store.transaction(async (sql) => {
        const found = await deleteAllowance(sql, id)
        if (found !== undefined) {
          const { subject, quota } = found
          await audit(sql, recordOf(actor, "allowance.take_back", "success", subject, { id, quota }))
        }
        return found
      })
      return gone === undefined ? noAllowance(request) : ok({ id, deleted: true })
    })
}

const isId = (text: string): boolean => /^[0-9a-f-]{36}$/.test(text)

const noAllowance = (request: Request): Response =>
  refuse(request, 404, "NOT_FOUND", "There is no allowance with this id.")

function toView(allowance: Allowance) {
  return {
    id: allowance.id,
    quota: allowance.quota,
    subject: allowance.subject,
    extra: allowance.extra,
    starts_at: isoDate(allowance.startsAt),
    ends_at: isoDate(allowance.endsAt),
    reason: allowance.reason,
    granted_by: allowance.grantedBy,
    created_at: isoDate(allowance.createdAt),
  }
}

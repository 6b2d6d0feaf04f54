import { type Actor, recordOf } from "./accounts.ts"
import type { IdentityContext } from "./context.ts"

/** Something operators should hear of, or mail that is not sent. Times are milliseconds since the epoch. */
export interface EventView {
  readonly id: string
  /** `auth.password_reset_requested`, `quota.warning`, `abuse.blocked`, … */
  readonly type: string
  /** Of mail with the address, and often a token of one use: a secret. */
  readonly payload: Readonly<Record<string, unknown>>
  readonly createdAt: number
  readonly expiresAt: number
}

interface Row {
  id: string
  type: string
  payload: string
  created_at: number
  expires_at: number
}

/** Not mail that is still on its way. */
const TOLD = "type NOT LIKE 'mail.%'"
/** Kinds whose payloads are secrets. */
const SECRET = "auth."

/**
 * Events that are neither expired nor acknowledged, by age. `kind`: what their types begin with. `after`: id of the last
 * one seen. That secrets were shown is put on record. Rejects with a `StoreError`.
 */
export function listEvents(
  context: IdentityContext,
  { kind = "", after, limit }: { kind?: string | undefined; after: string | undefined; limit: number },
  actor: Actor,
): Promise<readonly EventView[]> {
  return context.store.transaction(async (sql) => {
    const rows = await sql.all<Row>(
      `SELECT id, type, payload, created_at, expires_at FROM events
       WHERE id > $1 AND expires_at > $2 AND ${TOLD} AND substr(type, 1, $3) = $4 ORDER BY id LIMIT $5`,
      [after ?? "", context.wallClock(), kind.length, kind, limit],
    )
    const secrets = rows.filter(({ type }) => type.startsWith(SECRET)).length
    if (secrets > 0)
      await context.audit(sql, recordOf(actor, "event.read", "success", "", { count: secrets }))
    return rows.map((row) => ({
      id: row.id,
      type: row.type,
      payload: JSON.parse(row.payload) as EventView["payload"],
      createdAt: row.created_at,
      expiresAt: row.expires_at,
    }))
  })
}

/** Has it forgotten, as somebody took care of it. False: there is none. */
export function acknowledgeEvent(context: IdentityContext, id: string, actor: Actor): Promise<boolean> {
  return context.store.transaction(async (sql) => {
    const removed = await sql.run(`DELETE FROM events WHERE id = $1 AND ${TOLD}`, [id])
    if (removed === 0) return false
    await context.audit(sql, recordOf(actor, "event.acknowledge", "success", id))
    return true
  })
}

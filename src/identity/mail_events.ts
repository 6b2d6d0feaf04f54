import { type Actor, recordOf } from "./accounts.ts"
import type { IdentityContext } from "./context.ts"

/** Mail that is not sent: what it would say. Times are milliseconds since the epoch. */
export interface MailEvent {
  readonly id: string
  /** `auth.password_reset_requested`, `auth.email_verification_requested`, … */
  readonly type: string
  /** With the address, and often a token of one use: a secret. */
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

/** Not what is still on its way to be sent. */
const TOLD = "type LIKE 'auth.%'"

/**
 * Events that are neither expired nor acknowledged, by age. `after`: id of the last one seen. That their secrets
 * were shown is put on record. Rejects with a `StoreError`.
 */
export function readMailEvents(
  context: IdentityContext,
  { after, limit }: { after: string | undefined; limit: number },
  actor: Actor,
): Promise<readonly MailEvent[]> {
  return context.store.transaction(async (sql) => {
    const rows = await sql.all<Row>(
      `SELECT id, type, payload, created_at, expires_at FROM events
       WHERE id > $1 AND expires_at > $2 AND ${TOLD} ORDER BY id LIMIT $3`,
      [after ?? "", context.wallClock(), limit],
    )
    if (rows.length > 0)
      await context.audit(sql, recordOf(actor, "event.read", "success", "", { count: rows.length }))
    return rows.map((row) => ({
      id: row.id,
      type: row.type,
      payload: JSON.parse(row.payload) as MailEvent["payload"],
      createdAt: row.created_at,
      expiresAt: row.expires_at,
    }))
  })
}

/** Has it forgotten, as somebody took care of it. False: there is none. */
export function acknowledgeMailEvent(context: IdentityContext, id: string, actor: Actor): Promise<boolean> {
  return context.store.transaction(async (sql) => {
    const removed = await sql.run(`DELETE FROM events WHERE id = $1 AND ${TOLD}`, [id])
    if (removed === 0) return false
    await context.audit(sql, recordOf(actor, "event.acknowledge", "success", id))
    return true
  })
}

import type { AuditRecord } from "../identity/context.ts"
import type { Sql } from "../store/sql.ts"

/** Longest text of one field kept. */
const MAX_TEXT = 512

/**
 * Appends one record with `sql`: inside a transaction it is kept if and only if what it tells of is. Ids rise with
 * time. `at`: milliseconds since the epoch.
 */
export async function appendAudit(sql: Sql, record: AuditRecord, at: number): Promise<void> {
  const { action, outcome, actor, subject, client, requestId, details } = record
  const texts = [action, outcome, actor, subject, client, requestId].map((text) => text.slice(0, MAX_TEXT))
  await sql.run(
    `INSERT INTO audit_events (id, at, action, outcome, actor, subject, client_ip, request_id, details)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [Bun.randomUUIDv7("hex", at), at, ...texts, JSON.stringify(details)],
  )
}

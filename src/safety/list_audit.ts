import type { AuditRecord } from "../identity/context.ts"
import type { Sql, SqlValue } from "../store/sql.ts"

/** A record that was kept. `at`: milliseconds since the epoch. */
export interface KeptRecord extends AuditRecord {
  readonly id: string
  readonly at: number
}

/** Which records: all that is given must fit. */
export interface AuditFilter {
  readonly action: string | undefined
  readonly actor: string | undefined
  readonly subject: string | undefined
  readonly outcome: string | undefined
  /** From this time on, and before this one. */
  readonly from: number | undefined
  readonly to: number | undefined
}

export interface AuditPage {
  readonly records: readonly KeptRecord[]
  /** Id to go on from; `undefined`: that was all. A page may be short and still not the last. */
  readonly next: string | undefined
}

/** Records looked at for one page: a rare action must not hold up the database. */
export const MAX_LOOKED_AT = 10_000

interface Row {
  id: string
  at: number
  action: string
  outcome: AuditRecord["outcome"]
  actor: string
  subject: string
  client_ip: string
  request_id: string
  details: string
}

/** The latest first. `before`: id of the last one seen. Rejects with a `StoreError`. */
export async function listAudit(
  sql: Sql,
  filter: AuditFilter,
  { before, limit }: { readonly before: string | undefined; readonly limit: number },
): Promise<AuditPage> {
  const params: SqlValue[] = []
  const conditions: string[] = []
  const where = (condition: string, value: SqlValue | undefined) => {
    if (value === undefined) return
    params.push(value)
    conditions.push(`${condition} $${params.length}`)
  }
  const clause = () => (conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`)
  // Ids rise with time and begin with it, so these four are ranges of indexes.
  where("subject =", filter.subject)
  where("id >=", filter.from === undefined ? undefined : firstIdAt(filter.from))
  where("id <", filter.to === undefined ? undefined : firstIdAt(filter.to))
  where("id <", before)
  const last = await sql.get<{ id: string }>(
    `SELECT id FROM audit_events ${clause()} ORDER BY id DESC LIMIT 1 OFFSET ${MAX_LOOKED_AT - 1}`,
    params,
  )
  where("id >=", last?.id)
  where("action =", filter.action)
  where("actor =", filter.actor)
  where("outcome =", filter.outcome)
  params.push(limit + 1)
  const rows = await sql.all<Row>(
    `SELECT * FROM audit_events ${clause()} ORDER BY id DESC LIMIT $${params.length}`,
    params,
  )
  const records = rows.slice(0, limit).map(toRecord)
  return { records, next: rows.length > limit ? records.at(-1)?.id : last?.id }
}

/** What ids of this time or later are not less than: the first 48 bits of a UUID version 7 are its milliseconds. */
function firstIdAt(ms: number): string {
  const hex = Math.max(0, ms).toString(16).padStart(12, "0")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}`
}

function toRecord(row: Row): KeptRecord {
  return {
    id: row.id,
    at: row.at,
    action: row.action,
    outcome: row.outcome,
    actor: row.actor,
    subject: row.subject,
    client: row.client_ip,
    requestId: row.request_id,
    details: JSON.parse(row.details) as AuditRecord["details"],
  }
}

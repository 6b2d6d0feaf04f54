import type { Sql } from "./sql.ts"

/** Something operators should hear of, by the table of events. */
export interface AlertEvent {
  /** `noun.what_happened`: "quota.warning", "abuse.blocked", … */
  readonly type: string
  /** Becomes JSON. Times are milliseconds since the epoch. */
  readonly payload: Readonly<Record<string, string | number>>
}

/** How long alerts wait to be read, in ms. */
export const ALERT_TTL_MS = 30 * 86_400_000
/** Rows deleted at once at most: other statements wait meanwhile. */
const BATCH = 2000

/** With `sql`: inside a transaction it is kept if and only if what it tells of is. Ids rise with time. */
export async function appendEvent(
  sql: Sql,
  type: string,
  payload: object,
  at: number,
  expiresAt: number,
): Promise<void> {
  await sql.run(
    "INSERT INTO events (id, type, payload, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
    [Bun.randomUUIDv7("hex", at), type, JSON.stringify(payload), at, expiresAt],
  )
}

/** Deletes events that have expired, 2000 at most. */
export async function sweepEvents(sql: Sql, at: number): Promise<void> {
  await sql.run(
    `DELETE FROM events WHERE id IN (SELECT id FROM events WHERE expires_at <= $1 LIMIT ${BATCH})`,
    [at],
  )
}

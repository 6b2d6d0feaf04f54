import type { Sql, SqlValue } from "./sql.ts"

/** Units beyond the limit for an occasion. Times are milliseconds since the epoch. */
export interface Allowance {
  readonly id: string
  readonly quota: string
  readonly subject: string
  /** Units more in each period, from `startsAt` on and before `endsAt`. */
  readonly extra: number
  readonly startsAt: number
  readonly endsAt: number
  readonly reason: string
  readonly grantedBy: string
  readonly createdAt: number
}

/** Allowances of one subject of a quota that have not ended. */
export const MAX_ALLOWANCES = 100

interface Row {
  id: string
  quota: string
  subject: string
  extra: number
  starts_at: number
  ends_at: number
  reason: string
  granted_by: string
  created_at: number
}

/** Grants it, if the subject has fewer than 100 of this quota. Within a transaction. */
export async function insertAllowance(sql: Sql, allowance: Allowance): Promise<"granted" | "too_many"> {
  const { id, quota, subject, extra, startsAt, endsAt, reason, grantedBy, createdAt } = allowance
  const { n } = (await sql.get<{ n: number }>(
    "SELECT count(*) AS n FROM quota_allowances WHERE quota = $1 AND subject = $2 AND ends_at > $3",
    [quota, subject, createdAt],
  ))!
  if (n >= MAX_ALLOWANCES) return "too_many"
  await sql.run(
    `INSERT INTO quota_allowances
       (id, quota, subject, extra, starts_at, ends_at, reason, granted_by, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [id, quota, subject, extra, startsAt, endsAt, reason, grantedBy, createdAt],
  )
  return "granted"
}

/** In the order they were granted. `after`: id of the last one seen; `quota`, `subject`: only of these. */
export async function listAllowances(
  sql: Sql,
  wanted: {
    readonly quota?: string | undefined
    readonly subject?: string | undefined
    readonly after?: string | undefined
    readonly limit: number
  },
): Promise<readonly Allowance[]> {
  const params: SqlValue[] = [wanted.after ?? ""]
  const conditions = ["id > $1"]
  for (const name of ["quota", "subject"] as const) {
    const value = wanted[name]
    if (value === undefined) continue
    params.push(value)
    conditions.push(`${name} = $${params.length}`)
  }
  params.push(wanted.limit)
  const rows = await sql.all<Row>(
    `SELECT * FROM quota_allowances WHERE ${conditions.join(" AND ")} ORDER BY id LIMIT $${params.length}`,
    params,
  )
  return rows.map(toAllowance)
}

/** Takes it back; `undefined`: there is none of this id. Within a transaction. */
export async function deleteAllowance(sql: Sql, id: string): Promise<Allowance | undefined> {
  const row = await sql.get<Row>("DELETE FROM quota_allowances WHERE id = $1 RETURNING *", [id])
  return row && toAllowance(row)
}

function toAllowance(row: Row): Allowance {
  return {
    id: row.id,
    quota: row.quota,
    subject: row.subject,
    extra: row.extra,
    startsAt: row.starts_at,
    endsAt: row.ends_at,
    reason: row.reason,
    grantedBy: row.granted_by,
    createdAt: row.created_at,
  }
}

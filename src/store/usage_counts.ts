import type { Sql, SqlValue } from "./sql.ts"

/** What one caller asked of one route on one day. */
export interface UsageCount {
  /** "2026-01-31", in UTC. */
  readonly day: string
  /** "" for callers nobody knows. */
  readonly subject: string
  /** Template of the route. */
  readonly route: string
  readonly requests: number
  /** Of them, those answered with 400 or more, or not at all. */
  readonly errors: number
  /** Bytes of bodies, from and to clients. */
  readonly bytesIn: number
  readonly bytesOut: number
}

/** A place in the list: the row before. */
export type UsagePlace = Pick<UsageCount, "day" | "subject" | "route">

export interface UsageFilter {
  /** Days, both included. */
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly subject?: string | undefined
  readonly route?: string | undefined
}

/** Ids of batches are kept this long: until then one may be tried again. */
const BATCH_KEPT_MS = 86_400_000
const SWEPT_AT_ONCE = 2000

/**
 * Adds counts, in their order. Within a transaction. `batch`: an id of its own; one that was added already is left
 * out, so that it can be tried again when nobody knows whether it was.
 */
export async function addUsage(
  sql: Sql,
  batch: string,
  counts: readonly UsageCount[],
  at: number,
): Promise<void> {
  const isNew = await sql.run(
    "INSERT INTO usage_batches (id, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    [batch, at],
  )
  if (isNew === 0) return
  for (const { day, subject, route, requests, errors, bytesIn, bytesOut } of counts)
    await sql.run(
      `INSERT INTO usage_counts (day, subject, route, requests, errors, bytes_in, bytes_out)
       VALUES ($1, $2, $3, $4, $5, $6, $7)
       ON CONFLICT (day, subject, route) DO UPDATE SET requests = usage_counts.requests + excluded.requests,
         errors = usage_counts.errors + excluded.errors, bytes_in = usage_counts.bytes_in + excluded.bytes_in,
         bytes_out = usage_counts.bytes_out + excluded.bytes_out`,
      [day, subject, route, requests, errors, bytesIn, bytesOut],
    )
}

interface Row {
  day: string
  subject: string
  route: string
  requests: number
  errors: number
  bytes_in: number
  bytes_out: number
}

/** By day, subject and route. `after`: the last one seen. */
export async function listUsage(
  sql: Sql,
  { from, to, subject, route }: UsageFilter,
  { after, limit }: { readonly after: UsagePlace | undefined; readonly limit: number },
): Promise<readonly UsageCount[]> {
  const params: SqlValue[] = []
  const conditions: string[] = ["1 = 1"]
  const where = (condition: string, value: string | undefined) => {
    if (value === undefined) return
    params.push(value)
    conditions.push(`${condition} $${params.length}`)
  }
  where("day >=", from)
  where("day <=", to)
  where("subject =", subject)
  where("route =", route)
  if (after !== undefined) {
    params.push(after.day, after.subject, after.route)
    const [day, of, at] = [params.length - 2, params.length - 1, params.length]
    conditions.push(`(day, subject, route) > ($${day}, $${of}, $${at})`)
  }
  params.push(limit)
  const rows = await sql.all<Row>(
    `SELECT * FROM usage_counts WHERE ${conditions.join(" AND ")}
     ORDER BY day, subject, route LIMIT $${params.length}`,
    params,
  )
  return rows.map((row) => ({
    day: row.day,
    subject: row.subject,
    route: row.route,
    requests: row.requests,
    errors: row.errors,
    bytesIn: row.bytes_in,
    bytesOut: row.bytes_out,
  }))
}

/** Deletes days before this one, and ids of batches nobody tries again. Takes little at once. */
export async function sweepUsage(sql: Sql, before: string, at: number): Promise<void> {
  await sql.run(
    `DELETE FROM usage_counts WHERE (day, subject, route) IN (
       SELECT day, subject, route FROM usage_counts WHERE day < $1 LIMIT ${SWEPT_AT_ONCE})`,
    [before],
  )
  await sql.run(
    `DELETE FROM usage_batches WHERE id IN (
       SELECT id FROM usage_batches WHERE created_at <= $1 LIMIT ${SWEPT_AT_ONCE})`,
    [at - BATCH_KEPT_MS],
  )
}

/** The day of a moment, in UTC. `at`: milliseconds since the epoch. */
export const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10)

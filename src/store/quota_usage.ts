import { ALERT_TTL_MS, appendEvent } from "./events.ts"
import type { Sql } from "./sql.ts"

/** Units of a quota somebody wants in one period. */
export interface QuotaUnits {
  readonly quota: string
  /** Who shares them. */
  readonly subject: string
  /** Milliseconds since the epoch. */
  readonly periodStart: number
  /** At least 1. */
  readonly cost: number
}

export interface QuotaTake extends QuotaUnits {
  readonly periodEnd: number
  /** Units of the period, without allowances. */
  readonly limit: number
}

/** How a quota is, once units were asked for. */
export interface QuotaState {
  readonly used: number
  /** With the allowances that hold now. */
  readonly limit: number
}

export interface QuotaTaken extends QuotaState {
  readonly taken: boolean
  /** Percentage its subject and the operator were told of before. */
  readonly warned: number
}

/** Periods are kept this long after their end: a clock may be set back, and people ask about yesterday. */
const KEPT_MS = 35 * 86_400_000
/** Rows deleted at once at most: other statements wait meanwhile. */
const BATCH = 2000

const ALLOWED = `CAST($6 AS BIGINT) + COALESCE((
  SELECT CAST(SUM(extra) AS BIGINT) FROM quota_allowances
  WHERE quota = $1 AND subject = $2 AND starts_at <= $7 AND ends_at > $7), 0)`

// One statement looks and takes, so that others cannot come between, on whatever machine they are.
const TAKE = `INSERT INTO quota_usage (quota, subject, period_start, period_end, used, base, allowed, warned)
  SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS BIGINT),
    CAST($6 AS BIGINT), now.allowed, 0
  FROM (SELECT ${ALLOWED} AS allowed) AS now WHERE CAST($5 AS BIGINT) <= now.allowed
  ON CONFLICT (quota, subject, period_start) DO UPDATE
    SET used = quota_usage.used + excluded.used, base = excluded.base, allowed = excluded.allowed
    WHERE quota_usage.used + excluded.used <= excluded.allowed
  RETURNING used, allowed, warned`

interface Row {
  readonly used: number
  readonly allowed: number
  readonly warned: number
}

/**
 * Takes units if so many are left, allowances included; however many ask at once, never more than there are. `at`:
 * milliseconds since the epoch, for the allowances.
 */
export async function takeUnits(sql: Sql, wanted: QuotaTake, at: number): Promise<QuotaTaken> {
  const { quota, subject, periodStart, periodEnd, cost, limit } = wanted
  const row = await sql.get<Row>(TAKE, [quota, subject, periodStart, periodEnd, cost, limit, at])
  if (row !== undefined) return { taken: true, used: row.used, limit: row.allowed, warned: row.warned }
  const used = await usedUnits(sql, wanted)
  return { taken: false, used, limit: limit + (await extraUnits(sql, quota, subject, at)), warned: 100 }
}

/** Gives units back to the period they were taken from. */
export async function giveBackUnits(sql: Sql, units: QuotaUnits): Promise<void> {
  const { quota, subject, periodStart, cost } = units
  await sql.run(
    `UPDATE quota_usage SET used = CASE WHEN used < $4 THEN 0 ELSE used - $4 END
     WHERE quota = $1 AND subject = $2 AND period_start = $3`,
    [quota, subject, periodStart, cost],
  )
}

/** Units taken in this period. */
export async function usedUnits(
  sql: Sql,
  { quota, subject, periodStart }: Omit<QuotaUnits, "cost">,
): Promise<number> {
  const row = await sql.get<{ used: number }>(
    "SELECT used FROM quota_usage WHERE quota = $1 AND subject = $2 AND period_start = $3",
    [quota, subject, periodStart],
  )
  return row?.used ?? 0
}

/** The limit that was in force, without allowances, when this subject last took units; `undefined`: it never did. */
export async function lastLimit(sql: Sql, quota: string, subject: string): Promise<number | undefined> {
  const row = await sql.get<{ base: number }>(
    "SELECT base FROM quota_usage WHERE quota = $1 AND subject = $2 ORDER BY period_start DESC LIMIT 1",
    [quota, subject],
  )
  return row?.base
}

/** Sum of the allowances that hold at this moment. */
export async function extraUnits(sql: Sql, quota: string, subject: string, at: number): Promise<number> {
  const row = await sql.get<{ extra: number }>(
    `SELECT COALESCE(CAST(SUM(extra) AS BIGINT), 0) AS extra FROM quota_allowances
     WHERE quota = $1 AND subject = $2 AND starts_at <= $3 AND ends_at > $3`,
    [quota, subject, at],
  )
  return row!.extra
}

/**
 * Puts an event into the table of events when a subject has come to 80 or 100 % of its units, once a period for
 * each; the percentage, or `undefined` when there is nothing to tell. Within the transaction that took them.
 */
export async function warnOfUse(
  sql: Sql,
  wanted: QuotaTake,
  { used, limit, warned }: QuotaTaken,
  at: number,
): Promise<80 | 100 | undefined> {
  const percent = used >= limit ? 100 : used * 100 >= limit * 80 ? 80 : undefined
  if (percent === undefined || percent <= warned) return undefined
  const { quota, subject, periodStart, periodEnd } = wanted
  await sql.run(
    "UPDATE quota_usage SET warned = $4 WHERE quota = $1 AND subject = $2 AND period_start = $3",
    [quota, subject, periodStart, percent],
  )
  const payload = { quota, subject, percent, used, limit, period_start: periodStart, period_end: periodEnd }
  await appendEvent(sql, "quota.warning", payload, at, at + ALERT_TTL_MS)
  return percent
}

/** Deletes periods that are over for 35 days, and allowances that ended as long ago. Takes little at once. */
export async function sweepQuotas(sql: Sql, at: number): Promise<void> {
  await sql.run(
    `DELETE FROM quota_usage WHERE (quota, subject, period_start) IN (
       SELECT quota, subject, period_start FROM quota_usage WHERE period_end <= $1 LIMIT ${BATCH})`,
    [at - KEPT_MS],
  )
  await sql.run(
    `DELETE FROM quota_allowances WHERE id IN (
       SELECT id FROM quota_allowances WHERE ends_at <= $1 LIMIT ${BATCH})`,
    [at - KEPT_MS],
  )
}

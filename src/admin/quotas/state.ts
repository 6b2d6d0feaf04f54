import { periodAt } from "../../lib/calendar.ts"
import type { QuotaOptions } from "../../policies/quota_options.ts"
import { extraUnits, usedUnits } from "../../store/quota_usage.ts"
import type { Sql } from "../../store/sql.ts"

/** How a quota is for one subject in the period of this moment, as operators and callers are shown it. */
export interface QuotaView {
  readonly quota: string
  readonly per: string
  readonly timezone: string
  /** With the allowance; `null`: not known, as nobody of this subject has called. */
  readonly limit: number | null
  readonly allowance: number
  readonly used: number
  readonly remaining: number | null
  readonly resets_at: string
}

/** `base`: the limit without allowances. `at`: milliseconds since the epoch. Rejects with a `StoreError`. */
export async function readQuota(
  sql: Sql,
  { name, per, timezone }: QuotaOptions,
  subject: string,
  base: number | undefined,
  at: number,
): Promise<QuotaView> {
  const { start, end } = periodAt(at, per, timezone)
  const used = await usedUnits(sql, { quota: name, subject, periodStart: start })
  const allowance = await extraUnits(sql, name, subject, at)
  const limit = base === undefined ? null : base + allowance
  return {
    quota: name,
    per,
    timezone,
    limit,
    allowance,
    used,
    remaining: limit === null ? null : Math.max(0, limit - used),
    resets_at: new Date(end).toISOString(),
  }
}

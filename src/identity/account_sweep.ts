import type { IdentityContext } from "./context.ts"

/** Rows deleted at once at most: other statements wait meanwhile. */
const BATCH = 2000
/** Batches of the audit record a sweep deletes at most: several times of what refusals can add in a minute. */
const MAX_AUDIT_BATCHES = 10

/**
 * Deletes one-time tokens that have expired, and counters of failures that no longer count. Call about
 * once a minute.
 */
export async function sweepAccounts({ store, wallClock, settings }: IdentityContext): Promise<void> {
  const at = wallClock()
  await store.run(
    `DELETE FROM one_time_tokens WHERE token_hash IN (
       SELECT token_hash FROM one_time_tokens WHERE expires_at <= $1 LIMIT ${BATCH})`,
    [at],
  )
  await store.run(
    `DELETE FROM login_failures WHERE subject IN (
       SELECT subject FROM login_failures WHERE last_at <= $1 AND blocked_until <= $2 LIMIT ${BATCH})`,
    [at - settings().lockout.duration, at],
  )
}

/**
 * Deletes records older than `auth.audit_retention`, the oldest first, at most 20,000 a call. Call about once a
 * minute.
 */
export async function sweepAudit({
  store,
  wallClock,
  settings,
}: Pick<IdentityContext, "store" | "wallClock" | "settings">): Promise<void> {
  const before = wallClock() - settings().audit_retention
  for (let batch = 0; batch < MAX_AUDIT_BATCHES; batch++) {
    const deleted = await store.run(
      `DELETE FROM audit_events WHERE id IN (
         SELECT id FROM audit_events WHERE at < $1 ORDER BY at LIMIT ${BATCH})`,
      [before],
    )
    if (deleted < BATCH) return
  }
}

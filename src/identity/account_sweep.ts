import type { IdentityContext } from "./context.ts"

/** Rows deleted at once at most: other statements wait meanwhile. */
const BATCH = 2000

/**
 * Deletes one-time tokens and events that have expired, and counters of failures that no longer count. Call about
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
    `DELETE FROM events WHERE id IN (SELECT id FROM events WHERE expires_at <= $1 LIMIT ${BATCH})`,
    [at],
  )
  await store.run(
    `DELETE FROM login_failures WHERE subject IN (
       SELECT subject FROM login_failures WHERE last_at <= $1 AND blocked_until <= $2 LIMIT ${BATCH})`,
    [at - settings().lockout.duration, at],
  )
}

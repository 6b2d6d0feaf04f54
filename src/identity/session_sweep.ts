import type { IdentityContext } from "./context.ts"

/** Rows deleted at once at most: other statements wait meanwhile. */
const BATCH = 2000
/** How long a session that has ended is kept, for whoever looks into a theft. */
const KEPT_MS = 7 * 86_400_000

/** Deletes refresh tokens that have expired, and sessions a week after their end. Call about once a minute. */
export async function sweepSessions({
  store,
  wallClock,
}: Pick<IdentityContext, "store" | "wallClock">): Promise<void> {
  const at = wallClock()
  const past = at - KEPT_MS
  // Tokens of a session first: they refer to it.
  await store.run(
    `DELETE FROM refresh_tokens WHERE token_hash IN (
       SELECT token_hash FROM refresh_tokens WHERE expires_at <= $1 LIMIT ${BATCH})`,
    [at],
  )
  await store.run(
    `DELETE FROM refresh_tokens WHERE token_hash IN (
       SELECT t.token_hash FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id
       WHERE s.expires_at <= $1 LIMIT ${BATCH})`,
    [past],
  )
  await store.run(
    `DELETE FROM sessions WHERE id IN (
       SELECT id FROM sessions WHERE expires_at <= $1
         AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE session_id = sessions.id) LIMIT ${BATCH})`,
    [past],
  )
}

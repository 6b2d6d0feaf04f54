import { subjectOf } from "./access_token.ts"
import { holderOfApiKey } from "./api_key_holder.ts"
import type { IdentityContext } from "./context.ts"
import type { CredentialAnswer, Question } from "./messages.ts"
import { findUser } from "./users.ts"

type CredentialQuestion = Extract<Question, { kind: "credential" }>

/** How often a session's last use is written at most. */
const TOUCH_MS = 60_000

const UNKNOWN: CredentialAnswer = { kind: "unknown" }

/** Whose an opaque credential is, by its hash. Rejects with a `StoreError`. */
export async function resolveCredential(
  context: IdentityContext,
  { credential, hash }: CredentialQuestion,
): Promise<CredentialAnswer> {
  switch (credential) {
    case "session":
      return resolveSession(context, hash)
    case "api_key":
      return holderOfApiKey(context, hash)
  }
}

interface SessionRow {
  id: string
  user_id: string
  created_at: number
  last_used_at: number
  expires_at: number
}

/** The account as it is now: a change of roles holds for sessions at once, not at the next sign-in. */
async function resolveSession(context: IdentityContext, hash: string): Promise<CredentialAnswer> {
  const { store, wallClock, settings } = context
  const at = wallClock()
  const session = await store.get<SessionRow>(
    `SELECT id, user_id, created_at, last_used_at, expires_at FROM sessions
     WHERE cookie_hash = $1 AND ended_at IS NULL AND expires_at > $2`,
    [hash, at],
  )
  if (session === undefined) return UNKNOWN
  const user = await findUser(store, session.user_id)
  if (user?.status !== "active") return UNKNOWN
  const subject = subjectOf(context, user, { sessionId: session.id, scope: "" })
  return {
    kind: "principal",
    principal: {
      ...subject,
      method: "session",
      issuer: settings().issuer,
      permissions: [],
      tokenId: "",
      expiresAt: await touch(context, session, at),
      claims: {},
    },
    allowedIps: [],
  }
}

/** Puts off the end of a session that is used, up to its longest life; resolves with its end. */
async function touch(context: IdentityContext, session: SessionRow, at: number): Promise<number> {
  if (at - session.last_used_at < TOUCH_MS) return session.expires_at
  const { ttl, idle } = context.settings().session
  const expiresAt = Math.min(session.created_at + ttl, at + idle)
  try {
    // Of several at once the first is enough.
    await context.store.run(
      `UPDATE sessions SET last_used_at = $2, expires_at = $3
       WHERE id = $1 AND last_used_at = $4 AND ended_at IS NULL`,
      [session.id, at, expiresAt, session.last_used_at],
    )
    return expiresAt
  } catch {
    // A store that can only be read still says whose the session is; that it failed is in its own log and metric.
    return session.expires_at
  }
}

import type { Sql } from "../store/sql.ts"
import { issueAccessToken, subjectOf } from "./access_token.ts"
import type { Asking, IdentityContext } from "./context.ts"
import { csrfToken } from "./csrf.ts"
import { hashOfToken, newOpaqueToken } from "./opaque_token.ts"
import type { User } from "./users.ts"

/** Live sign-ins of one account; beyond, the one used least recently ends. */
export const MAX_SESSIONS_PER_USER = 50
const MAX_USER_AGENT = 256

export const REFRESH_PREFIX = "gh_rt_"
const COOKIE_PREFIX = "gh_st_"

export type SessionKind = "token" | "cookie"

export interface SignInOptions {
  readonly asking: Asking
  /** `token`: an access and a refresh token; `cookie`: a session of a browser. */
  readonly kind: SessionKind
  /** How it was proved who it is, for the record: "password", "oidc", … */
  readonly method: string
  /** Scopes asked for, separated by one space each; others are not granted. Absent or "": all of the roles. */
  readonly scope?: string
}

/** What a sign-in gave. All but the ids and times are secrets for the caller alone. */
export type SignedIn =
  | {
      readonly kind: "token"
      readonly sessionId: string
      readonly accessToken: string
      readonly expiresInS: number
      readonly refreshToken: string
      readonly scope: string
    }
  | {
      readonly kind: "cookie"
      readonly sessionId: string
      /** Value of the session cookie. */
      readonly cookie: string
      /** Value of the cookie `gh_csrf`. */
      readonly csrf: string
      readonly maxAgeS: number
    }

/** Who ends a session: for the record. The default is the gateway itself. */
export interface EndedBy {
  readonly actor: string
  readonly client: string
  readonly requestId: string
}
const GATEWAY: EndedBy = { actor: "", client: "", requestId: "" }

/** Why a session ended. */
export type EndReason =
  | "logout"
  | "ended_by_user"
  | "ended_by_admin"
  | "refresh_reused"
  | "too_many"
  | "password_changed"
  | "account_changed"
  | "revoked"

/**
 * Starts a session of an account whose owner has just proved to be it. Call inside a transaction: what is
 * returned holds only once that is committed. Throws `Error` when tokens are asked for and no key can sign.
 */
export async function signIn(
  context: IdentityContext,
  sql: Sql,
  user: User,
  { asking, kind, method, scope = "" }: SignInOptions,
): Promise<SignedIn> {
  const at = context.wallClock()
  const { refresh_token_ttl, refresh_token_max_life, session } = context.settings()
  const sessionId = Bun.randomUUIDv7("hex", at)
  const cookie = kind === "cookie" ? newOpaqueToken(COOKIE_PREFIX, context.randomBytes) : undefined
  const lifeMs =
    kind === "cookie"
      ? Math.min(session.ttl, session.idle)
      : Math.min(refresh_token_ttl, refresh_token_max_life)
  await sql.run(
    `INSERT INTO sessions (id, user_id, kind, cookie_hash, client_ip, user_agent, created_at, last_used_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)`,
    [
      sessionId,
      user.id,
      kind,
      cookie === undefined ? null : hashOfToken(cookie),
      asking.client,
      asking.userAgent.slice(0, MAX_USER_AGENT),
      at,
      at + lifeMs,
    ],
  )
  await endSurplus(context, sql, user.id, at)
  const by = { actor: user.id, client: asking.client, requestId: asking.requestId }
  const start = { action: "session.start", outcome: "success", subject: sessionId } as const
  await context.audit(sql, { ...start, ...by, details: { kind, method } })
  if (cookie !== undefined)
    return {
      kind: "cookie",
      sessionId,
      cookie,
      csrf: csrfToken(cookie),
      maxAgeS: Math.floor(session.ttl / 1000),
    }
  const refreshToken = newOpaqueToken(REFRESH_PREFIX, context.randomBytes)
  await insertRefreshToken(sql, { token: refreshToken, sessionId, scope, at, expiresAt: at + lifeMs })
  const access = issueAccessToken(context, subjectOf(context, user, { sessionId, scope }))
  const issue = { action: "token.issue", outcome: "success", subject: access.id } as const
  await context.audit(sql, { ...issue, ...by, details: { session: sessionId, scope: access.scope } })
  context.count("token_issued", "success")
  const { expiresInS } = access
  return {
    kind: "token",
    sessionId,
    accessToken: access.token,
    expiresInS,
    refreshToken,
    scope: access.scope,
  }
}

export interface NewRefreshToken {
  readonly token: string
  readonly sessionId: string
  /** Scopes asked for at sign-in; "": all of the roles. */
  readonly scope: string
  readonly at: number
  readonly expiresAt: number
}

export async function insertRefreshToken(sql: Sql, token: NewRefreshToken): Promise<void> {
  await sql.run(
    `INSERT INTO refresh_tokens (token_hash, session_id, scope, created_at, expires_at)
     VALUES ($1, $2, $3, $4, $5)`,
    [hashOfToken(token.token), token.sessionId, token.scope, token.at, token.expiresAt],
  )
}

async function endSurplus(context: IdentityContext, sql: Sql, userId: string, at: number): Promise<void> {
  const surplus = await sql.all<{ id: string }>(
    `SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2
     ORDER BY last_used_at DESC, id DESC LIMIT 100 OFFSET ${MAX_SESSIONS_PER_USER}`,
    [userId, at],
  )
  for (const { id } of surplus) await endSession(context, sql, id, "too_many")
}

/** `expires_at` too: by it alone the sweep finds what is over. */
const END = `UPDATE sessions SET ended_at = $2, end_reason = $3,
  expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END`

/**
 * Ends one session: its refresh tokens and cookie are dead at once, its access tokens on every worker once the
 * transaction of `sql` is committed. False: there is none, or it had ended.
 */
export async function endSession(
  context: IdentityContext,
  sql: Sql,
  sessionId: string,
  reason: EndReason,
  by: EndedBy = GATEWAY,
): Promise<boolean> {
  const ended = await sql.all<{ id: string }>(`${END} WHERE id = $1 AND ended_at IS NULL RETURNING id`, [
    sessionId,
    context.wallClock(),
    reason,
  ])
  await tellEnded(context, sql, ended, reason, by)
  return ended.length > 0
}

/** Ends all sessions of an account but one; resolves with how many there were. See `endSession`. */
export async function endSessionsOf(
  context: IdentityContext,
  sql: Sql,
  userId: string,
  reason: EndReason,
  exceptSessionId = "",
  by: EndedBy = GATEWAY,
): Promise<number> {
  const ended = await sql.all<{ id: string }>(
    `${END} WHERE user_id = $1 AND id <> $4 AND ended_at IS NULL RETURNING id`,
    [userId, context.wallClock(), reason, exceptSessionId],
  )
  await tellEnded(context, sql, ended, reason, by)
  return ended.length
}

async function tellEnded(
  context: IdentityContext,
  sql: Sql,
  ended: readonly { readonly id: string }[],
  reason: EndReason,
  by: EndedBy,
): Promise<void> {
  if (ended.length === 0) return
  const expiresAt = accessEndsBy(context)
  await context.revoke(
    sql,
    ended.map(({ id }) => ({ kind: "session", subject: id, expiresAt })),
  )
  for (const { id } of ended) {
    await context.audit(sql, {
      action: "session.end",
      outcome: "success",
      subject: id,
      ...by,
      details: { reason },
    })
    context.count("session_ended", "success")
  }
}

/**
 * A token may be signed a moment after its sign-in has ended, by what was read before, or on a VM whose clock is
 * ahead; and workers believe what they know of a cookie for half a minute, however short tokens live.
 */
const LATE_MS = 60_000

/** From when on no access token issued until now is taken any more, and no cookie is believed. */
export function accessEndsBy({ settings, wallClock }: IdentityContext): number {
  const { access_token_ttl, leeway } = settings()
  return wallClock() + access_token_ttl + leeway + LATE_MS
}

/** A session that goes on. Times are milliseconds since the epoch. */
export interface Session {
  readonly id: string
  readonly kind: SessionKind
  readonly clientIp: string
  readonly userAgent: string
  readonly createdAt: number
  readonly lastUsedAt: number
  readonly expiresAt: number
}

interface Row {
  id: string
  kind: SessionKind
  client_ip: string
  user_agent: string
  created_at: number
  last_used_at: number
  expires_at: number
}

/** Sessions of an account that go on, the one used last first. */
export async function listSessions(
  { wallClock }: Pick<IdentityContext, "wallClock">,
  sql: Sql,
  userId: string,
): Promise<readonly Session[]> {
  const rows = await sql.all<Row>(
    `SELECT id, kind, client_ip, user_agent, created_at, last_used_at, expires_at FROM sessions
     WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY last_used_at DESC, id DESC`,
    [userId, wallClock()],
  )
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    clientIp: row.client_ip,
    userAgent: row.user_agent,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    expiresAt: row.expires_at,
  }))
}

import type { Sql } from "../store/sql.ts"
import { issueAccessToken, narrowScopes, scopesGranted, subjectOf } from "./access_token.ts"
import type { Accounts } from "./accounts.ts"
import type { Asking, IdentityContext } from "./context.ts"
import { hashOfToken, newOpaqueToken } from "./opaque_token.ts"
import { endSession, insertRefreshToken, REFRESH_PREFIX } from "./sessions.ts"
import { openSuccessor, sealSuccessor } from "./successor.ts"
import { findUser, type User } from "./users.ts"

/** Why a refresh token is of no use: for the record; the caller is told nothing of it. */
export type RefreshFault = "unknown" | "expired" | "ended" | "disabled" | "reused"

export type Refreshed =
  | {
      readonly kind: "refreshed"
      readonly accessToken: string
      readonly expiresInS: number
      readonly refreshToken: string
      readonly scope: string
    }
  /** `sessionId`: "" when the token is unknown. */
  | { readonly kind: "refused"; readonly reason: RefreshFault; readonly sessionId: string }
  /** Scopes were asked for that the token does not give; it can be used again. */
  | { readonly kind: "scope" }

export interface RefreshOptions {
  readonly token: string
  /** Fewer scopes for this one access token (RFC 6749 section 6); "": as at sign-in. */
  readonly scope: string
  readonly asking: Asking
}

interface Row {
  session_id: string
  scope: string
  expires_at: number
  used_at: number | null
  successor: string | null
  user_id: string
  ended_at: number | null
  signed_in_at: number
}

/** Tokens kept of one sign-in. An older one is still refused, but no longer known as one that was used. */
const MAX_FAMILY = 2000

const FORMAT = new RegExp(`^${REFRESH_PREFIX}[A-Za-z0-9_-]{43}$`)

/**
 * Gives a new access token and a new refresh token for a refresh token. Each is for one use; within
 * `auth.refresh_grace` of that use it gives the same successor again, later it ends the sign-in, as one of the two
 * who have it must have stolen it (RFC 9700 section 4.14.2). A token that is right is taken at any time; wrong ones
 * count against the address, so that a flood of them is not a flood of records. Rejects with a `StoreError`.
 */
export async function refresh(
  { context, throttle }: Pick<Accounts, "context" | "throttle">,
  options: RefreshOptions,
): Promise<Refreshed> {
  const outcome = FORMAT.test(options.token) ? await tryRefresh(context, options) : refused("unknown", "")
  if (outcome.kind !== "refused") return outcome
  context.count("refresh", "failure")
  const { client } = options.asking
  const attempt = await throttle.attempt("refresh", undefined, client)
  if (attempt.kind === "permitted" || outcome.reason === "reused")
    await recordRefusal(context, options, outcome)
  return outcome
}

type Refused = Extract<Refreshed, { kind: "refused" }>

const refused = (reason: RefreshFault, sessionId: string): Refused => ({ kind: "refused", reason, sessionId })

function tryRefresh(context: IdentityContext, options: RefreshOptions): Promise<Refreshed> {
  return context.store.transaction(async (sql) => {
    const row = await findRow(sql, options.token)
    if (row === undefined) return refused("unknown", "")
    const at = context.wallClock()
    if (row.ended_at !== null) return refused("ended", row.session_id)
    if (Math.min(row.expires_at, lifeEndsAt(context, row)) <= at) return refused("expired", row.session_id)
    const user = await findUser(sql, row.user_id)
    if (user?.status !== "active") return refused("disabled", row.session_id)
    const subject = subjectOf(context, user, { sessionId: row.session_id, scope: row.scope })
    if (!scopesGranted(subject.scopes, options.scope)) return { kind: "scope" }
    const next = await rotate(context, sql, options, row, at)
    if (next === undefined) return endFamily(context, sql, options, row)
    return issue(context, sql, options, row, user, next)
  })
}

/** No refresh makes a sign-in last longer: whoever has stolen a token that nobody misses loses it then. */
const lifeEndsAt = ({ settings }: IdentityContext, { signed_in_at }: Row): number =>
  signed_in_at + settings().refresh_token_max_life

function findRow(sql: Sql, token: string): Promise<Row | undefined> {
  return sql.get<Row>(
    `SELECT t.session_id, t.scope, t.expires_at, t.used_at, t.successor, s.user_id, s.ended_at, s.created_at AS signed_in_at
     FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.token_hash = $1`,
    [hashOfToken(token)],
  )
}

interface Next {
  readonly token: string
  /** It had been given before, and is given again. */
  readonly again: boolean
}

/** The successor; `undefined`: the token was used before, and too long ago. */
async function rotate(
  context: IdentityContext,
  sql: Sql,
  { token }: RefreshOptions,
  row: Row,
  at: number,
): Promise<Next | undefined> {
  if (row.used_at !== null) return successorOf(context, token, row, at)
  const { randomBytes, settings } = context
  const next = newOpaqueToken(REFRESH_PREFIX, randomBytes)
  const sealed = sealSuccessor(token, next, row.session_id, randomBytes)
  // It carries the condition: of several at once one rotates, the others find what it has left.
  const won = await sql.run(
    "UPDATE refresh_tokens SET used_at = $2, successor = $3 WHERE token_hash = $1 AND used_at IS NULL",
    [hashOfToken(token), at, sealed],
  )
  if (won === 0) return successorOf(context, token, (await findRow(sql, token)) ?? row, at)
  const expiresAt = Math.min(at + settings().refresh_token_ttl, lifeEndsAt(context, row))
  await insertRefreshToken(sql, { token: next, sessionId: row.session_id, scope: row.scope, at, expiresAt })
  await sql.run("UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE id = $1 AND ended_at IS NULL", [
    row.session_id,
    at,
    expiresAt,
  ])
  await trimFamily(sql, row.session_id)
  return { token: next, again: false }
}

/** So that nobody fills the store by refreshing without end. */
async function trimFamily(sql: Sql, sessionId: string): Promise<void> {
  await sql.run(
    `DELETE FROM refresh_tokens WHERE session_id = $1 AND created_at < (
       SELECT created_at FROM refresh_tokens WHERE session_id = $1
       ORDER BY created_at DESC LIMIT 1 OFFSET ${MAX_FAMILY - 1})`,
    [sessionId],
  )
}

function successorOf(
  { settings }: IdentityContext,
  token: string,
  { used_at, successor, session_id }: Row,
  at: number,
): Next | undefined {
  if (used_at === null || successor === null || at - used_at >= settings().refresh_grace) return undefined
  return { token: openSuccessor(token, successor, session_id), again: true }
}

async function issue(
  context: IdentityContext,
  sql: Sql,
  { asking, scope }: RefreshOptions,
  row: Row,
  user: User,
  next: Next,
): Promise<Refreshed> {
  const subject = subjectOf(context, user, { sessionId: row.session_id, scope: row.scope })
  const access = issueAccessToken(context, { ...subject, scopes: narrowScopes(subject.scopes, scope) })
  await context.audit(sql, {
    action: "token.refresh",
    outcome: "success",
    actor: user.id,
    subject: row.session_id,
    client: asking.client,
    requestId: asking.requestId,
    details: { token: access.id, scope: access.scope, again: next.again ? 1 : 0 },
  })
  context.count("refresh", "success")
  context.count("token_issued", "success")
  const { token: accessToken, expiresInS } = access
  return { kind: "refreshed", accessToken, expiresInS, refreshToken: next.token, scope: access.scope }
}

async function endFamily(
  context: IdentityContext,
  sql: Sql,
  options: RefreshOptions,
  row: Row,
): Promise<Refreshed> {
  const { client, requestId } = options.asking
  const by = { actor: "", client, requestId }
  await endSession(context, sql, row.session_id, "refresh_reused", by)
  await context.audit(sql, {
    action: "token.refresh_reused",
    outcome: "failure",
    subject: row.session_id,
    ...by,
    details: { user: row.user_id },
  })
  context.count("refresh_reused", "failure")
  return refused("reused", row.session_id)
}

/** Whose it is is known, who has sent it is not: the record names no actor. */
function recordRefusal(
  { store, audit }: IdentityContext,
  { asking: { client, requestId } }: RefreshOptions,
  { reason, sessionId }: Refused,
): Promise<void> {
  const record = { action: "token.refresh", outcome: "failure", actor: "", subject: sessionId } as const
  return audit(store, { ...record, client, requestId, details: { reason } })
}

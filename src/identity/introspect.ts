import type { Sql } from "../store/sql.ts"
import type { IdentityContext } from "./context.ts"
import { hashOfToken } from "./opaque_token.ts"
import { liveOwnClaims } from "./own_token.ts"
import { type EndedBy, endSession, REFRESH_PREFIX } from "./sessions.ts"

/** What is told of a token (RFC 7662 section 2.2); of one that does not hold, nothing but that. */
export type Introspection =
  | { readonly active: false }
  | (Readonly<Record<string, unknown>> & { active: true })

const INACTIVE = { active: false } as const

/** Whether a token holds now, and whose it is. Unknown, expired and revoked ones look the same. */
export async function introspect(context: IdentityContext, token: string): Promise<Introspection> {
  const { store } = context
  if (token.startsWith(REFRESH_PREFIX)) return introspectRefresh(context, store, token)
  const claims = await liveOwnClaims(context, store, token)
  if (claims === undefined) return INACTIVE
  const { iss, sub, aud, exp, iat, jti, scope, roles, tier, kind } = claims
  const told = { iss, sub, aud, exp, iat, jti, scope, roles, tier }
  const service = kind === "service" ? { client_id: sub } : {}
  return { active: true, token_type: "Bearer", ...told, ...service }
}

interface RefreshRow {
  session_id: string
  scope: string
  created_at: number
  expires_at: number
  user_id: string
}

async function introspectRefresh(context: IdentityContext, sql: Sql, token: string): Promise<Introspection> {
  const row = await sql.get<RefreshRow>(
    `SELECT t.session_id, t.scope, t.created_at, t.expires_at, s.user_id
     FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
     WHERE t.token_hash = $1 AND t.used_at IS NULL AND t.expires_at > $2 AND s.ended_at IS NULL
       AND u.status = 'active'`,
    [hashOfToken(token), context.wallClock()],
  )
  if (row === undefined) return INACTIVE
  return {
    active: true,
    token_type: "refresh_token",
    iss: context.settings().issuer,
    sub: row.user_id,
    iat: Math.floor(row.created_at / 1000),
    exp: Math.floor(row.expires_at / 1000),
    ...(row.scope !== "" && { scope: row.scope }),
  }
}

/**
 * Makes a token of no use (RFC 7009): a refresh token ends its sign-in with all its tokens, an access token only
 * itself. `clientId`: who asks, when that is a client: tokens of other clients are left alone; whoever else has a
 * token may revoke it. Resolves with what was revoked, by id; `undefined`: nothing, which the caller is not told.
 */
export function revokeToken(
  context: IdentityContext,
  token: string,
  clientId: string | undefined,
  by: Omit<EndedBy, "actor">,
): Promise<string | undefined> {
  return context.store.transaction(async (sql) => {
    const revoked = token.startsWith(REFRESH_PREFIX)
      ? await revokeRefresh(context, sql, token, by)
      : await revokeAccess(context, sql, token, clientId)
    if (revoked === undefined) return undefined
    const record = { action: "token.revoke", outcome: "success", subject: revoked } as const
    await context.audit(sql, { ...record, ...by, actor: clientId ?? "", details: {} })
    context.count("revoke", "success")
    return revoked
  })
}

async function revokeRefresh(
  context: IdentityContext,
  sql: Sql,
  token: string,
  by: Omit<EndedBy, "actor">,
): Promise<string | undefined> {
  const row = await sql.get<{ session_id: string }>(
    "SELECT session_id FROM refresh_tokens WHERE token_hash = $1",
    [hashOfToken(token)],
  )
  if (row === undefined) return undefined
  const ended = await endSession(context, sql, row.session_id, "revoked", { actor: "", ...by })
  return ended ? row.session_id : undefined
}

async function revokeAccess(
  context: IdentityContext,
  sql: Sql,
  token: string,
  clientId: string | undefined,
): Promise<string | undefined> {
  const claims = await liveOwnClaims(context, sql, token)
  if (claims === undefined) return undefined
  if (clientId !== undefined && claims.kind === "service" && claims.sub !== clientId) return undefined
  const subject = claims.jti as string
  const expiresAt = (claims.exp as number) * 1000 + context.settings().leeway
  await context.revoke(sql, [{ kind: "token", subject, expiresAt }])
  return subject
}

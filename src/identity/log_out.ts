import type { Sql } from "../store/sql.ts"
import type { IdentityContext } from "./context.ts"
import type { Principal } from "./principal.ts"
import { type EndedBy, endSession, endSessionsOf } from "./sessions.ts"

/** Sign-in of a person; "" for a service, which has none: what its tokens share ends when its client is changed. */
export const signInOf = ({ kind, sessionId }: Principal): string => (kind === "user" ? sessionId : "")

/** Tokens of one subject of another issuer that are revoked at a time: they may live as long as their issuer likes. */
const MAX_FOREIGN = 100

/** "nothing": it was an API key or a certificate, or a token without id; nothing was done. */
export type LoggedOut =
  | { readonly kind: "done" | "nothing" }
  /** So many tokens of this subject of another issuer are revoked that no more can be until one expires. */
  | { readonly kind: "too_many"; readonly retryAfterS: number }

/**
 * Ends the sign-in the caller is known by, and all others of `account` unless that is "". A token that belongs to
 * no sign-in is revoked by itself, until it expires: forgotten sooner it would hold again.
 */
export async function logOut(
  context: IdentityContext,
  principal: Principal,
  account: string,
  by: EndedBy,
): Promise<LoggedOut> {
  const { method, tokenId, expiresAt } = principal
  const sessionId = signInOf(principal)
  const hasToken = method === "jwt" && tokenId !== ""
  if (sessionId === "" && account === "" && !hasToken) return { kind: "nothing" }
  return context.store.transaction(async (sql) => {
    if (account !== "") await endSessionsOf(context, sql, account, "logout", "", by)
    else if (sessionId !== "") await endSession(context, sql, sessionId, "logout", by)
    if (sessionId === "" && hasToken) {
      const retryAfterS = await waitOfForeign(context, sql, principal)
      if (retryAfterS !== undefined) return { kind: "too_many", retryAfterS }
      await context.revoke(sql, [{ kind: "token", subject: tokenId, expiresAt }])
    }
    const record = { action: "session.logout", outcome: "success", subject: sessionId } as const
    await context.audit(sql, { ...record, ...by, details: { all: account === "" ? 0 : 1 } })
    context.count("logout", "success")
    return { kind: "done" }
  })
}

/** Whole seconds until a token of another issuer can be revoked; `undefined`: now. */
async function waitOfForeign(
  { settings, wallClock }: IdentityContext,
  sql: Sql,
  { issuer, tokenId }: Principal,
): Promise<number | undefined> {
  if (issuer === settings().issuer) return undefined
  const at = wallClock()
  const subject = tokenId.slice(0, tokenId.indexOf("."))
  // "/" is what comes after ".".
  const { n, first } = (await sql.get<{ n: number; first: number | null }>(
    `SELECT count(*) AS n, min(expires_at) AS first FROM revocations
     WHERE kind = 'token' AND subject > $1 AND subject < $2 AND expires_at > $3`,
    [`${subject}.`, `${subject}/`, at],
  ))!
  return n < MAX_FOREIGN || first === null ? undefined : Math.max(1, Math.ceil((first - at) / 1000))
}

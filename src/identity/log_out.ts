import type { IdentityContext } from "./context.ts"
import type { Principal } from "./principal.ts"
import { type EndedBy, endSession, endSessionsOf } from "./sessions.ts"

/**
 * Ends the sign-in the caller is known by, and all others of `account` unless that is "". A token that belongs to
 * no sign-in is revoked by itself. False: it was an API key or a certificate, or a token without id; nothing was done.
 */
export async function logOut(
  context: IdentityContext,
  { kind, method, sessionId: signIn, tokenId, expiresAt }: Principal,
  account: string,
  by: EndedBy,
): Promise<boolean> {
  // A service has no sign-in: what its tokens share ends when its client is changed.
  const sessionId = kind === "service" ? "" : signIn
  const hasToken = method === "jwt" && tokenId !== ""
  if (sessionId === "" && account === "" && !hasToken) return false
  await context.store.transaction(async (sql) => {
    if (account !== "") await endSessionsOf(context, sql, account, "logout", "", by)
    else if (sessionId !== "") await endSession(context, sql, sessionId, "logout", by)
    if (sessionId === "" && hasToken)
      await context.revoke(sql, [{ kind: "token", subject: tokenId, expiresAt }])
    const record = { action: "session.logout", outcome: "success", subject: sessionId } as const
    await context.audit(sql, { ...record, ...by, details: { all: account === "" ? 0 : 1 } })
    context.count("logout", "success")
  })
  return true
}

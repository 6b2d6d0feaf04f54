import type { IdentityContext } from "./context.ts"
import type { Principal } from "./principal.ts"
import { type EndedBy, endSession, endSessionsOf } from "./sessions.ts"

/** Sign-in of a person; "" for a service, which has none: what its tokens share ends when its client is changed. */
export const signInOf = ({ kind, sessionId }: Principal): string => (kind === "user" ? sessionId : "")

/**
 * Ends the sign-in the caller is known by, and all others of `account` unless that is "". A token that belongs to
 * no sign-in is revoked by itself. False: it was an API key or a certificate, or a token without id; nothing was done.
 */
export async function logOut(
  context: IdentityContext,
  principal: Principal,
  account: string,
  by: EndedBy,
): Promise<boolean> {
  const { method, tokenId, expiresAt } = principal
  const sessionId = signInOf(principal)
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

import { type AccessToken, issueAccessToken, narrowScopes, scopesGranted } from "./access_token.ts"
import type { AuthenticatedClient } from "./client_auth.ts"
import type { Asking, IdentityContext } from "./context.ts"

/**
 * An access token for a client itself (RFC 6749 section 4.4): no refresh token, as it can ask again. `undefined`:
 * scopes were asked for that it does not have. Throws `Error` when no key can sign.
 */
export async function issueClientToken(
  context: IdentityContext,
  { id, roles, scopes, sessionId }: AuthenticatedClient,
  scope: string,
  asking: Asking,
): Promise<AccessToken | undefined> {
  if (!scopesGranted(scopes, scope)) return undefined
  const token = issueAccessToken(context, {
    id,
    kind: "service",
    roles,
    scopes: narrowScopes(scopes, scope),
    tier: context.settings().tiers[0]!,
    sessionId,
    parentId: "",
    ageLimit: undefined,
    blockedContent: [],
  })
  await context.audit(context.store, {
    action: "token.issue",
    outcome: "success",
    actor: id,
    subject: token.id,
    client: asking.client,
    requestId: asking.requestId,
    details: { grant: "client_credentials", scope: token.scope },
  })
  context.count("client_credentials", "success")
  context.count("token_issued", "success")
  return token
}

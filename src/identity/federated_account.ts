import { late } from "../lib/late.ts"
import type { Sql } from "../store/sql.ts"
import { type Actor, recordOf } from "./accounts.ts"
import type { IdentityContext } from "./context.ts"
import type { ProviderClaims } from "./provider_exchange.ts"
import type { ProviderSource } from "./provider_source.ts"
import { findUser, findUserByLogin, insertUser, newUser, normaliseLogin, type User } from "./users.ts"

export type FederatedAccount =
  | { readonly kind: "account"; readonly user: User }
  /** Nobody's, and the provider may not make one; or it is disabled. */
  | { readonly kind: "none"; readonly reason: "no_account" | "disabled" }

/** Whether somebody has signed in with this account of the provider before. */
export async function isLinked(sql: Sql, source: ProviderSource, subject: string): Promise<boolean> {
  return (await linkedUser(sql, source, subject)) !== undefined
}

/**
 * The account of somebody a provider has vouched for, within the transaction of `sql`: the one linked before; else
 * the one whose address both sides have verified; else a new one. An address nobody has verified here is no
 * proof: whoever registers somebody else's would share the account.
 */
export async function federatedAccount(
  context: IdentityContext,
  sql: Sql,
  source: ProviderSource,
  claims: ProviderClaims,
  actor: Actor,
): Promise<FederatedAccount> {
  const { subject } = claims
  const linked = await linkedUser(sql, source, subject)
  if (linked !== undefined) return activeOnly(sql, linked)
  const own = claims.email === undefined ? undefined : await verifiedUser(sql, claims.email)
  if (own === undefined && !source.settings.create_accounts) return { kind: "none", reason: "no_account" }
  const user = own ?? userOf(context, source, claims)
  // Of two first sign-ins at once the other has made it by now.
  if (own === undefined && !(await insertUser(sql, user)))
    return activeOnly(sql, await present(sql, user.login))
  await sql.run(
    `INSERT INTO federated_identities (provider, subject, user_id, created_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (provider, subject) DO NOTHING`,
    [source.settings.issuer, subject, user.id, context.wallClock()],
  )
  const details = { provider: source.name }
  if (own === undefined) {
    await context.audit(
      sql,
      recordOf({ ...actor, id: user.id }, "account.register", "success", user.id, details),
    )
    context.count("register", "success")
  }
  await context.audit(sql, recordOf({ ...actor, id: user.id }, "account.link", "success", user.id, details))
  return activeOnly(sql, user)
}

/** By issuer, not by the name config gives it: subjects of another issuer under that name are other people. */
async function linkedUser(
  sql: Sql,
  { settings }: ProviderSource,
  subject: string,
): Promise<User | undefined> {
  const row = await sql.get<{ user_id: string }>(
    "SELECT user_id FROM federated_identities WHERE provider = $1 AND subject = $2",
    [settings.issuer, subject],
  )
  return row === undefined ? undefined : findUser(sql, row.user_id)
}

async function verifiedUser(sql: Sql, email: string): Promise<User | undefined> {
  const user = await findUserByLogin(sql, email)
  if (user?.emailVerifiedAt === undefined || user.email === undefined) return undefined
  return normaliseLogin(user.email) === normaliseLogin(email) ? user : undefined
}

async function present(sql: Sql, login: string): Promise<User> {
  const user = await findUserByLogin(sql, login)
  if (user === undefined) throw new Error("sign-in with a provider: the account was there and is not")
  return user
}

/** Locks the account until the transaction ends, so that it is disabled either before or after it. */
async function activeOnly(sql: Sql, user: User): Promise<FederatedAccount> {
  const text = "UPDATE users SET status = status WHERE id = $1 AND status = 'active'"
  return (await sql.run(text, [user.id])) === 1
    ? { kind: "account", user }
    : { kind: "none", reason: "disabled" }
}

/**
 * Its login is nothing one can type at registration (it has a colon), so that it is in nobody's way and nobody
 * takes it; the address is for mail alone.
 */
function userOf(context: IdentityContext, { name, settings }: ProviderSource, claims: ProviderClaims): User {
  const at = context.wallClock()
  const hash = late.crypto.createHash("sha256").update(`${settings.issuer} ${claims.subject}`).digest("hex")
  return newUser(at, {
    login: `${name}:${hash}`,
    email: claims.email,
    emailVerifiedAt: claims.email === undefined ? undefined : at,
    displayName: claims.name ?? "",
    roles: [settings.role],
    tier: context.settings().tiers[0]!,
  })
}

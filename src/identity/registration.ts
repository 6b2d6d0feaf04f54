import type { Sql } from "../store/sql.ts"
import { type Accounts, type Actor, type Declined, recordOf, unlessBusy } from "./accounts.ts"
import type { Asking, IdentityContext } from "./context.ts"
import { findOneTimeToken, useOneTimeToken, voidOneTimeTokens } from "./one_time.ts"
import { passwordProblems } from "./password_policy.ts"
import type { PasswordHasher } from "./passwords.ts"
import {
  confirmPassword,
  findUser,
  findUserByLogin,
  insertUser,
  newUser,
  normaliseLogin,
  type User,
  updateUser,
} from "./users.ts"

export interface Registration {
  /** As it was typed; must look like an address (`isEmail`). */
  readonly email: string
  readonly password: string
  readonly displayName: string
}

/** Local part of RFC 5321 (dot-string, at most 64) and a domain with a dot; ASCII only, as look-alikes are none then. */
const EMAIL =
  /^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const MAX_EMAIL_LENGTH = 254

/** Whether it is an address accounts may have. `email`: normalised. */
export function isEmail(email: string): boolean {
  return email.length <= MAX_EMAIL_LENGTH && email.indexOf("@") <= 64 && EMAIL.test(email)
}

/**
 * Makes an account whose address is yet to be verified. "accepted" also when there is one: its owner is told by
 * mail, and the caller cannot tell the difference, for the same work is done.
 */
export async function register(
  accounts: Accounts,
  { email, password, displayName }: Registration,
  asking: Asking,
): Promise<{ readonly kind: "accepted" } | Declined> {
  const { context, hasher, throttle, outbox } = accounts
  const settings = context.settings()
  const login = normaliseLogin(email)
  const problems = await passwordProblems(password, settings.passwords, [login, displayName])
  if (problems.length > 0) return { kind: "unfit_password", problems }
  const attempt = await throttle.attempt("register", undefined, asking.client)
  if (attempt.kind === "blocked") return { kind: "throttled", retryAfterS: attempt.retryAfterS }
  const passwordHash = await unlessBusy(hasher.hash(password))
  if (passwordHash === "busy") {
    await attempt.release()
    return { kind: "busy" }
  }
  const at = context.wallClock()
  await context.store.transaction(async (sql) => {
    const user = newUser(at, {
      login,
      email: login,
      passwordHash,
      displayName,
      roles: [settings.registration.role],
      tier: settings.tiers[0]!,
    })
    const isNew = await insertUser(sql, user)
    if (!isNew && settings.registration.verify_email)
      await replaceUnverified(context, sql, login, { passwordHash, displayName })
    // What it says is decided when it is sent, by what there is then.
    await outbox.add(sql, "registration", login)
    const actor: Actor = { id: isNew ? user.id : "", client: asking.client, requestId: asking.requestId }
    const outcome = isNew ? "success" : "failure"
    const details = isNew ? {} : { reason: "login_taken" }
    await context.audit(sql, recordOf(actor, "account.register", outcome, login, details))
    context.count("register", outcome)
  })
  outbox.wake()
  return { kind: "accepted" }
}

/**
 * Where an address must be verified before the first sign-in, whoever registered somebody else's has no share in the
 * account its owner makes later: the latest password counts, and mail sent for those before proves nothing. Not so
 * once somebody has signed in, nor for an account an operator has made.
 */
async function replaceUnverified(
  context: IdentityContext,
  sql: Sql,
  login: string,
  { passwordHash, displayName }: { readonly passwordHash: string; readonly displayName: string },
): Promise<void> {
  const user = await findUserByLogin(sql, login)
  if (user === undefined || user.emailVerifiedAt !== undefined) return
  await voidOneTimeTokens(context, sql, "email_verification", user.id)
  await sql.run(
    `UPDATE users SET password_hash = $2, display_name = $3, updated_at = $4
     WHERE id = $1 AND status = 'active' AND email_verified_at IS NULL AND password_hash IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM sessions WHERE user_id = $1)`,
    [user.id, passwordHash, displayName, context.wallClock()],
  )
}

/**
 * Notes that the account's address was proved to be its owner's by the token that was sent there. An account with a
 * password is confirmed with that too, or a mail its owner did not ask for would make somebody else's registration
 * good. "wrong_token": the token or the password, nobody is told which; the token stays as it was.
 */
export async function verifyEmail(
  { context, hasher, throttle }: Accounts,
  { token, password }: { readonly token: string; readonly password?: string | undefined },
  asking: Asking,
): Promise<
  | { readonly kind: "verified" }
  | { readonly kind: "wrong_token" }
  | Exclude<Declined, { kind: "unfit_password" }>
> {
  const attempt = await throttle.attempt("token", undefined, asking.client)
  if (attempt.kind === "blocked") return { kind: "throttled", retryAfterS: attempt.retryAfterS }
  const { store, wallClock } = context
  const claim = await findOneTimeToken(context, store, "email_verification", token)
  const user = claim && (await findUser(store, claim.userId))
  // The address may have been changed since.
  const fits = user?.status === "active" && user.email === claim?.email
  const right = fits && (await isConfirmed(hasher, user, password))
  if (right === "busy") {
    await attempt.release()
    return { kind: "busy" }
  }
  const kind = await store.transaction(async (sql) => {
    const used = right && (await confirm(context, sql, user!, token))
    const actor: Actor = { id: used ? user!.id : "", client: asking.client, requestId: asking.requestId }
    const outcome = used ? "success" : "failure"
    await context.audit(sql, recordOf(actor, "account.verify_email", outcome, user?.id ?? ""))
    context.count("email_verified", outcome)
    if (!used) return "wrong_token"
    const at = wallClock()
    await updateUser(sql, user!.id, { emailVerifiedAt: at }, at)
    await voidOneTimeTokens(context, sql, "email_verification", user!.id)
    return "verified"
  })
  if (kind === "verified") await attempt.succeeded()
  return { kind }
}

async function isConfirmed(
  hasher: PasswordHasher,
  { passwordHash }: User,
  password: string | undefined,
): Promise<boolean | "busy"> {
  if (passwordHash === undefined) return true
  return password !== undefined && unlessBusy(hasher.verify(password, passwordHash))
}

/** Uses the token up, unless the password was changed since it was compared. */
async function confirm(context: IdentityContext, sql: Sql, user: User, token: string): Promise<boolean> {
  const { id, passwordHash } = user
  if (passwordHash !== undefined && !(await confirmPassword(sql, id, passwordHash))) return false
  return (await useOneTimeToken(context, sql, "email_verification", token)) !== undefined
}

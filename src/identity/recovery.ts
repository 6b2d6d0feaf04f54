import type { Sql } from "../store/sql.ts"
import { type Accounts, type Actor, type Declined, recordOf, unlessBusy } from "./accounts.ts"
import type { Asking } from "./context.ts"
import { findOneTimeToken, useOneTimeToken, voidOneTimeTokens } from "./one_time.ts"
import { passwordProblems } from "./password_policy.ts"
import { endSessionsOf } from "./sessions.ts"
import { confirmPassword, findUser, normaliseLogin, type User, updateUser } from "./users.ts"

/**
 * Has a token for a new password sent to the owner of an account. "accepted" whether there is one or not: that is
 * looked up only when the mail is sent. Also when one account is asked for too often: no more mail goes out then.
 */
export async function requestPasswordReset(
  { context, throttle, outbox }: Accounts,
  email: string,
  asking: Asking,
): Promise<{ readonly kind: "accepted" } | Extract<Declined, { kind: "throttled" }>> {
  const login = normaliseLogin(email)
  const attempt = await throttle.attempt("mail", login, asking.client)
  if (attempt.kind === "blocked" && attempt.by === "address")
    return { kind: "throttled", retryAfterS: attempt.retryAfterS }
  const permitted = attempt.kind === "permitted"
  const actor: Actor = { id: "", client: asking.client, requestId: asking.requestId }
  await context.store.transaction(async (sql) => {
    if (permitted) await outbox.add(sql, "password_reset", login)
    const details = permitted ? {} : { reason: "throttled" }
    const outcome = permitted ? "success" : "failure"
    await context.audit(sql, recordOf(actor, "account.forgot_password", outcome, login, details))
  })
  outbox.wake()
  return { kind: "accepted" }
}

/** The token is wrong, used, void or too old; nobody is told which. */
interface WrongToken {
  readonly kind: "wrong_token"
}

/**
 * Sets a new password for whoever has the token that was mailed. All sessions end, the address counts as verified,
 * and a lock of the account is lifted. A password that is refused leaves the token as it was.
 */
export async function resetPassword(
  accounts: Accounts,
  { token, password }: { readonly token: string; readonly password: string },
  asking: Asking,
): Promise<{ readonly kind: "changed" } | WrongToken | Declined> {
  const { context, hasher, throttle, outbox } = accounts
  const { store, wallClock, settings } = context
  const attempt = await throttle.attempt("token", undefined, asking.client)
  if (attempt.kind === "blocked") return { kind: "throttled", retryAfterS: attempt.retryAfterS }
  const from = { client: asking.client, requestId: asking.requestId }
  const claim = await findOneTimeToken(context, store, "password_reset", token)
  const user = claim && (await findUser(store, claim.userId))
  if (user?.status !== "active" || user.email !== claim?.email) {
    const actor: Actor = { id: "", ...from }
    await context.audit(store, recordOf(actor, "account.reset_password", "failure", user?.id ?? ""))
    context.count("password_reset", "failure")
    return { kind: "wrong_token" }
  }
  const problems = await passwordProblems(password, settings().passwords, personalOf(user))
  const passwordHash = problems.length > 0 ? undefined : await unlessBusy(hasher.hash(password))
  if (passwordHash === undefined || passwordHash === "busy") {
    await attempt.release()
    return passwordHash === "busy" ? { kind: "busy" } : { kind: "unfit_password", problems }
  }
  const changed = await store.transaction(async (sql) => {
    if ((await useOneTimeToken(context, sql, "password_reset", token)) === undefined) return false
    const at = wallClock()
    await setPassword(accounts, sql, user, passwordHash)
    await updateUser(sql, user.id, { emailVerifiedAt: user.emailVerifiedAt ?? at }, at)
    const actor: Actor = { id: user.id, ...from }
    await endSessionsOf(context, sql, user.id, "password_changed", "", { actor: user.id, ...from })
    await context.audit(sql, recordOf(actor, "account.reset_password", "success", user.id))
    return true
  })
  context.count("password_reset", changed ? "success" : "failure")
  if (!changed) return { kind: "wrong_token" }
  outbox.wake()
  await attempt.succeeded()
  await throttle.forgive("login", user.login)
  return { kind: "changed" }
}

/**
 * Changes the password of an account whose owner is signed in and gives the old one too. Other sessions end,
 * `sessionId` goes on. "wrong": not the old password, which counts as a failed sign-in.
 */
export async function changePassword(
  accounts: Accounts,
  user: User,
  { old, password }: { readonly old: string; readonly password: string },
  by: Asking & { readonly sessionId: string },
): Promise<{ readonly kind: "changed" } | { readonly kind: "wrong" } | Declined> {
  const { context, hasher, throttle, outbox } = accounts
  const problems = await passwordProblems(password, context.settings().passwords, personalOf(user))
  if (problems.length > 0) return { kind: "unfit_password", problems }
  const attempt = await throttle.attempt("login", user.login, by.client)
  if (attempt.kind === "blocked") {
    context.count("login_throttled", "failure")
    return { kind: "throttled", retryAfterS: attempt.retryAfterS }
  }
  const from = { client: by.client, requestId: by.requestId }
  const actor: Actor = { id: user.id, ...from }
  const verified = user.passwordHash
  const right = await unlessBusy(hasher.verify(old, verified))
  const passwordHash = right === true ? await unlessBusy(hasher.hash(password)) : undefined
  if (right === "busy" || passwordHash === "busy") {
    await attempt.release()
    return { kind: "busy" }
  }
  const changed =
    passwordHash !== undefined &&
    (await context.store.transaction(async (sql) => {
      // Somebody may have changed it since.
      if (!(await confirmPassword(sql, user.id, verified!))) return false
      await setPassword(accounts, sql, user, passwordHash)
      await endSessionsOf(context, sql, user.id, "password_changed", by.sessionId, {
        actor: user.id,
        ...from,
      })
      await context.audit(sql, recordOf(actor, "account.change_password", "success", user.id))
      return true
    }))
  if (!changed) {
    await context.audit(
      context.store,
      recordOf(actor, "account.change_password", "failure", user.id, { reason: "wrong_password" }),
    )
    return { kind: "wrong" }
  }
  outbox.wake()
  await attempt.succeeded()
  return { kind: "changed" }
}

/** With all that follows from it but the end of sessions. Call `outbox.wake` after the transaction. */
async function setPassword(
  { context, outbox }: Accounts,
  sql: Sql,
  user: User,
  passwordHash: string,
): Promise<void> {
  await updateUser(sql, user.id, { passwordHash }, context.wallClock())
  await voidOneTimeTokens(context, sql, "password_reset", user.id)
  if (user.email !== undefined) await outbox.add(sql, "password_changed", user.login)
}

/** What of an account its password must not contain. */
export function personalOf({ login, email, displayName }: User): readonly string[] {
  return email === undefined ? [login, displayName] : [login, email, displayName]
}

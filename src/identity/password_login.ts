import { type Accounts, type Actor, type Declined, recordOf, unlessBusy } from "./accounts.ts"
import type { Asking } from "./context.ts"
import { type SessionKind, type SignedIn, signIn } from "./sessions.ts"
import type { Reservation } from "./throttle.ts"
import { confirmPassword, findUserByLogin, normaliseLogin, type User, updateUser } from "./users.ts"

export interface PasswordLogin {
  /** As it was typed. */
  readonly login: string
  readonly password: string
  readonly kind: SessionKind
  /** Scopes asked for, separated by spaces; absent: all of the roles. */
  readonly scope?: string | undefined
}

export type PasswordLoginOutcome =
  | { readonly kind: "signed_in"; readonly user: User; readonly signedIn: SignedIn }
  /**
   * No such account, another password, no password at all, disabled, or its address was never verified and
   * `registration.verify_email` wants that: nobody is told which. Whoever registers an address and signs in would
   * learn whether it had an account before.
   */
  | { readonly kind: "wrong" }
  | Exclude<Declined, { kind: "unfit_password" }>

/** Starts a session for login and password. Takes the same work whether there is such an account or not. */
export async function loginWithPassword(
  accounts: Accounts,
  { login, password, kind, scope }: PasswordLogin,
  asking: Asking,
): Promise<PasswordLoginOutcome> {
  const { context, hasher, throttle } = accounts
  const name = normaliseLogin(login)
  const attempt = await throttle.attempt("login", name, asking.client)
  if (attempt.kind === "blocked") {
    context.count("login_throttled", "failure")
    return { kind: "throttled", retryAfterS: attempt.retryAfterS }
  }
  return settle(attempt, async () => {
    const user = await findUserByLogin(context.store, name)
    const right = await unlessBusy(hasher.verify(password, user?.passwordHash))
    if (right === "busy") return { kind: "busy" }
    const reason = right ? undefined : user === undefined ? "unknown_account" : "wrong_password"
    const hindrance = reason ?? hindranceOf(user!)
    const outcome = hindrance === undefined ? await start(user!) : ({ kind: "wrong" } as const)
    if (outcome.kind === "signed_in") context.count("login", "success")
    else {
      context.count("login", "failure")
      // It was neither before: the password or the account has changed meanwhile.
      await recordFailure(accounts, name, asking, hindrance ?? "disabled")
    }
    return outcome
  })

  /** Why whoever has given the right password may not sign in; for the record. */
  function hindranceOf({ status, email, emailVerifiedAt }: User): "disabled" | "unverified" | undefined {
    if (status !== "active") return "disabled"
    const { verify_email } = context.settings().registration
    return verify_email && email !== undefined && emailVerifiedAt === undefined ? "unverified" : undefined
  }

  async function start(user: User): Promise<PasswordLoginOutcome> {
    const verified = user.passwordHash!
    const renewed = hasher.isOutdated(verified) ? await unlessBusy(hasher.hash(password)) : undefined
    return context.store.transaction(async (sql) => {
      // While the password was checked, it may have been changed, or the account disabled.
      if (!(await confirmPassword(sql, user.id, verified))) return { kind: "wrong" }
      if (renewed !== undefined && renewed !== "busy")
        await updateUser(sql, user.id, { passwordHash: renewed }, context.wallClock())
      const options = { asking, kind, method: "password", ...(scope !== undefined && { scope }) }
      return { kind: "signed_in", user, signedIn: await signIn(context, sql, user, options) }
    })
  }
}

/** A try counts as failed until it turns out otherwise. */
async function settle(
  reservation: Reservation,
  work: () => Promise<PasswordLoginOutcome>,
): Promise<PasswordLoginOutcome> {
  let outcome: PasswordLoginOutcome
  try {
    outcome = await work()
  } catch (error) {
    await reservation.release()
    throw error
  }
  if (outcome.kind === "busy") await reservation.release()
  else if (outcome.kind !== "wrong") await reservation.succeeded()
  return outcome
}

async function recordFailure({ context }: Accounts, login: string, asking: Asking, reason: string) {
  const actor: Actor = { id: "", client: asking.client, requestId: asking.requestId }
  const record = recordOf(actor, "session.start", "failure", login, { method: "password", reason })
  await context.audit(context.store, record)
}

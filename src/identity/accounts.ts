import type { AuditRecord, IdentityContext } from "./context.ts"
import type { MailOutbox } from "./outbox.ts"
import { HasherBusy, type PasswordHasher } from "./passwords.ts"
import type { Throttle } from "./throttle.ts"

/** What everything about accounts with passwords works with; one for all. */
export interface Accounts {
  readonly context: IdentityContext
  readonly hasher: PasswordHasher
  readonly throttle: Throttle
  readonly outbox: MailOutbox
}

/** Why nothing was done. */
export type Declined =
  /** `retryAfterS`: whole seconds, at least 1. */
  | { readonly kind: "throttled"; readonly retryAfterS: number }
  /** Too many passwords are being hashed. */
  | { readonly kind: "busy" }
  /** `problems`: what is wrong with the new password, without it. */
  | { readonly kind: "unfit_password"; readonly problems: readonly string[] }

/** Who does something about an account. */
export interface Actor {
  /** Id of the account that acts; "" when it is not known. */
  readonly id: string
  readonly client: string
  readonly requestId: string
}

/** A record of an act by `actor`. */
export function recordOf(
  actor: Actor,
  action: string,
  outcome: AuditRecord["outcome"],
  subject: string,
  details: AuditRecord["details"] = {},
): AuditRecord {
  const { id, client, requestId } = actor
  return { action, outcome, actor: id, subject, client, requestId, details }
}

/** What came of the work, or "busy" when there is no room to hash a password. Everything else rejects. */
export async function unlessBusy<T>(work: Promise<T>): Promise<T | "busy"> {
  try {
    return await work
  } catch (error) {
    if (error instanceof HasherBusy) return "busy"
    throw error
  }
}

import type { Declined } from "../../identity/accounts.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import { unfit } from "./json_body.ts"

/** `field`: where in the body the new password is. */
export function toFailure(declined: Declined, field = "/password"): Failure {
  switch (declined.kind) {
    case "throttled":
      return fail("TOO_MANY_ATTEMPTS", { retryAfterS: declined.retryAfterS })
    case "busy":
      return fail("OVERLOADED", { retryAfterS: 2, message: "Too many people sign in at the moment." })
    case "unfit_password":
      return unfit(field, ...declined.problems)
  }
}

/** A one-time token that is wrong, used, void or too old. */
export const WRONG_TOKEN = unfit("/token", "is wrong, was used, or is too old; ask for a new one")

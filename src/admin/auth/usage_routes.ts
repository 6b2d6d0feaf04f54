import { Elysia } from "elysia"
import { definedQuotas } from "../../config/quotas.ts"
import type { Config } from "../../config/schema.ts"
import type { IdentityContext } from "../../identity/context.ts"
import { fail } from "../../policies/failure.ts"
import { limitFor } from "../../policies/quota_options.ts"
import { compileSubject } from "../../policies/quota_subject.ts"
import { readQuota } from "../quotas/state.ts"
import { askedOf, ok, refuse } from "./app.ts"

/** What the caller has used of its quotas, and has left. For every caller who is known, keys and services too. */
export function ownUsageRoutes(
  { store, wallClock, settings }: Pick<IdentityContext, "store" | "wallClock" | "settings">,
  config: () => Config,
) {
  return new Elysia().get("/users/me/usage", async ({ request }) => {
    const { principal } = askedOf(request)
    if (principal === undefined)
      return refuse(request, fail("AUTH_ERROR", { headers: { "www-authenticate": "Bearer" } }))
    const at = wallClock()
    const quotas = []
    for (const quota of definedQuotas(config()).values()) {
      const { roles, tiers } = quota.exempt
      if (tiers.includes(principal.tier) || roles.some((role) => principal.roles.includes(role))) continue
      const subject = compileSubject(quota.by, settings().issuer)(principal)
      quotas.push(await readQuota(store, quota, subject, limitFor(quota, principal.tier), at))
    }
    return ok({ quotas })
  })
}

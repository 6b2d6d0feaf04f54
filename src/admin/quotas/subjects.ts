import { Elysia } from "elysia"
import { definedQuotas } from "../../config/quotas.ts"
import { findUser } from "../../identity/users.ts"
import { late } from "../../lib/late.ts"
import { limitFor, type QuotaOptions } from "../../policies/quota_options.ts"
import { lastLimit } from "../../store/quota_usage.ts"
import { ok, refuse } from "../answer.ts"
import { Subject } from "./allowances.ts"
import type { Quotas } from "./quotas.ts"
import { readQuota } from "./state.ts"

/** What quotas there are, and what somebody has used of one. */
export function subjectRoutes({ context: { store, wallClock }, config }: Quotas) {
  return new Elysia({ prefix: "/admin/v1/quotas" })
    .get("/", () => ok({ quotas: [...definedQuotas(config()).values()].map(toView) }))
    .get("/:name/subjects/:subject", async ({ request, params: { name, subject } }) => {
      const quota = definedQuotas(config()).get(name)
      if (quota === undefined) return refuse(request, 404, "NOT_FOUND", "There is no quota of this name.")
      if (!late.typebox.Value.Check(Subject, subject))
        return refuse(
          request,
          404,
          "NOT_FOUND",
          "No subject can have this name; write for example user:<id>, percent-encoded.",
        )
      const base = (await limitOfAccount(subject, quota)) ?? (await lastLimit(store, name, subject))
      return ok({ subject, ...(await readQuota(store, quota, subject, base, wallClock())) })
    })

  /** What the tier of an account gives; `undefined`: the subject is no account of this gateway. */
  async function limitOfAccount(subject: string, quota: QuotaOptions): Promise<number | undefined> {
    const [kind, id, ...rest] = subject.split(":")
    if (kind !== "user" || id === undefined || rest.length > 0) return undefined
    const user = await findUser(store, id)
    return user && limitFor(quota, user.tier)
  }
}

function toView({ name, by, per, timezone, limits, count }: QuotaOptions) {
  return { name, by, per, timezone, limits, count }
}

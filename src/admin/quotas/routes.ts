import { type AnyElysia, Elysia } from "elysia"
import { refuse } from "../answer.ts"
import { allowanceRoutes } from "./allowances.ts"
import type { Quotas } from "./quotas.ts"
import { subjectRoutes } from "./subjects.ts"
import { usageRoutes } from "./usage.ts"

/** Endpoints of the admin API for quotas, allowances and usage; all 409 while config names no store. */
export function quotaRoutes({
  context,
  config,
}: {
  /** `undefined`: config names no store. */
  readonly context: Quotas["context"] | undefined
  readonly config: Quotas["config"]
}): AnyElysia {
  if (context === undefined) return lacking()
  const quotas: Quotas = { context, config }
  return new Elysia().use(allowanceRoutes(quotas)).use(subjectRoutes(quotas)).use(usageRoutes(quotas))
}

function lacking(): AnyElysia {
  const app = new Elysia()
  for (const path of ["/admin/v1/quotas", "/admin/v1/quotas/*", "/admin/v1/usage"])
    app.all(
      path,
      ({ request }) =>
        refuse(request, 409, "NO_STORE", "There is nowhere to keep them: set `store` in config."),
      { parse: "none" },
    )
  return app
}

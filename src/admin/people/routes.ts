import { type AnyElysia, Elysia } from "elysia"
import { refuse } from "../answer.ts"
import { apiKeyRoutes } from "./api_keys.ts"
import { auditRoutes } from "./audit.ts"
import { clientRoutes } from "./clients.ts"
import { eventRoutes } from "./events.ts"
import type { People } from "./people.ts"
import { userRoutes } from "./users.ts"

const PREFIXES = ["/api-keys", "/clients", "/users", "/audit", "/events"].map((name) => `/admin/v1${name}`)

/** Endpoints of the admin API for accounts, keys, clients, records and events; all 409 while config lacks what they need. */
export function peopleRoutes({
  context,
  config,
}: Pick<People, "config"> & {
  /** `undefined`: config names no store. */
  readonly context: People["context"] | undefined
}): AnyElysia {
  if (context === undefined)
    return lacking("NO_STORE", "There is nowhere to keep them: set `store` in config.")
  const people: People = { context, config }
  return (
    new Elysia()
      .onBeforeHandle(({ request }) =>
        config().auth === undefined
          ? refuse(request, 409, "NO_AUTH", "Nobody is asked who they are: set `auth` in config.")
          : undefined,
      )
      // Nothing has such an id, and PostgreSQL takes no text with a NUL.
      .onBeforeHandle(({ request, params }) =>
        Object.values(params ?? {}).some(hasControl)
          ? refuse(request, 404, "NOT_FOUND", "There is nothing here.")
          : undefined,
      )
      .use(apiKeyRoutes(people))
      .use(clientRoutes(people))
      .use(userRoutes(people))
      .use(auditRoutes(people))
      .use(eventRoutes(people))
  )
}

const hasControl = (id: unknown): boolean => /\p{Cc}/u.test(String(id))

function lacking(code: string, message: string): AnyElysia {
  const app = new Elysia()
  for (const prefix of PREFIXES)
    for (const path of [prefix, `${prefix}/*`])
      app.all(path, ({ request }) => refuse(request, 409, code, message), { parse: "none" })
  return app
}

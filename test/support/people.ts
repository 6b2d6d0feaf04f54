import { peopleRoutes } from "../../src/admin/people/routes.ts"
import { quotaRoutes } from "../../src/admin/quotas/routes.ts"
import type { Config } from "../../src/config/schema.ts"
import { openAccounts } from "./accounts.ts"
import { ADMIN_TOKEN, createTestAdmin, OPERATOR } from "./admin.ts"
import { exampleConfig } from "./config.ts"

export interface Told {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of all shapes
  readonly body: any
  readonly text: string
}

/** The admin API over a context; `undefined`: a gateway without a store. */
export function adminOf(context: Parameters<typeof peopleRoutes>[0]["context"], file: object) {
  const config: Config = exampleConfig({ admin: { token: ADMIN_TOKEN }, services: {}, routes: [], ...file })
  const answer = createTestAdmin({
    config: () => config,
    groups: [peopleRoutes({ context, config: () => config }), quotaRoutes({ context, config: () => config })],
  })
  /** `body`: text as it is, or what becomes JSON. Paths are below /admin/v1. */
  return async (method: string, path: string, body?: unknown, init: RequestInit = {}): Promise<Told> => {
    const text = typeof body === "string" ? body : JSON.stringify(body)
    const request = new Request(`http://127.0.0.1:9080/admin/v1${path}`, {
      method,
      ...(text !== undefined && { body: text }),
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
      ...init,
    })
    const response = await answer(request, OPERATOR)
    const written = await response.text()
    const isJson = response.headers.get("content-type")?.includes("json") ?? false
    const read = isJson ? JSON.parse(written) : undefined
    return { status: response.status, headers: response.headers, body: read, text: written }
  }
}

/** The admin API over accounts on a store of their own; see `openAccounts`. */
export async function openPeople(options: Parameters<typeof openAccounts>[0] = {}) {
  const accounts = await openAccounts(options)
  const admin = adminOf(accounts.context, {
    store: "sqlite::memory:",
    auth: { secret: "k3J9-aZ81-pQw7-LmN2-xYt5-Vb60-Rs4e", ...options.auth },
  })
  return { ...accounts, admin }
}

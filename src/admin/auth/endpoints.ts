import type { Config } from "../../config/schema.ts"
import type { BuiltinRoute } from "../../gateway/snapshot.ts"
import { REGISTRY_ENDPOINTS } from "../registry/endpoints.ts"

type Endpoint = BuiltinRoute

const open = (path: string, ...methods: BuiltinRoute["methods"][number][]): Endpoint => ({
  path,
  methods,
  caller: false,
})
const forCallers = (path: string, ...methods: BuiltinRoute["methods"][number][]): Endpoint => ({
  path,
  methods,
  caller: true,
})

/** Below each of `auth.prefixes`. */
const PREFIXED: readonly Endpoint[] = [
  open("/auth/register", "POST"),
  open("/auth/login", "POST"),
  open("/auth/token", "POST"),
  open("/auth/refresh", "POST"),
  forCallers("/auth/logout", "POST"),
  open("/auth/password/forgot", "POST"),
  open("/auth/password/reset", "POST"),
  open("/auth/email/verify", "POST"),
  open("/auth/introspect", "POST"),
  open("/auth/revoke", "POST"),
  open("/auth/providers", "GET"),
  open("/auth/providers/:provider/start", "GET"),
  open("/auth/providers/:provider/callback", "GET"),
  forCallers("/auth/sessions", "GET"),
  forCallers("/auth/sessions/:id", "DELETE"),
  forCallers("/users/me", "GET", "PATCH", "DELETE"),
  forCallers("/users/me/password", "PUT"),
  forCallers("/users/me/usage", "GET"),
  forCallers("/users/me/children", "GET", "POST"),
  forCallers("/users/me/children/:id", "GET", "PATCH", "DELETE"),
]

/** What others look for at fixed places. */
const WELL_KNOWN: readonly Endpoint[] = [
  open("/.well-known/jwks.json", "GET"),
  open("/.well-known/openid-configuration", "GET"),
]

/**
 * The endpoints this config brings that know who asks: none without `auth`. Accounts and sign-in need a `store`, the
 * registry does not.
 */
export function identityRoutes({ auth, store }: Config): readonly BuiltinRoute[] {
  if (auth === undefined) return []
  const below = store === undefined ? REGISTRY_ENDPOINTS : [...PREFIXED, ...REGISTRY_ENDPOINTS]
  const prefixed = auth.prefixes.flatMap((prefix) =>
    below.map((each) => ({ ...each, path: prefix + each.path })),
  )
  return [...prefixed, ...WELL_KNOWN]
}

/** What endpoints below a prefix begin with. */
const FAMILIES = ["/auth/", "/users/me", "/registry/"]

/**
 * The path of an endpoint below `/`, whatever prefix it was asked under: "/api/v1/auth/login" is "/auth/login".
 * `undefined` for a path that is none of ours.
 */
export function endpointPath(path: string, prefixes: readonly string[]): string | undefined {
  if (path.startsWith("/.well-known/")) return path
  const prefix = prefixes.find((each) => FAMILIES.some((family) => path.startsWith(each + family)))
  return prefix === undefined ? undefined : path.slice(prefix.length)
}

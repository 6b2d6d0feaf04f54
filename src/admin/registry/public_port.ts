import type { Principal } from "../../identity/principal.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import { RegistrationSchema } from "../../upstream/discovery/registration.ts"
import { askedOf, ok, refuse } from "../auth/app.ts"
import { compileBody } from "../auth/json_body.ts"
import type { RegistryPort } from "./port.ts"
import { type RegistryRoutesDeps, registryRoutes } from "./routes.ts"

const readBody = compileBody(RegistrationSchema)
const SCOPE = "registry:"

/** Services a caller may see and change: its scopes `registry:<service>` and `registry:*`. Or why there are none. */
export function servicesOf(principal: Principal | undefined): readonly string[] | Failure {
  if (principal === undefined) return fail("AUTH_ERROR", { headers: { "www-authenticate": "Bearer" } })
  const services = principal.scopes
    .filter((scope) => scope.startsWith(SCOPE) && scope !== SCOPE)
    .map((scope) => scope.slice(SCOPE.length))
  if (services.length > 0) return services
  return fail("FORBIDDEN", { details: { missing: { scopes: ["registry:<service>"] } } })
}

const PUBLIC_PORT: RegistryPort = {
  read: async (request) => readBody(askedOf(request)),
  ok,
  refuse,
  services: (request) => servicesOf(askedOf(request).principal),
  actor(request) {
    const { principal, client, requestId } = askedOf(request)
    return { id: principal?.id ?? "", client, requestId }
  },
}

/** The registry for services with a token or an API key of their own. */
export const publicRegistryRoutes = (deps: RegistryRoutesDeps) => registryRoutes(PUBLIC_PORT, deps)

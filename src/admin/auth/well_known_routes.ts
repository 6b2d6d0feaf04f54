import { Elysia } from "elysia"
import type { OwnTokens } from "../../identity/context.ts"
import { publicJwks } from "../../identity/keys.ts"
import type { IdentityRequest } from "../../identity/messages.ts"
import { askedOf } from "./app.ts"

/** Public for five minutes: a new key should be put in the list that long before it signs. */
const CACHEABLE = { "cache-control": "public, max-age=300" }

/** What others must know to take tokens of this gateway. `issuing`: whether it has a store, and so issues any. */
export function wellKnownRoutes(own: OwnTokens, issuing: boolean) {
  return new Elysia()
    .get("/.well-known/jwks.json", () => Response.json(publicJwks(own.keys().verify), { headers: CACHEABLE }))
    .get("/.well-known/openid-configuration", ({ request }) =>
      Response.json(metadata(own, askedOf(request), issuing), { headers: CACHEABLE }),
    )
}

function metadata(
  { settings, keys }: OwnTokens,
  { scheme, host }: IdentityRequest,
  issuing: boolean,
): object {
  const { issuer, prefixes, https, roles } = settings()
  const base = `${https === "required" ? "https" : scheme}://${host}`
  const found = {
    issuer,
    jwks_uri: `${base}/.well-known/jwks.json`,
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [...new Set(keys().verify.map(({ alg }) => alg))],
  }
  if (!issuing) return { ...found, response_types_supported: [] }
  const at = (path: string) => `${base}${prefixes[0]!}/auth/${path}`
  const methods = ["client_secret_basic", "client_secret_post"]
  return {
    ...found,
    token_endpoint: at("token"),
    introspection_endpoint: at("introspect"),
    revocation_endpoint: at("revoke"),
    response_types_supported: [],
    grant_types_supported: ["password", "client_credentials", "refresh_token"],
    scopes_supported: [...new Set(Object.values(roles).flatMap(({ scopes }) => scopes))],
    token_endpoint_auth_methods_supported: [...methods, "none"],
    introspection_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_methods_supported: [...methods, "none"],
  }
}

import { Elysia } from "elysia"
import type { OwnTokens } from "../../identity/context.ts"
import { publicJwks } from "../../identity/keys.ts"
import type { IdentityRequest } from "../../identity/messages.ts"
import type { AuthSettings } from "../../identity/settings.ts"
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

/**
 * Where the endpoints are: `auth.public_url`, else where the issuer is if it is an address, and only without either the
 * host that was asked: whoever asks names that one, and the answer may be kept for others.
 */
function baseUrl({ public_url, issuer, https }: AuthSettings, { scheme, host }: IdentityRequest): string {
  if (public_url !== undefined) return public_url
  if (/^https?:\/\//.test(issuer) && URL.canParse(issuer)) return new URL(issuer).origin
  return `${https === "required" ? "https" : scheme}://${host}`
}

function metadata({ settings, keys }: OwnTokens, request: IdentityRequest, issuing: boolean): object {
  const auth = settings()
  const { issuer, prefixes, roles } = auth
  const base = baseUrl(auth, request)
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

import type { Config, RouteConfig } from "../config/schema.ts"
import { sessionCookieName } from "../identity/session_cookie.ts"
import type { AuthSettings } from "../identity/settings.ts"

type Json = Record<string, unknown>
type AuthOptions = NonNullable<RouteConfig["auth"]>

/** Names of the schemes below, by the kind of proof. */
const SCHEMES = { jwt: "bearer", session: "session", api_key: "api_key", certificate: "mutual_tls" } as const

/** `components.securitySchemes` of OpenAPI 3.1: every kind of proof there is. */
export function securitySchemes(settings: AuthSettings): Json {
  return {
    [SCHEMES.jwt]: {
      type: "http",
      scheme: "bearer",
      bearerFormat: "JWT",
      description: "An access token; an API key is taken here too.",
    },
    [SCHEMES.api_key]: { type: "apiKey", in: "header", name: "X-API-Key", description: "An API key." },
    [SCHEMES.session]: {
      type: "apiKey",
      in: "cookie",
      name: sessionCookieName(settings, "https"),
      description: "Sign-in of a browser. Unsafe methods also need `X-CSRF-Token`.",
    },
    [SCHEMES.certificate]: { type: "mutualTLS", description: "A client certificate." },
  }
}

/** `security` of an operation: any one of the kinds of proof; `{}` stands for none at all. */
export function securityOf(config: Config, asked: AuthOptions | undefined): Json[] {
  if (asked === undefined || config.auth === undefined) return []
  const methods =
    asked.methods.length > 0 ? asked.methods : (Object.keys(SCHEMES) as (keyof typeof SCHEMES)[])
  const proofs: Json[] = methods.map((method) => ({ [SCHEMES[method]]: [] }))
  return asked.required ? proofs : [...proofs, {}]
}

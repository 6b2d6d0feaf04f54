import type { ServerMetadata } from "openid-client"
import { unfitIssuerUrl } from "./issuer_url.ts"
import { ALGORITHM_NAMES } from "./settings.ts"

const ASYMMETRIC: readonly string[] = ALGORITHM_NAMES.filter((name) => !name.startsWith("HS"))

/**
 * What is needed of a discovery document (OpenID Connect Discovery 1.0 section 3), checked; the rest is left. Text:
 * why it is of no use, as the end of a sentence about it.
 */
export function parseMetadata(document: unknown, issuer: string): ServerMetadata | string {
  if (typeof document !== "object" || document === null || Array.isArray(document)) return "is no JSON object"
  const found = document as Record<string, unknown>
  if (found.issuer !== issuer) return "is of another issuer"
  const endpoints: Record<string, string> = {}
  for (const name of ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"]) {
    const url = found[name]
    if (url === undefined && name === "userinfo_endpoint") continue
    if (typeof url !== "string") return `names no ${name}`
    const unfit = unfitIssuerUrl(url)
    if (unfit !== undefined) return `names a ${name} that ${unfit}`
    // Nobody else's document leads to what only this machine can reach.
    if (url.startsWith("http:") && !issuer.startsWith("http:"))
      return `names a ${name} that must begin with https://`
    endpoints[name] = url
  }
  // A provider that says nothing signs with RS256 (section 3); it may never sign with the client's secret.
  const algorithms = texts(found.id_token_signing_alg_values_supported).filter((each) =>
    ASYMMETRIC.includes(each),
  )
  return {
    issuer,
    ...endpoints,
    id_token_signing_alg_values_supported: algorithms.length === 0 ? ["RS256"] : algorithms,
    token_endpoint_auth_methods_supported: texts(found.token_endpoint_auth_methods_supported),
    authorization_response_iss_parameter_supported:
      found.authorization_response_iss_parameter_supported === true,
  }
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : []
}

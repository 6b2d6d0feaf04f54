import { isIP } from "../lib/ip.ts"

/**
 * Why keys must not be fetched from there, as the end of a sentence about the URL; `undefined`: they may. Who
 * can change what comes over plain http can sign anybody in, so it is for this machine only.
 */
export function unfitIssuerUrl(text: string): string | undefined {
  if (!URL.canParse(text)) return "is not a URL"
  const { protocol, hostname, username, password, hash } = new URL(text)
  if (username !== "" || password !== "") return "must not hold a user name or password"
  if (hash !== "") return "must not have a fragment"
  if (protocol === "https:") return undefined
  if (protocol !== "http:") return "must begin with https://"
  return isLoopback(hostname) ? undefined : "must begin with https:// (http:// is for this machine only)"
}

/** Where OpenID Connect Discovery 1.0 section 4 says that the settings of an issuer are. */
export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`
}

/** Host name of a URL without the brackets of IPv6. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, "")
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" || hostname === "[::1]" || (isIP(hostname) === 4 && hostname.startsWith("127."))
  )
}

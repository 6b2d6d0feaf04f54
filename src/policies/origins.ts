/** Schemes as browsers write them, a host in lower case without trailing dot, and a port. */
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::\d{1,5})?$/
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/
const DEFAULT_PORT: Record<string, string> = { http: ":80", https: ":443" }

/** Says why the text is no origin a browser would send, or `undefined` when it is fine. */
export function originProblem(origin: string): string | undefined {
  if (origin === "*" || origin === "null") return undefined
  const plain = origin.includes("://*.") ? origin.replace("://*.", "://any.") : origin
  if (!ORIGIN.test(plain))
    return `"${origin}" is not an origin; write scheme, host and port as in "https://app.example.com"`
  if (plain !== origin && !plain.slice(plain.indexOf("://any.") + 7).includes("."))
    return `"${origin}" allows a whole top-level domain; name at least two labels after the star`
  const port = DEFAULT_PORT[plain.slice(0, plain.indexOf(":"))]
  if (port !== undefined && plain.endsWith(port))
    return `"${origin}" names the default port, which no browser sends`
  return undefined
}

interface Wildcard {
  readonly prefix: string
  readonly suffix: string
}

/**
 * Compiles a list of origins to one question. `https://*.example.com` stands for exactly one label:
 * neither `https://example.com`, nor `https://a.b.example.com`, nor `https://evilexample.com`. Compared
 * exactly, as the Origin header of a browser is already in its only form (RFC 6454 section 6.2).
 */
export function compileOrigins(origins: readonly string[]): (origin: string) => boolean {
  const exact = new Set(origins.filter((origin) => !origin.includes("*")))
  const wildcards: Wildcard[] = []
  for (const origin of origins) {
    const star = origin.indexOf("://*.")
    if (star > 0) wildcards.push({ prefix: origin.slice(0, star + 3), suffix: origin.slice(star + 4) })
  }
  return (origin) => {
    if (exact.has(origin)) return true
    for (let i = 0; i < wildcards.length; i++) {
      const { prefix, suffix } = wildcards[i]!
      if (!origin.startsWith(prefix) || !origin.endsWith(suffix)) continue
      if (LABEL.test(origin.slice(prefix.length, origin.length - suffix.length))) return true
    }
    return false
  }
}

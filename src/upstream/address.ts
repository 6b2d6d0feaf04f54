/** Finds the addresses of a host name. */
export interface NameResolver {
  /** Addresses to try in this order: at once when some are known. Throws or rejects when there are none to be used. */
  addresses(): readonly string[] | Promise<readonly string[]>
  /** A connection to this address was begun; until it `answered` the others come first. */
  tried(address: string): void
  answered(address: string): void
}

/** Where an instance listens. */
export interface Address {
  /** Canonical text: equal addresses have equal texts. */
  readonly text: string
  /** What `Bun.connect` is told. */
  readonly target: { readonly hostname: string; readonly port: number } | { readonly unix: string }
  /** For a host name: what is connected to in its place; `undefined`: `target` as it is. */
  readonly resolver?: NameResolver
  readonly tls: boolean
  /** Value for a Host header: host with its port when that is not the scheme's own; "localhost" for a Unix socket. */
  readonly authority: string
}

/**
 * Parses `http://host:port`, `https://host:port` (ports default to 80 and 443, IPv6 in brackets) or
 * `unix:/absolute/path`. Throws an `Error` whose message says what is wrong and what would do.
 */
export function parseAddress(url: string): Address {
  if (url.startsWith("unix:")) {
    const path = url.slice(5)
    if (!path.startsWith("/") || path.includes("\0")) throw refused(url, "the socket's path must be absolute")
    // The kernel's bound (sun_path), less its closing NUL.
    if (Buffer.byteLength(path) > 107) throw refused(url, "the socket's path is longer than 107 bytes")
    return { text: url, target: { unix: path }, tls: false, authority: "localhost" }
  }
  if (!/^https?:\/\/[^/]/i.test(url)) throw refused(url, "unknown scheme")
  const parsed = URL.parse(url)
  if (parsed === null) throw refused(url, "malformed host or port")
  if (parsed.username !== "" || parsed.password !== "") throw refused(url, "credentials are not supported")
  if (parsed.pathname !== "/" || parsed.search !== "" || parsed.hash !== "")
    throw refused(url, "a path is not supported; use the route's rewrite")
  if (parsed.port === "0") throw refused(url, "port 0 cannot be connected to")
  const tls = parsed.protocol === "https:"
  const hostname = parsed.hostname.startsWith("[") ? parsed.hostname.slice(1, -1) : parsed.hostname
  const port = parsed.port === "" ? (tls ? 443 : 80) : Number(parsed.port)
  return {
    text: `${parsed.protocol}//${parsed.hostname}:${port}`,
    target: { hostname, port },
    tls,
    authority: parsed.host,
  }
}

const refused = (url: string, problem: string) =>
  new Error(
    `instance address ${JSON.stringify(withoutSecret(url))}: ${problem}; expected http://host:port, https://host:port or unix:/path`,
  )

const withoutSecret = (url: string) => url.replace(/\/\/[^/@]*@/, "//***@")

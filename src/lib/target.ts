/**
 * The path that is authorised is the path that is forwarded: one canonical form, computed once.
 * Works on the path of a URL as the runtime gives it and on a raw request target alike.
 */
export interface CanonicalPath {
  readonly path: string
  /**
   * The path holds something two readers could take differently (`%2F`, `%5C`, `;`, a double escape such
   * as `%252e`). Refused with 400 unless the route has `allow_encoded`.
   */
  readonly ambiguous: boolean
}

const LITERAL = 1 // stays as it is
const UNRESERVED = 2 // as LITERAL, and an escape of it is decoded (RFC 3986 section 6.2.2.2)
const kinds = new Uint8Array(128)
for (const c of "!$&'()*+,=:@|[]") kinds[c.charCodeAt(0)] = LITERAL
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
  kinds[c.charCodeAt(0)] = UNRESERVED
}
const SLASH = 47
const DOT = 46
const PERCENT = 37
const SEMICOLON = 59

/** Canonical form of a path, or `undefined` when it is malformed (bad escape, control, not UTF-8, NUL, `#`). */
export function canonicalPath(path: string): CanonicalPath | undefined {
  return isCanonical(path) ? { path, ambiguous: false } : canonicalise(path)
}

/** True for the paths nearly all requests have: only literals, no empty and no dot segment. */
function isCanonical(path: string): boolean {
  if (path.charCodeAt(0) !== SLASH) return false
  let previous = SLASH
  for (let i = 1; i < path.length; i++) {
    const c = path.charCodeAt(i)
    if (c === SLASH) {
      if (previous === SLASH) return false
    } else if (c > 127 || kinds[c] === 0 || (c === DOT && previous === SLASH)) {
      return false
    }
    previous = c
  }
  return true
}

function canonicalise(path: string): CanonicalPath | undefined {
  if (path.charCodeAt(0) !== SLASH) return undefined
  let ambiguous = false
  let decoded = ""
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i)
    if (c === PERCENT) {
      const digits = path.slice(i + 1, i + 3)
      if (!/^[0-9A-Fa-f]{2}$/.test(digits)) return undefined
      const byte = Number.parseInt(digits, 16)
      i += 2
      if (byte < 128 && kinds[byte] === UNRESERVED) {
        decoded += String.fromCharCode(byte)
        continue
      }
      if (byte < 32 || byte === 127) return undefined
      // An escaped percent sign before two hex digits: a second decoding would see another path.
      if (byte === PERCENT && /^[0-9A-Fa-f]{2}/.test(path.slice(i + 1, i + 3))) ambiguous = true
      if (byte === SLASH || byte === 0x5c || byte === SEMICOLON) ambiguous = true
      decoded += `%${digits.toUpperCase()}`
    } else if (c === SLASH || (c < 128 && kinds[c] !== 0)) {
      decoded += path[i]
    } else if (c === SEMICOLON) {
      ambiguous = true
      decoded += ";"
    } else {
      return undefined
    }
  }
  if (!isUtf8(decoded)) return undefined
  return { path: removeDotSegments(decoded), ambiguous }
}

/** Escapes must be UTF-8, and not U+FFFD, which is what the runtime puts where raw bytes were not. */
function isUtf8(path: string): boolean {
  if (!path.includes("%")) return true
  try {
    return !decodeURIComponent(path).includes("\uFFFD")
  } catch {
    return false // the only error decodeURIComponent has
  }
}

/**
 * RFC 3986 section 5.2.4, and only then doubled slashes merged: `..` takes an empty segment away too, as for the
 * runtime, which has done the first step where it shows a URL.
 */
function removeDotSegments(path: string): string {
  const kept: string[] = []
  const segments = path.split("/").slice(1)
  segments.forEach((segment, i) => {
    const last = i === segments.length - 1
    if (segment === "..") kept.pop()
    else if (segment !== ".") kept.push(segment)
    if (last && (segment === "." || segment === "..")) kept.push("")
  })
  return `/${kept.join("/")}`.replace(/\/{2,}/g, "/")
}

const HOST = /^(?:[a-z0-9](?:[a-z0-9_.-]{0,252}[a-z0-9.])?|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i
const MAX_KNOWN_HOSTS = 1024
const knownHosts = new Map<string, string>()

/**
 * Validated authority in lower case (RFC 9110 section 7.2), or `undefined` when it is malformed or several
 * were sent. Hosts seen before are remembered, at most 1024 of them.
 */
export function canonicalHost(host: string): string | undefined {
  const known = knownHosts.get(host)
  if (known !== undefined) return known
  if (!HOST.test(host) || host.includes("..")) return undefined
  const port = /:(\d+)$/.exec(host.replace(/^\[.*\]/, ""))
  if (port && Number(port[1]) > 65_535) return undefined
  const canonical = host.toLowerCase()
  if (knownHosts.size >= MAX_KNOWN_HOSTS) knownHosts.clear()
  knownHosts.set(host, canonical)
  return canonical
}

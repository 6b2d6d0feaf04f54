import { canonicalPath } from "../lib/target.ts"

/**
 * A path pattern of a route: literal segments, `:name` or `{name}` for exactly one non-empty segment, and
 * `*` as the last segment for the rest, which may be empty: `/a/*` also matches `/a`.
 */
export interface Pattern {
  /** As written in config. */
  readonly text: string
  /** Parameter names replaced by their position: equal keys match the same paths. */
  readonly key: string
  readonly segments: readonly Segment[]
  readonly parameters: readonly string[]
  readonly wildcard: boolean
}

export type Segment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "parameter" }
  | { readonly kind: "wildcard" }

const PARAMETER = /^(?::([A-Za-z_][A-Za-z0-9_]{0,62})|\{([A-Za-z_][A-Za-z0-9_]{0,62})\})$/

/** Parses a pattern; a string tells what is wrong with it and what would do. */
export function parsePattern(text: string): Pattern | string {
  if (!text.startsWith("/")) return `"${text}" must start with /`
  const segments: Segment[] = []
  const parameters: string[] = []
  const parts = text.slice(1).split("/")
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1
    const parameter = PARAMETER.exec(part)
    if (parameter) {
      const name = (parameter[1] ?? parameter[2])!
      if (parameters.includes(name)) return `"${text}" has the parameter ${name} twice`
      parameters.push(name)
      segments.push({ kind: "parameter" })
    } else if (part === "*") {
      if (!last) return `"${text}" has * before its last segment; * may only stand at the end`
      segments.push({ kind: "wildcard" })
    } else if (/[*{}:?#]/.test(part)) {
      return `"${text}": the segment "${part}" mixes literal and pattern; a parameter or * takes a whole segment`
    } else if (part === "" && !last) {
      return `"${text}" has an empty segment`
    } else if (part === "." || part === "..") {
      return `"${text}" has a dot segment; requests never do`
    } else {
      // Requests are matched in their canonical form, so the pattern takes it too: "café" is "caf%C3%A9".
      const canonical = canonicalPath(`/${part.replace(/[^\x21-\x7e]+/g, encodeURIComponent)}`)
      if (canonical === undefined || (canonical.path === "/" && part !== ""))
        return `"${text}": no path can have the segment "${part}"`
      segments.push({ kind: "literal", text: canonical.path.slice(1) })
    }
  }
  const key = `/${segments.map((s) => (s.kind === "literal" ? s.text : s.kind === "parameter" ? ":" : "*")).join("/")}`
  return { text, key, segments, parameters, wildcard: segments.at(-1)?.kind === "wildcard" }
}

/** "api.example.com", or "*.example.com" for exactly one more label; without port. */
export interface HostPattern {
  readonly wildcard: boolean
  /** The name itself, or for a wildcard the part from the first dot on. Lower case. */
  readonly name: string
}

/** Parses a host of config; a string tells what is wrong. */
export function parseHostPattern(text: string): HostPattern | string {
  const wildcard = text.startsWith("*.")
  const name = wildcard ? text.slice(1) : text
  const labels = wildcard ? name.slice(1) : name
  const valid = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.|$))+$|^\[[0-9a-f:.]+\]$/i.test(labels)
  if (!valid || labels.endsWith(".")) {
    return `"${text}" is no host name; write api.example.com, or *.example.com for any one label, without a port`
  }
  return { wildcard, name: name.toLowerCase() }
}

import type { Pattern } from "../config/pattern.ts"

/** Raw values of the parameters and the wildcard, in order; `undefined` when the path does not match. */
export function matchPattern(pattern: Pattern, path: string): string[] | undefined {
  const captures: string[] = []
  let at = 1
  for (const segment of pattern.segments) {
    if (segment.kind === "wildcard") {
      captures.push(path.slice(at))
      return captures
    }
    if (at > path.length) return undefined
    const slash = path.indexOf("/", at)
    const end = slash === -1 ? path.length : slash
    const part = path.slice(at, end)
    if (segment.kind === "parameter") {
      if (part === "") return undefined
      captures.push(part)
    } else if (part !== segment.text) {
      return undefined
    }
    at = end + 1
  }
  return at > path.length ? captures : undefined
}

const RANK = { literal: 0, parameter: 1, wildcard: 2 } as const

/**
 * Order of specificity, most specific first: segment by segment from the left, literal before parameter
 * before wildcard. For patterns that match the same path this is a total order up to equal keys.
 */
export function compareSpecificity(a: Pattern, b: Pattern): number {
  const length = Math.max(a.segments.length, b.segments.length)
  for (let i = 0; i < length; i++) {
    const left = a.segments[i]
    const right = b.segments[i]
    if (left === undefined) return -1
    if (right === undefined) return 1
    const rank = RANK[left.kind] - RANK[right.kind]
    if (rank !== 0) return rank
  }
  return 0
}

/** Whether some path matches both patterns. */
export function overlap(a: Pattern, b: Pattern): boolean {
  for (let i = 0; ; i++) {
    const left = a.segments[i]
    const right = b.segments[i]
    if (left?.kind === "wildcard" || right?.kind === "wildcard") return true
    if (left === undefined || right === undefined) return left === right
    if (left.kind === "literal" && right.kind === "literal" && left.text !== right.text) return false
  }
}

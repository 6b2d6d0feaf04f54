import { TOKEN } from "./token.ts"

/** One member of an Accept or Accept-Encoding header. */
export interface Preference {
  /** Media range or coding in lower case, without parameters. */
  readonly value: string
  /** Parameters other than `q`, as `name=value` with names in lower case and quotes taken off. */
  readonly params: readonly string[]
  /** Weight from 0 (never) to 1. */
  readonly q: number
}

/** Members read of one header; a header of 16 KB can hold thousands, and no client needs so many. */
const MAX_MEMBERS = 64
const RANGE = /^[!#$%&'*+.^_`|~0-9a-z-]+\/[!#$%&'*+.^_`|~0-9a-z-]+$/
const WEIGHT = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/

/** Splits at `separator`, but not inside quoted strings (RFC 9110 section 5.6.4). */
function splitUnquoted(text: string, separator: string): string[] {
  if (!text.includes('"')) return text.split(separator)
  const parts: string[] = []
  let start = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (quoted && char === "\\") i++
    else if (char === '"') quoted = !quoted
    else if (!quoted && char === separator) {
      parts.push(text.slice(start, i))
      start = i + 1
    }
  }
  parts.push(text.slice(start))
  return parts
}

function toPreference(member: string): Preference | undefined {
  const [head, ...rest] = splitUnquoted(member, ";")
  const params: string[] = []
  let q = 1
  for (const part of rest) {
    const equals = part.indexOf("=")
    if (equals < 0) continue
    const name = part.slice(0, equals).trim().toLowerCase()
    const value = part.slice(equals + 1).trim()
    if (name !== "q") {
      params.push(`${name}=${unquote(value)}`)
      continue
    }
    if (!WEIGHT.test(value)) return undefined
    q = Number(value)
    // What follows the weight belongs to Accept, not to the media type.
    break
  }
  return { value: head!.trim().toLowerCase(), params, q }
}

const unquote = (value: string) =>
  value.length > 1 && value.startsWith('"') && value.endsWith('"')
    ? value.slice(1, -1).replace(/\\(.)/g, "$1")
    : value

/** Reads a list of weighted members; malformed ones are left out (RFC 9110 section 12.4.2). */
function parsePreferences(header: string, shape: RegExp): readonly Preference[] {
  const found: Preference[] = []
  for (const member of splitUnquoted(header, ",").slice(0, MAX_MEMBERS)) {
    const preference = toPreference(member)
    if (preference !== undefined && shape.test(preference.value)) found.push(preference)
  }
  return found
}

/** A media type on offer, read once. */
export interface MediaType {
  /** As configured: what an answer names. */
  readonly name: string
  /** "type/subtype" in lower case. */
  readonly essence: string
  /** "type/*". */
  readonly family: string
  readonly params: readonly string[]
}

/** Reads a media type such as `application/json; v=2`; `undefined` when it is none. */
export function parseMediaType(name: string): MediaType | undefined {
  const read = toPreference(name)
  if (read === undefined || !RANGE.test(read.value) || read.value.includes("*")) return undefined
  return {
    name,
    essence: read.value,
    family: `${read.value.slice(0, read.value.indexOf("/"))}/*`,
    params: read.params,
  }
}

/** How exactly a range names the type: 0 not at all, 1 by `*`, 2 by its family, 3 and more by itself. */
function specificity(range: Preference, type: MediaType): number {
  if (range.value === "*/*") return 1
  if (range.value === type.family) return 2
  if (range.value !== type.essence) return 0
  for (const param of range.params) {
    if (!param.startsWith("charset=") && !type.params.includes(param)) return 0
  }
  return 3 + range.params.length
}

function weigh(ranges: readonly Preference[], type: MediaType): number {
  let best = 0
  let q = 0
  for (const range of ranges) {
    const exactness = specificity(range, type)
    if (exactness > best || (exactness === best && exactness > 0 && range.q > q)) {
      best = exactness
      q = range.q
    }
  }
  return q
}

/**
 * Chooses among the media types on offer by RFC 9110 section 12.5.1: the most exact range that matches a
 * type gives its weight, the heaviest type wins, and among equals the one offered first. A missing header,
 * or one without a single valid member, accepts everything. `undefined`: nothing on offer is acceptable.
 */
export function negotiateType(
  accept: string | undefined,
  offered: readonly MediaType[],
): MediaType | undefined {
  if (accept === undefined || accept === "*/*") return offered[0]
  const ranges = parsePreferences(accept, RANGE)
  if (ranges.length === 0) return offered[0]
  let best: MediaType | undefined
  let bestQ = 0
  for (const type of offered) {
    const q = weigh(ranges, type)
    if (q > bestQ) {
      best = type
      bestQ = q
    }
  }
  return best
}

const JSON_TYPE = parseMediaType("application/json")!
const PROBLEM_JSON = "application/problem+json"

/**
 * Whether errors go out as `application/problem+json` (RFC 9457): only when Accept names it, and not with
 * less weight than plain JSON. A wildcard alone means plain JSON.
 */
export function prefersProblemJson(accept: string | undefined): boolean {
  if (accept === undefined || !accept.toLowerCase().includes(PROBLEM_JSON)) return false
  const ranges = parsePreferences(accept, RANGE)
  const named = ranges.find((range) => range.value === PROBLEM_JSON)
  return named !== undefined && named.q > 0 && named.q >= weigh(ranges, JSON_TYPE)
}

/**
 * Chooses a content coding by Accept-Encoding (RFC 9110 section 12.5.3): the heaviest of `offered`, among
 * equals the one offered first. `undefined`: send the body as it is, because nothing fits, there is no
 * header, or `identity` is asked for with more weight.
 */
export function negotiateEncoding<E extends string>(
  header: string | undefined,
  offered: readonly E[],
): E | undefined {
  if (header === undefined || header === "" || header === "identity") return undefined
  const members = parsePreferences(header, TOKEN)
  const weight = (coding: string) => {
    const named = members.find((member) => member.value === coding || member.value === `x-${coding}`)
    return (named ?? members.find((member) => member.value === "*"))?.q ?? 0
  }
  let best: E | undefined
  let bestQ = 0
  for (const coding of offered) {
    const q = weight(coding)
    if (q > bestQ) {
      best = coding
      bestQ = q
    }
  }
  const identity = members.find((member) => member.value === "identity")?.q ?? 0
  return identity > bestQ ? undefined : best
}

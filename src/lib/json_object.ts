export type JsonObject = Readonly<Record<string, unknown>>

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a

/** Colons outside strings: in valid JSON the members of all objects, repeated ones too. -1: too deep. */
function writtenMembers(bytes: Uint8Array, maxDepth: number): number {
  let count = 0
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === QUOTE) {
      for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++
    } else if (byte === COLON) count++
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > maxDepth) return -1
    } else if (byte === 0x5d || byte === 0x7d) depth--
  }
  return count
}

/** Members of all objects, or NaN when there is something no careful reader would take. */
function parsedMembers(value: object): number {
  let count = 0
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) count += membersOf(value[i])
    return count
  }
  for (const key in value) {
    // By this key careless code is led to change a prototype.
    if (key === "__proto__") return Number.NaN
    const item = (value as JsonObject)[key]
    count += typeof item === "string" ? 1 : 1 + membersOf(item)
  }
  return count
}

function membersOf(item: unknown): number {
  // Beyond a double: parsed as infinity, which is no number of JSON.
  if (typeof item === "number") return Number.isFinite(item) ? 0 : Number.NaN
  return typeof item === "object" && item !== null ? parsedMembers(item) : 0
}

/**
 * An object of JSON from outside: strict UTF-8, at most `maxDepth` levels of brackets, numbers within a double,
 * no `__proto__`, and no object repeats a key, for which of the two counts differs between readers (RFC 8259
 * section 4). `undefined`: it is anything else. Made for small texts on the hot path; `parseJson` tells why.
 */
export function parseJsonObject(bytes: Uint8Array, maxDepth: number): JsonObject | undefined {
  const written = writtenMembers(bytes, maxDepth)
  if (written === -1) return undefined
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(bytes))
  } catch {
    // Neither says more than that it failed, or repeats what it found.
    return undefined
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
  return parsedMembers(value) === written ? (value as JsonObject) : undefined
}

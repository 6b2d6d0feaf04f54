import { parseJson } from "./json_parse.ts"

export type JsonObject = Readonly<Record<string, unknown>>

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a

/** Colons outside strings: in valid JSON the members of all objects, repeated ones too. */
function writtenMembers(bytes: Uint8Array): number {
  let count = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === COLON) count++
    else if (byte === QUOTE)
      for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++
  }
  return count
}

function parsedMembers(value: object): number {
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === "object" && item !== null) count += parsedMembers(item)
    return count
  }
  for (const key in value) {
    count++
    const item = (value as JsonObject)[key]
    if (typeof item === "object" && item !== null) count += parsedMembers(item)
  }
  return count
}

/**
 * An object of JSON from outside, as strict as `parseJson`; moreover no object may repeat a key, for which of
 * the two counts differs between readers (RFC 8259 section 4). `undefined`: it is anything else.
 */
export function parseJsonObject(bytes: Uint8Array, maxDepth: number): JsonObject | undefined {
  const parsed = parseJson(bytes, maxDepth)
  if (!parsed.ok) return undefined
  const value = parsed.value
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
  return parsedMembers(value) === writtenMembers(bytes) ? (value as JsonObject) : undefined
}

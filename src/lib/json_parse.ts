export type ParsedJson =
  | { readonly ok: true; readonly value: unknown }
  /** `pointer`: JSON pointer (RFC 6901) of the place, "" for the whole text. Never holds a value. */
  | { readonly ok: false; readonly pointer: string; readonly message: string }

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Whether brackets nest deeper than `max`; bytes of longer UTF-8 characters are never brackets or quotes. */
function isDeeperThan(bytes: Uint8Array, max: number): boolean {
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === QUOTE) {
      for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > max) return true
    } else if (byte === 0x5d || byte === 0x7d) depth--
  }
  return false
}

const failed = (pointer: string, message: string) => ({ ok: false, pointer, message }) as const

/**
 * Parses JSON from outside: strict UTF-8 without byte order mark, at most `maxDepth` levels of brackets, no
 * number beyond a double, and no key by which careless code could be led to change a prototype.
 */
export function parseJson(bytes: Uint8Array, maxDepth = 64): ParsedJson {
  if (isDeeperThan(bytes, maxDepth)) return failed("", `is nested deeper than ${maxDepth} levels`)
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    // The decoder says only that it failed.
    return failed("", "is not valid UTF-8")
  }
  try {
    const value: unknown = JSON.parse(text)
    return findDanger(value, "") ?? { ok: true, value }
  } catch {
    // The parser's own message repeats what it found, which may be a secret.
    return failed("", "is not valid JSON")
  }
}

/** Escapes a key for a JSON pointer, and shortens it: keys come from the client. */
const step = (key: string) => `/${key.slice(0, 64).replaceAll("~", "~0").replaceAll("/", "~1")}`

function findDanger(value: unknown, pointer: string): ReturnType<typeof failed> | undefined {
  if (typeof value === "number")
    return Number.isFinite(value) ? undefined : failed(pointer, "is a number out of range")
  if (typeof value !== "object" || value === null) return undefined
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i]
      // Most items are plain: a pointer is made only for those that may hold something.
      if (typeof item === "string" || (typeof item === "number" && Number.isFinite(item))) continue
      const found = findDanger(item, `${pointer}/${i}`)
      if (found !== undefined) return found
    }
    return undefined
  }
  for (const [key, item] of Object.entries(value)) {
    if (key === "__proto__") return failed(pointer, "has a key `__proto__`")
    if (
      key === "constructor" &&
      typeof item === "object" &&
      item !== null &&
      Object.hasOwn(item, "prototype")
    )
      return failed(pointer, "has a key `constructor.prototype`")
    if (typeof item === "string" || (typeof item === "number" && Number.isFinite(item))) continue
    const found = findDanger(item, pointer + step(key))
    if (found !== undefined) return found
  }
  return undefined
}

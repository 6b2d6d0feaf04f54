import { escapeLine } from "./json_text.ts"
import type { Log, LogFields } from "./log.ts"
import { LOG_LEVELS, type LogEvent, type LogLevel } from "./log_events.ts"
import { isSecretName, REDACTED, redactText } from "./redact.ts"

const MAX_STRING = 8192
const MAX_DEPTH = 6
const MAX_ENTRIES = 64
/** Values of one line, all levels together. */
const MAX_NODES = 2000
/** Characters of one line; a larger one keeps its head and the names of its fields. */
const MAX_LINE = 65_536

/**
 * A log that writes one JSON object a line: time, level, event, then the fields. Any value is safe: secrets are
 * redacted by name and by form, strings cut at 8,192 characters, objects at 6 levels and 64 entries, a line
 * at 2,000 values and 65,536 characters; circular references and throwing getters are marked.
 *
 * @param level the least serious event written
 * @param write takes one line without its line end; must not throw
 */
export function createLog(
  level: LogLevel,
  write: (line: string) => void,
  wallClock: () => number = Date.now,
): Log {
  const least = LOG_LEVELS.indexOf(level)
  const at = (own: LogLevel) => {
    if (LOG_LEVELS.indexOf(own) < least) return () => undefined
    return (event: LogEvent, fields: LogFields = {}) => {
      write(toLine({ time: new Date(wallClock()).toISOString(), level: own, event: cut(event) }, fields))
    }
  }
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }
}

function toLine(head: Record<string, unknown>, fields: LogFields): string {
  const plain = toPlain(fields, { above: [], left: MAX_NODES })
  const body: object = typeof plain === "object" && plain !== null ? plain : { fields: plain }
  // The head comes last in the merge: no field can pose as the time, level or event.
  const line = escapeLine(JSON.stringify({ ...head, ...body, ...head }))
  if (line.length <= MAX_LINE) return line
  const names = Object.keys(body).map((name) => name.slice(0, 64))
  return escapeLine(JSON.stringify({ ...head, cut: `[${line.length} characters]`, names }))
}

/** Where a copy stands: the objects it is inside of, and how many values it may still take. */
interface Walk {
  readonly above: object[]
  left: number
}

/** A copy of any value that `JSON.stringify` prints without surprise. */
function toPlain(value: unknown, walk: Walk): unknown {
  if (walk.left-- <= 0) return "[too large]"
  switch (typeof value) {
    case "string":
      return cut(value)
    case "number":
      return Number.isFinite(value) ? value : String(value)
    case "boolean":
    case "undefined":
      return value
    case "bigint":
      return String(value)
    case "symbol":
    case "function":
      return `[${typeof value}]`
    case "object":
      if (value === null) return null
      if (walk.above.includes(value)) return "[circular]"
      if (walk.above.length >= MAX_DEPTH) return "[too deep]"
      walk.above.push(value)
      try {
        return objectToPlain(value, walk)
      } catch (error) {
        // A getter, a proxy or a key that throws must not take the line with it.
        return `[unreadable: ${error instanceof Error ? cut(error.message) : "threw"}]`
      } finally {
        walk.above.pop()
      }
  }
}

function objectToPlain(value: object, walk: Walk): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString()
  if (value instanceof URL) return cut(value.href)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`
  if (value instanceof Map) return entriesToPlain([...value], walk)
  if (value instanceof Set) return listToPlain([...value], walk)
  if (Array.isArray(value)) return listToPlain(value, walk)
  const names = Object.keys(value)
  // These four are not enumerable, and they are what an error is logged for.
  if (value instanceof Error)
    names.unshift("name", "message", "stack", ...("cause" in value ? ["cause"] : []))
  return entriesToPlain(
    [...new Set(names)].map((name) => [name, read(value, name)]),
    walk,
  )
}

function listToPlain(list: readonly unknown[], walk: Walk): unknown[] {
  const kept = list.slice(0, MAX_ENTRIES).map((entry) => toPlain(entry, walk))
  if (list.length > MAX_ENTRIES) kept.push(`[${list.length - MAX_ENTRIES} more]`)
  return kept
}

function entriesToPlain(entries: readonly (readonly [unknown, unknown])[], walk: Walk): object {
  const plain: Record<string, unknown> = Object.create(null)
  for (const [key, value] of entries.slice(0, MAX_ENTRIES)) {
    const name = String(key)
    const secret = value !== undefined && value !== null && value !== "" && isSecretName(name)
    plain[cut(name)] = secret ? REDACTED : toPlain(value, walk)
  }
  if (entries.length > MAX_ENTRIES) plain["…"] = `[${entries.length - MAX_ENTRIES} more]`
  return plain
}

function read(from: object, name: string): unknown {
  try {
    return Reflect.get(from, name)
  } catch {
    return "[unreadable]"
  }
}

function cut(text: string): string {
  if (text.length <= MAX_STRING) return redactText(text)
  return `${redactText(text.slice(0, MAX_STRING))}… [${text.length - MAX_STRING} more]`
}

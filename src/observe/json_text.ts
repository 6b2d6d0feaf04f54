/**
 * What JSON lets through and a log must not: quotes and backslashes, C0 and C1 controls (ANSI sequences),
 * line separators, text direction overrides.
 */
const UNSAFE = /["\\\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/
const UNSAFE_AFTER_JSON = /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g

/** The text as the inside of a JSON string that stays on one line and moves no terminal; no quotes around it. */
export function escapeJson(text: string): string {
  return UNSAFE.test(text) ? escapeLine(JSON.stringify(text)).slice(1, -1) : text
}

/** Escapes in a finished JSON text what `JSON.stringify` leaves raw. */
export function escapeLine(json: string): string {
  return json.replace(UNSAFE_AFTER_JSON, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)
}
